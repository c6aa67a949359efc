"""Every page as a row: how it is called, for whom, and what makes it. A test walks the table: nothing else is served."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pipeline.console.accounts import Role
from pipeline.console.pages import lanes, letters, messages, meters, people, stages
from pipeline.console.serving import EVERYBODY, OPERATORS, STAFF, Answer, Visit

Make = Callable[[Visit], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One page. `title` is its place in the navigation; a page without one is reached from others."""

    method: str
    path: str
    make: Make
    roles: frozenset[Role]
    title: str | None = None


ROUTES: Final = (
    Route(method="GET", path="/", make=stages.show, roles=STAFF, title="Stages"),
    Route(method="GET", path="/lanes", make=lanes.show, roles=EVERYBODY, title="Lanes"),
    Route(method="POST", path="/lanes", make=lanes.order, roles=OPERATORS),
    Route(method="GET", path="/messages", make=messages.search, roles=EVERYBODY, title="Messages"),
    Route(method="GET", path="/messages/{transaction:.+}", make=messages.story, roles=EVERYBODY),
    Route(method="GET", path="/letters", make=letters.show, roles=EVERYBODY, title="Dead letters"),
    Route(method="GET", path="/letters/{place:.+}", make=letters.one, roles=EVERYBODY),
    Route(method="POST", path="/letters/plan", make=letters.plan, roles=OPERATORS),
    Route(method="POST", path="/letters/requeue", make=letters.requeue, roles=OPERATORS),
    Route(method="GET", path="/meters", make=meters.show, roles=EVERYBODY, title="Meter points"),
    Route(method="GET", path="/participants", make=people.show, roles=EVERYBODY, title="Participants"),
    Route(method="GET", path="/participants/{participant:.+}", make=people.one, roles=EVERYBODY),
)


def home_of(role: Role) -> str:
    """Return where somebody of a role begins."""
    return next(one.path for one in ROUTES if one.title is not None and role in one.roles)


def navigation(role: Role) -> tuple[tuple[str, str], ...]:
    """Return path and title of what a role finds in the navigation."""
    return tuple((one.path, one.title) for one in ROUTES if one.title is not None and role in one.roles)
