"""A console whose outside is made of fakes, on a free port; and people who log in to it."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import aiohttp
from aiohttp.test_utils import TestServer

from pipeline import topics
from pipeline.console.accounts import Account, Accounts, Role, account_of
from pipeline.console.app import Console
from pipeline.console.ports import (
    Asked,
    Found,
    FoundLetters,
    Outside,
    Plan,
    Process,
    Requeue,
    StandingRow,
    Standings,
    Story,
    Trouble,
)
from pipeline.console.sessions import Session, sealed
from pipeline.domain.appointments import History
from pipeline.domain.audit_query import Wanted
from pipeline.domain.dead_letters import Letter, Place
from pipeline.domain.identifiers import InterfaceId, Mpan, ParticipantId, TransactionId
from pipeline.domain.lane_orders import NO_ORDERS, LaneOrder, LaneOrders
from pipeline.domain.notices import Told
from pipeline.domain.participants import Participants

NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
PASSWORD = "correct horse battery"
KEY = b"k" * 32


@cache
def account(name: str, role: Role, participant: str | None = None) -> Account:
    """Hashing takes a tenth of a second: once per account and run."""
    return account_of(name, role, PASSWORD, participant=participant)


@dataclass
class FakeOutside:
    """All ports in one object; what is a Trouble is answered by everything that it is about."""

    now_at: datetime = NOW
    accounts: dict[str, Account] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    lanes: Standings = field(default_factory=Standings)
    lag: Mapping[tuple[str, str], int] | Trouble = field(default_factory=dict)
    market: Participants | Trouble = field(default_factory=lambda: Participants(()))
    notices: Sequence[Told] | Trouble = ()
    orders_now: LaneOrders | Trouble = NO_ORDERS
    given: list[LaneOrder] = field(default_factory=list)
    refuses: Trouble | None = None
    found: Found | Trouble = field(default_factory=lambda: Found(records=(), complete=True, since=NOW))
    searched: list[Wanted] = field(default_factory=list)
    stories: dict[str, Story] | Trouble = field(default_factory=dict)
    letters_now: FoundLetters | Trouble = field(default_factory=lambda: FoundLetters(letters=(), more=False))
    planned: Plan | Trouble = field(default_factory=lambda: Plan(going=0, kinds=(), staying=()))
    requeued: list[tuple[Asked, str, float]] = field(default_factory=list)
    running: Requeue | None = None
    histories: dict[str, History] | Trouble = field(default_factory=dict)
    channels: Sequence[InterfaceId] = (InterfaceId("IF-021"), InterfaceId("IF-031"))

    # Clock, accounts, readiness
    def now(self) -> datetime:
        return self.now_at

    def current(self) -> Accounts:
        return Accounts(key=KEY, by_name=self.accounts)

    def missing(self) -> Sequence[str]:
        return ()

    # Processes, lags
    async def look(self) -> tuple[Process, ...]:
        return self.processes

    async def standings(self) -> Standings:
        return self.lanes

    async def lags(self) -> Mapping[tuple[str, str], int] | Trouble:
        return self.lag

    # Market, lanes
    async def people(self) -> Participants | Trouble:
        return self.market

    async def told(self) -> Sequence[Told] | Trouble:
        return self.notices

    async def orders(self) -> LaneOrders | Trouble:
        return self.orders_now

    async def give(self, order: LaneOrder) -> Trouble | None:
        if self.refuses is None:
            self.given.append(order)
        return self.refuses

    # Audit
    async def search(self, wanted: Wanted) -> Found | Trouble:
        self.searched.append(wanted)
        if isinstance(self.found, Trouble):
            return self.found
        records = tuple(one for one in self.found.records if wanted.takes(one[1]))
        return replace(self.found, records=records)

    async def story(self, transaction: TransactionId) -> Story | Trouble:
        if isinstance(self.stories, Trouble):
            return self.stories
        return self.stories.get(transaction, Story(records=(), source="the journal"))

    # Letters
    async def find(self, asked: Asked) -> FoundLetters | Trouble:
        if isinstance(self.letters_now, Trouble):
            return self.letters_now
        kept = [one for one in self.letters_now.letters if asked.wanted.takes(one)]
        return FoundLetters(letters=tuple(kept), more=self.letters_now.more)

    async def at(self, place: Place) -> Letter | Trouble | None:
        if isinstance(self.letters_now, Trouble):
            return self.letters_now
        return next((one for one in self.letters_now.letters if one.place == place), None)

    async def plan(self, asked: Asked) -> Plan | Trouble:
        return self.planned

    async def requeue(self, asked: Asked, *, by: str, rate_per_s: float) -> Trouble | None:
        if self.refuses is None:
            self.requeued.append((asked, by, rate_per_s))
        return self.refuses

    def progress(self) -> Requeue | None:
        return self.running

    # Meters
    async def history(self, mpan: Mpan) -> History | Trouble | None:
        return self.histories if isinstance(self.histories, Trouble) else self.histories.get(mpan)

    def ports(self) -> Outside:
        return Outside(
            clock=self,
            accounts=_Accounts(self),
            processes=self,
            lags=self,
            market=self,
            lanes=self,
            audit=self,
            letters=self,
            meters=self,
            ready=self,
        )

    def everything_is_away(self) -> None:
        """Let every port say that it cannot know."""
        away = Trouble(text="Kafka does not answer.")
        self.processes = (Process(address="http://10.0.0.1:8081", trouble="connection refused"),)
        self.lanes = Standings(troubles=("http://10.0.0.1:8081 does not answer: connection refused",))
        self.lag = self.market = self.notices = self.orders_now = self.found = away
        self.stories = self.letters_now = self.planned = self.histories = self.refuses = away


class _Accounts:
    """`current` is the accounts' method; the other ports have none of that name."""

    def __init__(self, outside: FakeOutside) -> None:
        self._outside = outside

    def current(self) -> Accounts:
        return self._outside.current()


