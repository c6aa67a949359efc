"""The console's view of the processes: found by what they announce and by name, asked over their health pages."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from pipeline import limits
from pipeline.console.ports import Figures, Process, StandingRow, Standings
from pipeline.errors import SettingsInvalid
from pipeline.metrics import BY_NAME

log = logging.getLogger(__name__)

_OWN: Final = frozenset(one.name for one in fields(StandingRow))


class KnownProcesses:
    """Implements `pipeline.console.ports.Processes`. `announced` returns what is known at the moment, besides the named."""

    def __init__(self, named: Iterable[str], announced: Callable[[], Iterable[str]]) -> None:
        self._named = tuple(named)
        self._announced = announced
        self._session: aiohttp.ClientSession | None = None

    async def look(self) -> tuple[Process, ...]:
        """Read every page of metrics; the processes in the order of their addresses."""
        addresses = await self._addresses()
        found = await asyncio.gather(*(self._process(one) for one in addresses))
        # One that was named and announces itself has two addresses; who it is it says itself.
        known = {_identity(one): one for one in reversed(found)}
        return tuple(one for one in found if known[_identity(one)] is one)

    async def standings(self) -> Standings:
        """Ask everybody for lanes; who has none answers 404."""
        addresses = await self._addresses()
        pages = await asyncio.gather(*(self._page(f"{one}/lanes/") for one in addresses))
        rows: list[StandingRow] = []
        troubles: list[str] = []
        for address, page in zip(addresses, pages, strict=True):
            if isinstance(page, str):
                troubles.append(f"{address} does not answer: {page}")
            elif page is not None:
                rows.extend(_rows(page))
        if not rows and not troubles and not addresses:
            troubles.append(
                "No process is known that could be asked (docs/CONSOLE.md: DIP_CONSOLE_PROCESSES)."
            )
        return Standings(rows=tuple(rows), troubles=tuple(troubles))

    async def close(self) -> None:
        """Let connections go."""
        if self._session is not None:
            await self._session.close()

    async def _addresses(self) -> list[str]:
        resolved = await asyncio.gather(*(_resolved(one) for one in self._named))
        found = {one.rstrip("/") for some in (*resolved, tuple(self._announced())) for one in some}
        return sorted(found)[: limits.CONSOLE_PROCESSES_MAX]

    async def _process(self, address: str) -> Process:
        page = await self._page(f"{address}/metrics")
        if isinstance(page, str):
            return Process(address=address, trouble=page)
        try:
            return Process(address=address, figures=figures(page or b""))
        except ValueError as error:
            return Process(address=address, trouble=f"its metrics cannot be read: {error}")

    async def _page(self, url: str) -> bytes | str | None:
        """Return a page, None where there is none, or in words why nobody says."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=limits.CONSOLE_CALL_S_MAX)
            self._session = aiohttp.ClientSession(timeout=timeout)
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status == 404:  # noqa: PLR2004  # the one that means: no such page here
                    return None
                content = await answer.content.read(limits.CONSOLE_METRICS_BYTES_MAX)
                while not answer.content.at_eof() and len(content) < limits.CONSOLE_METRICS_BYTES_MAX:
                    content += await answer.content.read(limits.CONSOLE_METRICS_BYTES_MAX)
                return content if answer.status == 200 else f"HTTP {answer.status}"  # noqa: PLR2004  # OK
        except TimeoutError:
            return f"no answer within {limits.CONSOLE_CALL_S_MAX:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return str(error) or type(error).__name__


def _identity(process: Process) -> object:
    return next(iter(process.figures.get("dip_info", ())), process.address)


def named(text: str) -> tuple[str, ...]:
    """Read DIP_CONSOLE_PROCESSES. Raises SettingsInvalid."""
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    for one in found:
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise SettingsInvalid(
                f"DIP_CONSOLE_PROCESSES: {one!r}: expected http://host:port of health pages, comma separated"
            )
    return found


async def _resolved(url: str) -> tuple[str, ...]:
    """Return the addresses behind a name: a headless service stands for all its pods."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return (url,)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 80, type=socket.SOCK_STREAM
        )
    except OSError:
        return (url,)  # asking it says why
    hosts = sorted({str(one[4][0]) for one in found})
    if len(hosts) == 1:
        return (url,)
    return tuple(f"http://{f'[{one}]' if ':' in one else one}:{parts.port or 80}" for one in hosts)


def figures(page: bytes) -> Figures:
    """Read a page of metrics; what is not in `pipeline.metrics` is left out. Raises ValueError."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(page.decode()):
        metric = BY_NAME.get(family.name) or BY_NAME.get(f"{family.name}_total")
        if metric is None:
            continue
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in (*metric.labels, "le") if name in sample.labels)
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def _rows(page: bytes) -> Iterable[StandingRow]:
    try:
        for row in orjson.loads(page)["lanes"]:
            own: dict[str, Any] = {name: row.get(name) for name in _OWN}
            own["oldest_at"] = own["oldest_at"] and datetime.fromisoformat(own["oldest_at"])
            yield StandingRow(**own)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("a page of lanes cannot be read: %r", error)
