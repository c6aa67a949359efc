"""Finds the call that a method and a path name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from pipeline.ingress.refusals import Refusal
from pipeline.ingress.routes import ROUTES, Route
from pipeline.limits import PATH_SEGMENT_CHARS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A route with the parameters of its path as called, percent-decoded."""

    route: Route
    path: Mapping[str, str]


class RouteTable:
    """Finds the route of a method and a path; letter case of what is fixed in a path does not matter."""

    def __init__(self, routes: Iterable[Route] = ROUTES) -> None:
        self._by_shape: dict[tuple[str | None, ...], dict[str, Route]] = {}
        for route in routes:
            shape = tuple(None if one.startswith("{") else one.lower() for one in _segments(route.path))
            self._by_shape.setdefault(shape, {})[route.method] = route

    def find(self, method: str, raw_path: str) -> Match | Refusal:
        """Return the call, 404 for a path that is none, 405 with Allow for a method that a path has not."""
        segments = _segments(raw_path)
        for shape, by_method in self._by_shape.items():
            if len(shape) != len(segments) or not all(map(_fits, shape, segments)):
                continue
            route = by_method.get(method)
            if route is None:
                allowed = ", ".join(sorted(by_method))
                return Refusal(
                    status=HTTPStatus.METHOD_NOT_ALLOWED,
                    slug="method",
                    help=f"Only {allowed} is answered here.",
                    allow=allowed,
                )
            names = [one.strip("{}") for one in _segments(route.path)]
            found = {
                name: unquote(text)
                for name, fixed, text in zip(names, shape, segments, strict=True)
                if fixed is None
            }
            if any(len(text) > PATH_SEGMENT_CHARS_MAX for text in found.values()):
                return NO_SUCH_PATH
            return Match(route=route, path=found)
        return NO_SUCH_PATH


NO_SUCH_PATH: Final = Refusal(
    status=HTTPStatus.NOT_FOUND,
    slug="no-such-path",
    help="Nothing is here. Post messages to /dip-channel/IF-nnn, status messages to /statusmessage.",
)


def _segments(path: str) -> list[str]:
    """Cut a path at its slashes; a last one does not count."""
    return path.split("?", 1)[0].rstrip("/").split("/")[1:]


def _fits(fixed: str | None, text: str) -> bool:
    return bool(text) if fixed is None else fixed == text.lower()