@dataclass(kw_only=True)
class Seen:
    """A page as it came."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def token(self) -> str:
        """The form token of the page."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.text)
        assert found is not None, self.text
        return found[1]


class Person:
    """A browser of somebody's own: cookies, and no JavaScript."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url = url
        self.cookie = cookie
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def get(self, path: str) -> Seen:
        async with self.session.get(self.url + path, allow_redirects=False) as answer:
            return Seen(status=answer.status, text=await answer.text(), headers=answer.headers)

    async def post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Seen:
        async with self.session.post(
            self.url + path, data=form, headers=headers, allow_redirects=False
        ) as answer:
            return Seen(status=answer.status, text=await answer.text(), headers=answer.headers)

    async def send(self, path: str, page: str, **form: str) -> Seen:
        """Send a form of a page, with the page's token."""
        return await self.post(path, {"token": (await self.get(page)).token, **form})

    async def login(self, name: str, password: str = PASSWORD) -> Seen:
        return await self.send("/login", "/login", name=name, password=password)

    async def close(self) -> None:
        await self.session.close()


@dataclass(kw_only=True)
class Rig:
    """A console that serves, and everybody who was let in."""

    outside: FakeOutside
    console: Console
    server: TestServer
    people: list[Person] = field(default_factory=list)

    def visitor(self) -> Person:
        person = Person(f"http://127.0.0.1:{self.server.port}", self.console.cookie)
        self.people.append(person)
        return person

    async def as_(self, role: Role, participant: str | None = None) -> Person:
        """Return somebody who is logged in."""
        name = role.value if participant is None else f"p{participant}"
        self.outside.accounts[name] = account(name, role, participant)
        person = (
            self.visitor()
        )  # its cookie is made here: hashing at every login would be most of the tests' time
        session = Session(user=name, since=self.outside.now(), nonce=secrets.token_hex(16))
        person.session.cookie_jar.update_cookies(
            {self.console.cookie: sealed(session, self.outside.current())}
        )
        return person

    async def close(self) -> None:
        for one in self.people:
            await one.close()
        await self.server.close()


async def open_rig(outside: FakeOutside | None = None, *, secure: bool = False) -> Rig:
    outside = outside or FakeOutside()
    console = Console(outside.ports(), secure=secure, session_s=3600.0)
    server = TestServer(console.application(), host="127.0.0.1")
    await server.start_server()
    return Rig(outside=outside, console=console, server=server)


# --- what the pages tell of ---

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


def standing(recipient: str, channel: str = "IF-021", **figures: object) -> StandingRow:
    row = {
        "standing": "healthy", "order": None, "failures": 0, "next_try_at": None, "calls": 1, "calls_max": 8,
        "in_memory": 0, "parked": 0, "oldest_at": None,
    } | figures  # fmt: skip
    return StandingRow(recipient=recipient, channel=channel, **row)


def letter(offset: int, *, record: object = None, **facts: str) -> Letter:
    told = {"stage": "addressing", "code": "MSG1037", "text": "unknown MPAN", "at": str(NOW.timestamp())}
    return Letter(
        place=Place(topic=topics.DEAD_LETTER_ADDRESSING, partition=0, offset=offset),
        stage="addressing",
        key=b"k",
        value=b"bytes",
        facts=told | facts,
        record=record,
    )


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def whose(participant: str) -> ParticipantId:
    return ParticipantId(participant)
