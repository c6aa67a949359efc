"""A peak: half-hourly consumption only, written and signed in advance, so that the router is what is measured.

A market day reads every delivery as a careful participant would, which costs more than the router's own work. Here a
webhook looks for the references in the bytes and answers, and the account is still exact: every message, every
recipient that the market's model names, once. Every so many deliveries one is read in full.
"""

import asyncio
import dataclasses
import itertools
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

from pipeline import limits
from pipeline.client import Author
from pipeline.simulator.cast import Player
from pipeline.simulator.model import Reaches
from pipeline.simulator.plan import Draft, Parcel
from pipeline.simulator.signature import Reader
from pipeline.simulator.writing import Writer

_REFERENCE: Final = re.compile(rb'"senderUniqueReference":"([^"]+)"')
_TAKEN: Final = 201
_CHANNEL: Final = "IF-021"
_NUMBER_DIGITS: Final = 7  # of a reference: `Author.draft` writes as many


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One signed array, ready to go."""

    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    references: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """Who must get what, and what came: counts for each recipient, times for each copy."""

    expected: dict[str, frozenset[str]] = field(default_factory=dict)
    accepted_s: dict[str, float] = field(default_factory=dict)
    arrived_s: dict[tuple[str, str], float] = field(default_factory=dict)
    doubled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def arrive(self, recipient: str, reference: str, *, at_s: float) -> None:
        """Note one copy, the first time it comes."""
        if self.arrived_s.setdefault((reference, recipient), at_s) != at_s:
            self.doubled += 1

    def due(self, references: Iterable[str]) -> set[tuple[str, str]]:
        """Return the copies that accepted messages must become."""
        return {
            (one, recipient)
            for one in references
            if one in self.accepted_s
            for recipient in self.expected[one]
        }

    def phantoms(self) -> list[tuple[str, str]]:
        """Return what came to somebody whom the model does not name. A message of no run (a canary) is nobody's."""
        return [
            (reference, recipient)
            for reference, recipient in self.arrived_s
            if reference in self.expected and recipient not in self.expected[reference]
        ]

    def latencies_s(self, due: Iterable[tuple[str, str]]) -> list[float]:
        """Return the time from the 201 to the recipient's reply of each copy that came."""
        return [
            max(0.0, self.arrived_s[copy] - self.accepted_s[copy[0]])
            for copy in due
            if copy in self.arrived_s
        ]


