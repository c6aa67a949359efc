"""A participant with real keys, and a bridge that listens on a free port, for tests of the entrance."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import aiohttp
import orjson
from yarl import URL

from pipeline import schemas, topics
from pipeline.adapters.certificates import CertificateAuthority, Issued
from pipeline.adapters.producer import Outgoing, Publication, Published, Unpublished
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.api_keys import kept
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.domain.signing import Policy, Signer
from pipeline.ingress.app import Bridge
from pipeline.ingress.connections import ClientBounds
from pipeline.ingress.outside import Outside, Shards
from pipeline.ingress.server import Listening, listen
from pipeline.ingress.tracing import TracedBridge, TracedPublisher
from pipeline.ingress.trust import FixedTrust, Trust
from pipeline.ports import Traces
from pipeline.settings import Settings
from tests.support.documented import Documented

NOW = datetime(2026, 1, 5, 9, 30, 0, 250_000, tzinfo=UTC)


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("Signing CA of the tests", now=NOW)


@cache
def certificate_of(participant: str) -> Issued:
    """RSA keys take a tenth of a second to make: once per participant and run."""
    return authority().issue(participant, usage="signing", days=3_000, now=NOW)


@cache
def signer_of(participant: str) -> Signer:
    issued = certificate_of(participant)
    return Signer.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A participant's own side: its key and its signer."""

    id: ParticipantId
    role: Role | None = None
    providers: tuple[str, ...] = ()

    @property
    def api_key(self) -> str:
        return f"key-of-{self.id}-0123456789abcdef"

    @property
    def signer(self) -> Signer:
        return signer_of(self.id)

    @property
    def row(self) -> Participant:
        """What `dip.participants` holds of it."""
        start = datetime(2020, 1, 1, tzinfo=UTC)
        return Participant(
            id=self.id,
            name=f"Party {self.id}",
            roles=(RoleGrant(role=self.role, valid_from=start),) if self.role else (),
            api_keys=(kept(self.api_key, b"salt of the tests"),),
            certificates=frozenset({certificate_of(self.id).fingerprint}),
            connection_providers=frozenset(map(ParticipantId, self.providers)),
        )

    def headers(self, url: str, body: bytes, *, now: datetime = NOW, method: str = "POST") -> dict[str, str]:
        """Return all headers of a proper request."""
        return {
            "X-API-Key": self.api_key,
            "Content-Type": "application/json",
            **self.signer.headers(method, url, body, now),
        }


SENDER = Party(id=ParticipantId("1400000001"), role=Role("SDS"), providers=("9900000001",))
OTHER = Party(id=ParticipantId("1400000002"), role=Role("SDS"))
PROVIDER = Party(id=ParticipantId("9900000001"))
SUPPLIER = Party(id=ParticipantId("2300000001"), role=Role("SUP"))
EVERYBODY = Participants([SENDER.row, OTHER.row, PROVIDER.row, SUPPLIER.row])


def reading(
    number: int = 1, *, sender: Party = SENDER, provider: Party | None = None, **overrides: object
) -> dict[str, Any]:
    """Return a valid IF-021 of one day; `overrides` are fields of S1."""
    s1: Mapping[str, object] = {
        "senderUniqueReference": f"S-IF-021-{sender.id}-SDS-20260105-{number}",
        "senderDIPID": sender.id,
        "senderRoleID": "SDS",
        "DIPConnectionProviderID": None if provider is None else provider.id,
        "senderCorrelationID": None,
        "senderTimestamp": "2026-01-05T09:30:00+00:00",
        **overrides,
    }
    return sample(
        catalogue(),
        InterfaceId("IF-021"),
        EventCode("ActivePower"),
        random.Random(number),
        overrides={f"CommonBlock.S1.{name}": value for name, value in s1.items()},
    )


def array(*messages: object) -> bytes:
    """Return messages as a sender writes them."""
    return orjson.dumps(messages)


