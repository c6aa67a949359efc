"""A day of the market as its simulator saw it, and as the journal tells it: the same, for every message and every filter.

The log is drawn from a seed and written as router and delivery write it: a receipt, a routing, and for each array that
was posted one record. What is asked goes through the bridge's own calls and the worker's own steps and answers.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest

from pipeline.domain.continuation import Continuation, read_token
from pipeline.domain.copy_index import wanted_messages
from pipeline.domain.envelope import (
    Addressee,
    AuditCopy,
    AuditRecord,
    Copy,
    Kind,
    Reason,
    Stage,
    Status,
)
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, ParticipantId, Role, SenderReference
from pipeline.domain.times import format_instant
from pipeline.ingress.calls import Reply
from pipeline.ingress.delivery_status import DeliveryStatus
from pipeline.ingress.replaying import CONTINUATION, Replay
from tests.support.bridge import NOW
from tests.support.journal_rig import CODEC, JournalRig, copy_of, reference, transaction

SECRET = "a secret of the tests, long enough"
SENDERS = tuple(f"14000000{number:02d}" for number in range(1, 9))
RECIPIENTS = tuple(f"23000000{number:02d}" for number in range(1, 25))
EVENTS = {
    "IF-021": ("ActivePower", "ReactivePower"),
    "IF-035": ("MSAppAccepted", "DSAppAccepted"),
    "IF-041": ("SmartCumRR",),
}
CHANNELS = ("IF-021", "IF-021", "IF-021", "IF-021", "IF-035", "IF-041")
DAY_BEGINS = NOW - timedelta(hours=9)
ENDINGS: tuple[tuple[tuple[Status, int | None], ...], ...] = (
    ((Status.DELIVERED, 201),),
    ((Status.DELIVERED, 201),),
    ((Status.DELIVERED, 201),),
    ((Status.RETRYING, 503), (Status.DELIVERED, 201)),
    ((Status.RETRYING, None), (Status.RETRYING, 429), (Status.DELIVERED, 207)),
    ((Status.REJECTED_BY_RECIPIENT, 400),),
    ((Status.RETRYING, 500), (Status.RETRIES_EXHAUSTED, 500)),
    ((Status.DELIVERY_FAILURE, 403),),
    ((Status.PAUSED, None),),
    (),
)
"""How it ended with a recipient: each POST's status, None where nobody answered; nothing yet, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One message as the simulator saw it."""

    number: int
    sender: str
    channel: str
    event: str
    mpan: str
    version: str
    at: datetime
    ends: dict[str, tuple[tuple[Status, int | None], ...]]

    @property
    def transaction(self) -> str:
        return transaction(self.number, self.sender, self.channel)

    def copy(self, recipient: str) -> Copy:
        return copy_of(
            self.number, recipient, at=self.at, channel=self.channel, event=self.event, mpan=self.mpan,
            version=self.version, sender=self.sender,
        )  # fmt: skip