@dataclass(slots=True, kw_only=True)
class Supply:
    """Turns the consumption of a plan into signed posts, as many as anybody asks for: each under a new reference."""

    drafts: Sequence[Draft]
    writer: Writer
    pens: Mapping[str, Author]
    bridge_url: str
    now: Callable[[], datetime]
    array_size: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _places: dict[str, int] = field(default_factory=dict)

    @classmethod
    def parcels(cls, parcels: Iterable[object]) -> tuple[Draft, ...]:
        """Return the drafts of a plan's stream that a peak consists of, ordered by sender."""
        return tuple(
            draft
            for one in parcels
            if isinstance(one, Parcel) and one.channel == _CHANNEL
            for draft in one.drafts
        )

    def posts(self, messages: int, tally: Tally) -> list[Post]:
        """Return about `messages` messages in posts, senders in turn; the tally expects them from now on."""
        by_sender: dict[str, list[Draft]] = {}
        for draft in self.drafts:
            by_sender.setdefault(draft.sender.id, []).append(draft)
        senders = sorted(by_sender, key=lambda one: -len(by_sender[one]))
        weights = [len(by_sender[one]) for one in senders]
        credit = dict.fromkeys(senders, 0.0)
        found = []
        for _ in range(max(1, messages // self.array_size)):
            for sender, weight in zip(senders, weights, strict=True):
                credit[sender] += weight / sum(weights)
            sender = max(senders, key=credit.__getitem__)
            credit[sender] -= 1
            found.append(self._post(by_sender[sender], tally))
        return found

    def _post(self, drafts: Sequence[Draft], tally: Tally) -> Post:
        sender = drafts[0].sender
        start = self._places.get(sender.id, 0)
        self._places[sender.id] = start + self.array_size
        fresh = [
            self._renamed(drafts[place % len(drafts)]) for place in range(start, start + self.array_size)
        ]
        for draft in fresh:
            assert isinstance(draft.expectation, Reaches)
            tally.expected[draft.reference] = draft.expectation.recipients
        body = b"[" + b",".join(self.writer.body(draft) for draft in fresh) + b"]"
        path = f"/dip-channel/{_CHANNEL}"
        signed = self.pens[sender.id].headers("POST", self.bridge_url + path, body, now=self.now())
        return Post(
            path=path,
            headers={"Accept": "application/json", "Content-Type": "application/json", **signed},
            body=body,
            references=tuple(draft.reference for draft in fresh),
        )

    def _renamed(self, draft: Draft) -> Draft:
        """Return a draft under a reference that nothing else of the run has: the plan's own never leave."""
        number = f"{next(self._numbers):0{_NUMBER_DIGITS}d}"
        return dataclasses.replace(draft, reference=f"{draft.reference[:-_NUMBER_DIGITS]}p{number}")


@dataclass(slots=True, kw_only=True)
class Sinks:
    """The participants' webhooks, as cheap as they can be and still be counted on."""

    tally: Tally
    reader: Reader
    _server: web.ServerRunner | None = None
    _origin: str = ""
    _seen: int = 0

    async def start(self, *, tls: ssl.SSLContext) -> None:
        """Listen on a free port of the loopback address."""
        self._server = web.ServerRunner(web.Server(self._take, access_log=None), shutdown_timeout=1)
        await self._server.setup()
        await web.TCPSite(self._server, "127.0.0.1", 0, ssl_context=tls).start()
        self._origin = f"https://127.0.0.1:{self._server.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            await self._server.cleanup()

    def urls(self, player: Player) -> tuple[str, str]:
        """Return where a participant takes messages and status messages."""
        return f"{self._origin}/messages/{player.id}", f"{self._origin}/status/{player.id}"

    async def _take(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        _, kind, recipient = request.path.split("/")
        if kind == "status":
            self.tally.wrong.append(f"a status message to {recipient}: {body[:300]!r}")
            return web.Response(status=_TAKEN)
        if self._seen % limits.PEAK_CHECK_ONE_IN == 0:
            self._check(request, body)
        self._seen += 1
        now_s = asyncio.get_running_loop().time()
        for reference in _REFERENCE.findall(body):
            self.tally.arrive(recipient, reference.decode(), at_s=now_s)
        return web.Response(status=_TAKEN)

    def _check(self, request: web.BaseRequest, body: bytes) -> None:
        complaint = self.reader.complaint(request.headers, f"{self._origin}{request.path}", body)
        if complaint:
            self.tally.wrong.append(f"delivery to {request.path}: {complaint}")


@dataclass(slots=True, kw_only=True)
class Load:
    """Sends posts at a rate, whatever the answers do: an open loop, as a market is one."""

    bridge_url: str
    tls: ssl.SSLContext
    tally: Tally
    _session: aiohttp.ClientSession = field(init=False, repr=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.PEAK_CONNECTIONS_MAX, ssl=self.tls),
            timeout=aiohttp.ClientTimeout(total=limits.SIMULATOR_POST_TIMEOUT_S_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, posts: Sequence[Post], *, every_s: float) -> float:
        """Send one post every so many seconds; return how long it took until the last answer."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        async with asyncio.TaskGroup() as sending:
            for number, post in enumerate(posts):
                wait_s = started_s + number * every_s - loop.time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                sending.create_task(self._post(post))
        return loop.time() - started_s

    async def _post(self, post: Post) -> None:
        try:
            async with self._session.post(
                URL(self.bridge_url + post.path, encoded=True), data=post.body, headers=post.headers
            ) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.refused[type(error).__name__] += 1
            return
        if answer.status != _TAKEN:
            self.tally.refused[str(answer.status)] += 1
            self.tally.wrong.append(f"answered {answer.status}: {text[:300].decode(errors='replace')}")
            return
        now_s = asyncio.get_running_loop().time()
        for reference in post.references:
            self.tally.accepted_s[reference] = now_s
