"""The journal worker's own parts over a log in memory: its steps, its rows as they are stored, its answers."""

import asyncio
import zlib
from bisect import bisect_left
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from agents.gathered_reads import GatheredReads
from agents.journal import CopyIndex, EntryIndex
from agents.journal_answers import CopyReader, EntryAnswers, Pages, Turns
from agents.requeueing import Requeueing
from pipeline import limits, topics
from pipeline.catalogue.consumption import load_consumption_replay
from pipeline.domain.envelope import AuditRecord, Copy
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import (
    DIP,
    STATUS_CHANNEL,
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    SenderReference,
    TransactionId,
    delivery_id,
    transaction_id,
)
from pipeline.domain.identifiers import Role as RoleName
from pipeline.domain.parked import ANY_RECORD, Missing, Pointer, Reading, Unreadable
from pipeline.domain.requeue import RequeueId
from pipeline.domain.shards import partition_of
from pipeline.engine import Claim, Revoked, Settlement
from tables import consumption, copies, entries, requeues
from tests.support.bridge import FixedClock, codec
from tests.support.shards import PARTITIONS, OneWorker
from tests.support.world import BusRecord

START = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
CODEC = codec()


class Rows(MutableMapping[bytes, Any]):
    """One table's partitions, each row as it is stored; reads and writes are of the partition that is worked on."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.stored: dict[int, dict[bytes, bytes]] = {number: {} for number in range(PARTITIONS)}
        self._ordered: dict[int, list[bytes]] = {}
        self.at = 0

    def __getitem__(self, key: bytes) -> Any:
        return self._table.decode(self.stored[self.at][key])

    def __setitem__(self, key: bytes, value: Any) -> None:
        self._ordered.pop(self.at, None)
        self.stored[self.at][key] = self._table.encode(value)

    def __delitem__(self, key: bytes) -> None:
        self._ordered.pop(self.at, None)
        self.stored[self.at].pop(key, None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stored[self.at])

    def __len__(self) -> int:
        return sum(map(len, self.stored.values()))

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Any]]:
        assert partition is not None, "the journal answers for one partition at a time"
        rows = self.stored[partition]
        if partition not in self._ordered:
            self._ordered[partition] = sorted(rows)
        keys = self._ordered[partition]
        for place in range(bisect_left(keys, max(prefix, start)), len(keys)):
            if not keys[place].startswith(prefix):
                return
            yield keys[place], self._table.decode(rows[keys[place]])


@dataclass
class Log:
    """Topics in memory, read again by pointers."""

    records: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    gone: set[tuple[str, int, int]] = field(default_factory=set)
    away: bool = False
    reads: int = 0

    def append(self, topic: str, key: bytes, value: bytes) -> tuple[int, int]:
        partition = partition_of(key, PARTITIONS)
        log = self.records.setdefault((topic, partition), [])
        log.append(value)
        return partition, len(log) - 1

    def end(self, topic: str, partition: int) -> int:
        return len(self.records.get((topic, partition), ()))

    async def read(self, pointers: Sequence[Pointer]) -> Reading:
        await asyncio.sleep(0)
        self.reads += 1
        return Unreadable(text="Kafka is away") if self.away else {one: self._value(one) for one in pointers}

    def _value(self, pointer: Pointer) -> bytes | Missing:
        if (pointer.topic, pointer.partition, pointer.offset) in self.gone:
            return Missing.GONE
        value = self.records[pointer.topic, pointer.partition][pointer.offset]
        return value if pointer.checksum in (ANY_RECORD, zlib.crc32(value)) else Missing.ALTERED


class JournalRig:
    """One worker with everything, and what the test says happens to it."""

    def __init__(self, *, page: int = limits.REPLAY_PAGE_MESSAGES) -> None:
        self.log = Log()
        self.clock = FixedClock()
        self.entries, self.copies, self.requeues = Rows(entries), Rows(copies), Rows(requeues)
        self.orders = Rows(consumption)
        self.settled: list[Settlement] = []
        self.crash = False
        self._positions: dict[tuple[str, int], int] = {}
        self._steps = {
            topics.AUDIT: EntryIndex(
                codec=CODEC,
                clock=self.clock,
                entries=self.entries,
                orders=self.orders,
                request=load_consumption_replay().request,
            ),
            topics.OUTBOUND: CopyIndex(codec=CODEC, clock=self.clock, copies=self.copies),
            topics.STATUS: CopyIndex(codec=CODEC, clock=self.clock, copies=self.copies),
        }
        self.turns = Turns()
        self.reader = CopyReader(codec=CODEC, copies=self.copies, payloads=self.log)
        numbers = iter(range(1, 1_000))
        self.requeueing = Requeueing(
            engine=self,
            topic=topics.OUTBOUND,
            reader=self.reader,
            copies=self.copies,
            rows=self.requeues,
            codec=CODEC,
            indexed=self.indexed,
            clock=self.clock,
            new_id=lambda: RequeueId(f"RQ-{next(numbers)}"),
        )
        self.pages = Pages(
            reader=self.reader,
            indexed=self.indexed,
            clock=self.clock,
            requeues=self.requeueing.answer,
            turns=self.turns,
            messages_max=page,
        )
        answers = EntryAnswers(entries=self.entries, payloads=GatheredReads(self.log))
        self.worker = OneWorker((answers.book(), self.pages.book()), self.clock)

    # --- what the engine does ---

    def claims(self) -> set[Claim]:
        return self.worker.claims()

    def settle(self, settlement: Settlement) -> "asyncio.Future[None]":
        """Make outputs and rows durable together, or neither."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.crash:
            done.set_exception(Revoked("the claim went"))
            return done
        self.settled.append(settlement)
        for one in settlement.outputs:
            self.log.append(one.topic, one.key or b"", one.value or b"")
        for write in settlement.writes:
            table = {requeues.NAME: self.requeues, consumption.NAME: self.orders}[write.table]
            table.at = settlement.claim.partition
            if write.value is None:
                del table[write.key]
            else:
                table[write.key] = write.value
        done.set_result(None)
        return done

    async def indexed(self, partition: int, topic: str) -> int | None:
        self.index()
        return self._positions.get((topic, partition), 0)

    def index(self, up_to: int | None = None) -> None:
        """Let the steps read what they have not read yet."""
        for (topic, partition), log in self.log.records.items():
            step = self._steps.get(topic)
            if step is None:
                continue
            start = self._positions.get((topic, partition), 0)
            for offset in range(start, len(log) if up_to is None else min(up_to, len(log))):
                for table in (self.entries, self.copies, self.orders):
                    table.at = partition
                record = BusRecord(
                    topic_name=topic,
                    partition_number=partition,
                    offset_number=offset,
                    key_bytes=None,
                    value_bytes=log[offset],
                )
                assert not list(step(record))  # type: ignore[arg-type]  # what a step needs of a record
                self._positions[topic, partition] = offset + 1

    # --- what the router and delivery write ---

    def sent(self, copy: Copy) -> tuple[int, int]:
        topic = topics.STATUS if copy.channel == STATUS_CHANNEL else topics.OUTBOUND
        return self.log.append(topic, outbound_key(copy), CODEC.encode_copy(copy))

    def said(self, record: AuditRecord, key: str | None = None) -> None:
        self.log.append(
            topics.AUDIT, (key or record.transaction_id or "").encode(), CODEC.encode_audit(record)
        )