@dataclass
class Day:
    """The simulator's log, and the topics that were written from it."""

    rng: Random
    rig: JournalRig = field(default_factory=JournalRig)
    log: list[Happened] = field(default_factory=list)

    def goes_on(self, count: int) -> None:
        """Let so many messages be received, routed and posted in arrays, and the journal read of it."""
        batch = [self._one(len(self.log) + number) for number in range(count)]
        self.log += batch
        for one in batch:
            for record in self._said(one):
                self.rig.said(record)
            for recipient in one.ends:
                self.rig.sent(one.copy(recipient))
        for array in self._arrays(batch):
            self._posted(*array)
        self.rig.index()

    def _one(self, number: int) -> Happened:
        rng = self.rng
        channel = rng.choice(CHANNELS)
        return Happened(
            number=number,
            sender=rng.choice(SENDERS),
            channel=channel,
            event=rng.choice(EVENTS[channel]),
            mpan=f"20000{rng.randrange(3_000):08d}",
            version=rng.choice(("011", "011", "010")),
            at=DAY_BEGINS + timedelta(milliseconds=rng.randrange(9 * 3_600_000)),
            ends={one: rng.choice(ENDINGS) for one in rng.sample(RECIPIENTS, 4)},
        )

    def _said(self, one: Happened) -> Iterator[AuditRecord]:
        facts: dict[str, Any] = {
            "transaction_id": one.transaction,
            "received_at": one.at,
            "interface": InterfaceId(one.channel),
            "event": EventCode(one.event),
            "sender_id": ParticipantId(one.sender),
            "sender_reference": reference(one.number, one.sender),
            "mpan": Mpan(one.mpan),
        }
        yield AuditRecord(at=one.at, stage=Stage.INBOUND, status=Status.GOOD_TO_GO, **facts)
        addressees = tuple(
            Addressee(recipient=ParticipantId(name), reasons=(Reason(kind=Kind.SECONDARY, role=Role("SUP")),))
            for name in sorted(one.ends)
        )
        routed = one.at + timedelta(milliseconds=20)
        yield AuditRecord(
            at=routed, stage=Stage.ADDRESSING, status=Status.SENT_TO_TOPIC, addressees=addressees, **facts
        )

    def _arrays(
        self, batch: list[Happened]
    ) -> Iterator[tuple[str, str, int, tuple[tuple[Status, int | None], ...], list[Happened]]]:
        """Return what was posted together: copies of a channel for one recipient that ended alike."""
        groups: dict[tuple[str, str, tuple[tuple[Status, int | None], ...]], list[Happened]] = {}
        for one in batch:
            for recipient, ending in one.ends.items():
                groups.setdefault((recipient, one.channel, ending), []).append(one)
        for (recipient, channel, ending), some in groups.items():
            for first in range(0, len(some), 10):
                for number in range(len(ending)):
                    yield recipient, channel, number, ending, some[first : first + 10]

    def _posted(
        self,
        recipient: str,
        channel: str,
        number: int,
        ending: tuple[tuple[Status, int | None], ...],
        some: list[Happened],
    ) -> None:
        status, code = ending[number]
        copies = tuple(
            AuditCopy(
                delivery_id=copy.delivery_id, transaction_id=copy.transaction_id, sender_id=copy.sender_id,
                sender_reference=copy.sender_reference, mpan=copy.mpan,
            )
            for copy in (one.copy(recipient) for one in some)
        )  # fmt: skip
        at = max(one.at for one in some) + timedelta(seconds=1 + number)
        record = AuditRecord(
            at=at, stage=Stage.OUTBOUND, status=status, status_code=code, recipient=ParticipantId(recipient),
            channel=InterfaceId(channel), copies=copies, attempt=number + 1,
        )  # fmt: skip
        self.rig.said(record, key=copies[0].transaction_id)

    # --- what the journal says ---

    async def told(self, one: Happened, viewer: str) -> Any:
        """Return deliveryStatus of a message, None where there is none for the viewer."""
        outcome = await DeliveryStatus(CODEC)._ask(
            ParticipantId(viewer),
            InterfaceId(one.channel),
            SenderReference(reference(one.number, one.sender)),
            self.rig.worker.client(),
        )
        assert isinstance(outcome, Reply), outcome
        return outcome.value

    async def replayed(self, recipient: str, channel: str, request: dict[str, Any]) -> list[str]:
        """Return the transactions of a replay, page by page, while traffic goes on."""
        wanted = wanted_messages(ParticipantId(recipient), InterfaceId(channel), request)
        replay, at, found = Replay(SECRET), None, []
        while True:
            outcome = await replay._page(wanted, at, NOW, self.rig.worker.client())
            assert isinstance(outcome, Reply), outcome
            page = orjson.loads(orjson.dumps(outcome.value))
            found += [one["payload"]["CommonBlock"]["D0"]["transactionID"] for one in page]
            if CONTINUATION not in outcome.headers:
                return found
            read = read_token(SECRET.encode(), outcome.headers[CONTINUATION], wanted, now=NOW)
            assert isinstance(read, Continuation)
            at = read
            if self.rng.random() < TRAFFIC_SHARE:
                self.goes_on(3)


TRAFFIC_SHARE = 0.2


def expected(one: Happened, viewer: str) -> Counter[tuple[Any, ...]] | None:
    """Return the entries of a message's journal by the simulator's own log."""
    if viewer != one.sender and viewer not in one.ends:
        return None
    shown = sorted(one.ends) if viewer == one.sender else [viewer]
    entries: Counter[tuple[Any, ...]] = Counter(
        [("Inbound", "GoodToGo", None, 200, None), ("Addressing", "SentToTopic", None, 200, tuple(shown))]
    )
    for recipient in shown:
        entries.update(
            ("Outbound", status.value, recipient, code or 0, None) for status, code in one.ends[recipient]
        )
    return entries


