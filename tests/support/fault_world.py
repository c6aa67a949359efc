"""A dispatcher with the real webhook client, one recipient for every fault, and healthy ones beside them.

First everybody meets their fault; while those that hang still hang, the healthy are sent more. Then whoever can be
mended is mended, and time passes. What is left over is the ledger.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from pipeline.adapters.webhook import WebhookClient
from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Result
from pipeline.domain.envelope import AuditRecord, Copy
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.parked import Parked
from pipeline.domain.participants import ANY_CHANNEL, Participant, Participants, Webhook
from pipeline.simulator.hostile.answers import MARK
from pipeline.simulator.hostile.expectation import Fault
from pipeline.simulator.hostile.server import Call
from pipeline.simulator.hostile.table import ANSWER_FAULTS, HEALTHY
from pipeline.simulator.hostile.tls import TLS_FAULTS
from tests.support.fake_engine import FakeParticipants, PlainCodec, World, make_copy
from tests.support.fault_server import RunningFaults, client_of

FAULTS: dict[str, Fault] = {**ANSWER_FAULTS, **TLS_FAULTS}
HEALTHY_BEFORE, HEALTHY_BESIDE = 5, 40
PATIENCE_S = 5.0
_AT_A_TIME = (
    6  # calls that do not hang: fifty handshakes at once take longer than one may, on a loaded machine
)


class Watched:
    """The real client, with a note of every call that began and ended."""

    def __init__(
        self, client: WebhookClient, hanging: frozenset[str], alone: dict[str, WebhookClient]
    ) -> None:
        self._client = client
        self._alone = alone
        self._hanging = hanging
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self.under_way: set[str] = set()
        self.posts: list[Post] = []
        self.results: dict[str, list[Result]] = {}

    async def post(self, post: Post) -> Result:
        if post.recipient in self._hanging:
            return await self._noted(post)
        async with self._turns:
            return await self._noted(post)

    async def _noted(self, post: Post) -> Result:
        self.posts.append(post)
        self.under_way.add(post.recipient)
        result = await self._alone.get(post.recipient, self._client).post(post)
        self.under_way.discard(post.recipient)
        self.results.setdefault(post.recipient, []).append(result)
        return result


@dataclass(slots=True)
class Places:
    """Where the copies of one recipient are at a moment, and what the audit says of its calls."""

    delivered: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    audits: list[AuditRecord] = field(default_factory=list)

    def tries(self) -> list[AuditRecord]:
        """Return what the audit says of calls that were made."""
        return [one for one in self.audits if one.attempt is not None]


@dataclass(slots=True, kw_only=True)
class Met:
    """Everything that is known of a run, by the name of the fault; `written` is all that went to topics."""

    sent: dict[str, list[Copy]]
    first: dict[str, Places]
    last: dict[str, Places]
    hung_beside: frozenset[str]
    posts: dict[str, list[Post]]
    results: dict[str, list[Result]]
    calls: tuple[Call, ...]
    written: bytes


def meet_everything(running: RunningFaults) -> Met:
    """Run all of it; takes twice the patience of the client."""
    return asyncio.run(_meet(running))


async def _meet(running: RunningFaults) -> Met:
    who = {name: f"23{number:08d}" for number, name in enumerate(FAULTS, 1)}
    names = {recipient: name for name, recipient in who.items()}
    hanging = frozenset(who[name] for name, fault in FAULTS.items() if fault.hangs)
    settings = running.settings(webhook_timeout_s=PATIENCE_S)
    client = client_of(settings)
    # Every fault is at the same host and shares its connections; these would be felt by whoever comes next.
    alone = {who[name]: client_of(settings) for name, fault in FAULTS.items() if fault.lingers}
    watched = Watched(client, hanging, alone)
    world = World(
        webhooks=watched,  # type: ignore[arg-type]
        people=FakeParticipants(_people(running, who.values(), names, mended=False)),
        in_flight_max=4 * len(FAULTS),
    )
    await world.own()
    sent: dict[str, list[Copy]] = {name: [] for name in FAULTS}
    number = 0
    for name in FAULTS:
        for _ in range(3 if name.endswith("-marked") else HEALTHY_BEFORE if name == HEALTHY.name else 1):
            number += 1
            sent[name].append(_copy(number, who[name], marked=len(sent[name]) == 1))
    world.send(*(copy for name, copies in sent.items() for copy in copies if not FAULTS[name].hangs))
    await _quiet(world, watched)
    world.send(*(copy for name, copies in sent.items() for copy in copies if FAULTS[name].hangs))
    await _until(lambda: hanging <= watched.under_way, "everything that hangs is under way")
    beside = [_copy(number + one, who[HEALTHY.name]) for one in range(1, HEALTHY_BESIDE + 1)]
    sent[HEALTHY.name] += beside
    world.send(*beside)
    everything = HEALTHY_BEFORE + HEALTHY_BESIDE
    await _until(
        lambda: len(_places(world, names)[HEALTHY.name].delivered) == everything, "the healthy are served"
    )
    hung_beside = frozenset(names[one] for one in hanging & watched.under_way)
    await _quiet(world, watched)
    first = _places(world, names)

    world.people.picture = _people(running, who.values(), names, mended=True)
    for _ in range(20):
        await world.pass_time(7_200)
        await _quiet(world, watched)
        if not world.engine.parked():
            break
    last = _places(world, names)
    for one in (client, *alone.values()):
        await one.close()
    posts: dict[str, list[Post]] = {name: [] for name in FAULTS}
    for post in watched.posts:
        posts[names[post.recipient]].append(post)
    results = {names[one]: found for one, found in watched.results.items()}
    return Met(
        sent=sent,
        first=first,
        last=last,
        hung_beside=hung_beside,
        posts=posts,
        results=results,
        calls=tuple(running.server.calls),
        written=b"\n".join(
            part or b""
            for one in world.engine.outputs
            for part in (one.value, *(value for _, value in one.headers))
        ),
    )


def _people(
    running: RunningFaults, ids: Iterable[str], names: dict[str, str], *, mended: bool
) -> Participants:
    """Return the recipients; once `mended`, all but those that change their mind by themselves are healthy."""

    def url(name: str) -> str:
        return running.server.url(HEALTHY.name if mended and FAULTS[name].then is None else name)

    return Participants(
        Participant(
            id=ParticipantId(one), name=one, webhooks=(Webhook(channel=ANY_CHANNEL, url=url(names[one])),)
        )
        for one in ids
    )


def _copy(number: int, recipient: str, *, marked: bool = False) -> Copy:
    copy = make_copy(number, recipient=recipient)
    text = MARK.decode() if marked else "fine"
    body = f'{{"transactionID":"{copy.transaction_id}","text":"{text}"}}'
    return replace(copy, body=body.encode())


async def _until(condition, what: str) -> None:
    """Wait in real time; the limit only ends a run that hangs."""
    try:
        async with asyncio.timeout(120):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def _quiet(world: World, watched: Watched) -> None:
    """Wait until nothing is under way and nothing wants to be."""
    calm = 0
    while calm < 3:
        await world.settle_down()
        calm = 0 if watched.under_way or world.dispatcher.figures().posts else calm + 1


def _places(world: World, names: dict[str, str]) -> dict[str, Places]:
    found = {name: Places() for name in FAULTS}
    for record in world.engine.audits():
        if record.recipient in names:
            place = found[names[record.recipient]]
            place.audits.append(record)
            if record.status == "Delivered":
                place.delivered += [one.delivery_id for one in record.copies]
    for letter in world.engine.dead():
        copy = PlainCodec().decode_copy(letter.value)
        found[names[copy.recipient]].dead.append(copy.delivery_id)
    for rows in world.engine.table.values():
        for row in rows.values():
            found[names[row.delivery_id.partition(">")[2]]].parked.append(row)
    return found


def ledger_of(places: Places) -> Counter[str]:
    """Return in how many places each copy is."""
    return Counter([*places.delivered, *places.dead, *(one.delivery_id for one in places.parked)])