def reference(number: int, sender: str = "1400000001") -> SenderReference:
    return SenderReference(f"S-IF-021-{sender}-SDS-20260105-{number}")


def transaction(number: int, sender: str = "1400000001", interface: str = "IF-021") -> TransactionId:
    return transaction_id(
        InterfaceId(interface), ParticipantId(sender), RoleName("SDS"), reference(number, sender)
    )


def copy_of(
    number: int,
    recipient: str,
    *,
    at: datetime = START,
    channel: str = "IF-021",
    event: str = "ActivePower",
    mpan: str | None = "2000056535971",
    version: str = "011",
    sender: str = "1400000001",
    body: bytes | None = None,
) -> Copy:
    """Return a copy as the fan-out writes it, with a small body."""
    one = transaction(number, sender, channel)
    return Copy(
        delivery_id=delivery_id(one, ParticipantId(recipient)),
        recipient=ParticipantId(recipient),
        channel=InterfaceId(channel),
        transaction_id=one,
        sender_id=ParticipantId(sender),
        sender_reference=reference(number, sender),
        interface=InterfaceId(channel),
        event=EventCode(event),
        mpan=None if mpan is None else Mpan(mpan),
        received_at=at,
        routed_at=at + timedelta(milliseconds=20),
        body=orjson.dumps(egress_body(one, channel, event, version)) if body is None else body,
    )


def egress_body(one: TransactionId, channel: str, event: str, version: str) -> dict[str, Any]:
    return {
        "payload": {
            "CommonBlock": {
                "S0": {"interfaceID": channel, "schemaVersion": version, "eventCode": f"[{event}]"},
                "D0": {"transactionID": one, "publicationID": "PUB-021", "replayIndicator": False},
            },
            "CustomBlock": {"B1": {"n": 1.10}},
        }
    }


def status_of(number: int, recipient: str, *, at: datetime = START, correlation: str | None = None) -> Copy:
    """Return a status message to the sender of message `number`."""
    one, named = transaction(number, recipient), reference(number, recipient)
    body = {
        "transactionID": one, "senderUniqueReference": named, "correlationID": correlation, "sentTimestamp": None,
        "senderID": DIP, "recipientID": recipient, "DIPConnectionProviderID": None, "message": "MSG1037 - x",
        "help": None, "serviceTicketURL": None,
    }  # fmt: skip
    return Copy(
        delivery_id=delivery_id(one, ParticipantId(recipient)),
        recipient=ParticipantId(recipient),
        channel=STATUS_CHANNEL,
        transaction_id=one,
        sender_id=DIP,
        sender_reference=named,
        interface=None,
        event=None,
        mpan=None,
        received_at=at - timedelta(hours=1),
        routed_at=at,
        body=orjson.dumps(body),
    )