def entries_of(journal: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    rows = journal["JournalEntries"]
    assert [one["rn"] for one in rows] == list(range(1, len(rows) + 1))
    assert [one["TimeGenerated"] for one in rows] == sorted(one["TimeGenerated"] for one in rows)
    return Counter(
        (
            one["DIPStage"],
            one["Status"],
            one["Recipient"],
            one["StatusCode"],
            tuple(one["Recipients"]) if "Recipients" in one else None,
        )
        for one in rows
    )


def a_filter(rng: Random, log: list[Happened]) -> tuple[str, str, dict[str, Any]]:
    """Draw a recipient, a channel and a request, most of them about something that was sent."""
    some = rng.choice(log)
    times = sorted(DAY_BEGINS + timedelta(seconds=rng.randrange(9 * 3_600)) for _ in range(2))
    request: dict[str, Any] = {
        "datetimeFrom": rng.choice((None, format_instant(times[0]))),
        "datetimeTo": rng.choice((None, format_instant(times[1]))),
        "eventCode": rng.choice((None, None, f"[{some.event}]")),
        "MPAN": rng.choice((None, None, some.mpan)),
        "version": rng.choice((None, None, "010")),
    }
    if rng.random() < 0.2:
        named = (some, *(rng.choice(log) for _ in range(3)))
        request["transactionIDs"] = [one.transaction for one in named]
    return rng.choice(tuple(some.ends)), some.channel, request


def naive(log: list[Happened], recipient: str, channel: str, request: dict[str, Any]) -> set[str]:
    since, until = (
        request[name] and datetime.fromisoformat(request[name]) for name in ("datetimeFrom", "datetimeTo")
    )
    return {
        one.transaction
        for one in log
        if recipient in one.ends
        and one.channel == channel
        and (since is None or since <= one.at.replace(microsecond=0))
        and (until is None or one.at.replace(microsecond=0) <= until)
        and request["eventCode"] in (None, f"[{one.event}]")
        and request["MPAN"] in (None, one.mpan)
        and request["version"] in (None, one.version)
        and one.transaction in request.get("transactionIDs", (one.transaction,))
    }


async def judged(day: Day, *, filters: int, others: float) -> None:
    """Ask for every message as its sender, for a share of them as a recipient and as a stranger, too; then replay."""
    rng, spent = day.rng, []
    for one in list(day.log):
        recipients = (rng.choice(tuple(one.ends)),) if rng.random() < others else ()
        for viewer in (one.sender, *recipients):
            began = time.process_time()
            journal = await day.told(one, viewer)
            spent.append(time.process_time() - began)
            assert entries_of(journal) == expected(one, viewer), (one, viewer)
            assert journal["DIPTransactionID"] == one.transaction
            assert journal["MPANCore"] == one.mpan
        stranger = rng.choice(RECIPIENTS + SENDERS)
        if rng.random() < others and expected(one, stranger) is None:
            assert await day.told(one, stranger) is None
    found = 0
    for _ in range(filters):
        recipient, channel, request = a_filter(rng, day.log)
        before = list(day.log)
        told = await day.replayed(recipient, channel, request)
        assert len(told) == len(set(told)), "a page repeats"
        assert set(told) == naive(before, recipient, channel, request), (recipient, channel, request)
        found += len(told)
    assert found, "the filters found nothing: the test has shown nothing"
    spent.sort()
    print(
        f"{len(day.log)} messages, {len(spent)} deliveryStatus of {spent[len(spent) // 2] * 1e3:.2f} ms CPU in the"
        f" middle, {spent[len(spent) * 99 // 100] * 1e3:.2f} ms at the 99th; {filters} replays of {found} messages"
    )


@pytest.mark.parametrize("seed", [1])
def test_every_delivery_status_and_every_replay_is_what_the_simulator_saw(seed: int) -> None:
    day = Day(rng=Random(seed), rig=JournalRig(page=7))
    day.goes_on(600)
    asyncio.run(judged(day, filters=40, others=1.0))


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_day_of_a_hundred_thousand_messages() -> None:
    """As above, whole; `DIP_JOURNAL_DAY` is another number of messages."""
    day = Day(rng=Random(2))
    for _ in range(int(os.environ.get("DIP_JOURNAL_DAY", "100000")) // 1_000):
        day.goes_on(1_000)
    asyncio.run(judged(day, filters=300, others=0.2))