@dataclass
class FixedClock:
    """Stands still, so that signatures stay fresh."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class FixedParticipants:
    """Everybody, from the start."""

    everybody: Participants = field(default_factory=lambda: EVERYBODY)

    def current(self) -> Participants:
        return self.everybody


@dataclass
class Recorder:
    """A publisher that keeps what it is given, the audit's notes of refusals apart.

    `gate` holds confirmations back; `failure` makes them fail.
    """

    records: list[Outgoing] = field(default_factory=list)
    noted: list[Outgoing] = field(default_factory=list)
    gate: asyncio.Event | None = None
    failure: str | None = None
    handed: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        if all(one.topic == topics.AUDIT for one in records):
            self.noted.extend(records)
            return Published() if self.failure is None else Unpublished(reason=self.failure)
        self.records.extend(records)
        self.handed.set()
        if self.gate is not None:
            await self.gate.wait()
        return Published() if self.failure is None else Unpublished(reason=self.failure)

    def answers(self) -> bool:
        return self.failure is None


class NoSchemas:
    """A registry that has nothing but what the codec ships with."""

    def schema(self, schema_id: int) -> str:
        raise KeyError(schema_id)


def codec() -> Codec:
    return Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoSchemas())


@dataclass
class World:
    """A listening bridge with a client."""

    bridge: Bridge
    listening: Listening
    publisher: Recorder
    client: aiohttp.ClientSession
    watched: Documented | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.listening.port}"

    async def post(
        self,
        body: bytes,
        *,
        path: str = "/dip-channel/IF-021",
        party: Party = SENDER,
        headers: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> "Answer":
        """POST a properly signed body; `headers` replaces some headers, `without` leaves some out."""
        return await self.call("POST", path, body, party=party, headers=headers, without=without)

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        party: Party = SENDER,
        headers: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> "Answer":
        """Call with any method; `path` is sent as it is written."""
        url = self.origin + path
        all_headers = party.headers(url, body, method=method) | dict(headers or {})
        kept_headers = {name: value for name, value in all_headers.items() if name not in without}
        target = URL(url, encoded=True)
        async with self.client.request(method, target, data=body, headers=kept_headers) as response:
            return Answer(status=response.status, headers=response.headers, body=await response.read())

    async def close(self) -> None:
        await self.client.close()
        await self.listening.stop()
        self.bridge.close()
        assert self.watched is None or not self.watched.undocumented


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Return the Bodies of a StandardResponse."""
        found: list[dict[str, Any]] = orjson.loads(self.body)["messageArray"]
        return found

    @property
    def value(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self.body)

    @property
    def help(self) -> str:
        """Return the text that tells what to do, wherever it is."""
        return self.headers["X-DIP-Help"] if "X-DIP-Help" in self.headers else str(self.bodies[0]["help"])


async def open_world(
    *,
    publisher: Recorder | None = None,
    participants: Participants = EVERYBODY,
    now: datetime = NOW,
    bounds: ClientBounds | None = None,
    shards: Shards | None = None,
    traces: Traces | None = None,
    **settings: Any,
) -> World:
    publisher = publisher or Recorder()
    chosen = Settings(**settings)
    bridge = Bridge(
        Outside(
            settings=chosen,
            clock=FixedClock(now),
            participants=FixedParticipants(participants),
            publisher=publisher if traces is None else TracedPublisher(publisher, traces),
            encoder=codec(),
            catalogue=catalogue(),
            trust=FixedTrust(trust=Trust(signing=Policy(skew_s=chosen.clock_skew_s))),
            shards=shards,
        )
    )
    watched = Documented(bridge.handle if traces is None else TracedBridge(bridge, traces).handle)
    listening = await listen(
        watched,
        host="127.0.0.1",
        port=0,
        counters=bridge.entrance.counters,
        bounds=bounds or ClientBounds(),
    )
    return World(
        bridge=bridge,
        listening=listening,
        publisher=publisher,
        client=aiohttp.ClientSession(),
        watched=watched,
    )
