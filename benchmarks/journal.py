"""What the journal worker does for a message, in CPU microseconds and in bytes of its index.

    .venv/bin/python -m benchmarks.journal

A day's messages of IF-021, 4.5 kB each with four recipients, as router and delivery write them: receipt, routing, a POST of
ten copies to each recipient. The real steps over tables on RocksDB, committed and swept as the engine does it; Kafka and
the engine's rounds are not in it (`dip bench path` has the whole worker). The rows "in full" and "head" are of one run:
records read with all their fields, and only what an index wants of them.
"""

import tempfile
import time
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

from msgspec.structs import replace

from agents.journal import CopyIndex, EntryIndex
from agents.sweep import Sweep
from benchmarks.bridge_steps import Step
from benchmarks.copies_steps import bodies
from pipeline import topics
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
from pipeline.domain.identifiers import (
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    Role,
    SenderReference,
    TransactionId,
    delivery_id,
    transaction_id,
)
from pipeline.engine.store import Shard
from tables import copies, entries
from tests.support.bridge import NOW, FixedClock, codec
from tests.support.world import BusRecord

MESSAGES: Final = 400
ROUNDS: Final = 7
BATCH: Final = 10
RECIPIENTS: Final = ("2300000001", "2500000001", "1800000001", "1600000001")
SENDER: Final = ParticipantId("1400000001")
IF_021: Final = InterfaceId("IF-021")
CODEC: Final = codec()


class Rows(MutableMapping[bytes, Any]):
    """A table of one partition as the engine keeps it: rows encoded, in RocksDB once they are committed."""

    def __init__(self, table: Any, path: Path) -> None:
        self.table = table
        self.shard = Shard(table="rows", changelog="rows", partition=0, path=path)
        self.written = self.bytes = 0

    def __setitem__(self, key: bytes, value: Any) -> None:
        row = self.table.encode(value)
        self.shard.batch[key] = row
        self.written, self.bytes = self.written + 1, self.bytes + len(key) + len(row)

    def __delitem__(self, key: bytes) -> None:
        self.shard.batch[key] = None

    def __getitem__(self, key: bytes) -> Any:
        return self.table.decode(self.shard.get(key))

    def __iter__(self) -> Iterator[bytes]:
        return self.shard.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Any]]:
        del partition
        return ((key, self.table.decode(row)) for key, row in self.shard.scan(prefix, start=start))

    def commit(self) -> None:
        self.shard.apply(self.shard.batch.items(), offset=0, at_s=0)
        self.shard.batch.clear()


def main() -> None:
    """Print the cost of both steps, then of reading alone, then the size of the rows."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Rows(entries, Path(folder) / "entries"), Rows(copies, Path(folder) / "copies")
        audit = EntryIndex(codec=CODEC, clock=FixedClock(NOW), entries=kept[0], sweep=Sweep(kept[0]))
        index = CopyIndex(codec=CODEC, clock=FixedClock(NOW), copies=kept[1], sweep=Sweep(kept[1]))
        found = [one_round(number, audit, index, kept) for number in range(ROUNDS)]
        print(f"{'CPU us a message of four recipients':44}")
        for name in found[0]:
            print(f"{name:44}{median(one[name] for one in found[1:]):>7.1f}")
        for step in readings():
            print(f"{step.name:44}{step.cpu_us():>7.1f}")
        print("bytes of index a message")
        for name, rows in zip(("entries", "copies"), kept, strict=True):
            share = rows.written / MESSAGES / ROUNDS
            print(
                f"{name:20}{share:>5.1f} rows of {rows.bytes / rows.written:>5.1f}: {rows.bytes / MESSAGES / ROUNDS:>6.1f}"
            )


def one_round(number: int, audit: EntryIndex, index: CopyIndex, kept: tuple[Rows, Rows]) -> dict[str, float]:
    """Index some messages and commit them; return CPU us a message by step."""
    messages = range(number * MESSAGES, (number + 1) * MESSAGES)
    offsets = count(number * MESSAGES * 10)
    said = [_record(topics.AUDIT, CODEC.encode_audit(one), next(offsets)) for one in records(messages)]
    sent = [_record(topics.OUTBOUND, CODEC.encode_copy(one), next(offsets)) for one in sent_copies(messages)]
    return {
        "audit: index, sweep": _timed(lambda: [list(audit(one)) for one in said]),
        "copies: index, sweep": _timed(lambda: [list(index(one)) for one in sent]),
        "commit": _timed(lambda: [one.commit() for one in kept]),
    }


def readings() -> list[Step]:
    """Return what reads the records alone, with all fields and without."""
    said = [CODEC.encode_audit(one) for one in records(range(MESSAGES))]
    sent = [CODEC.encode_copy(one) for one in sent_copies(range(MESSAGES))]
    steps = []
    for name, values in (("audit", said), ("copy", sent)):
        for kind, text in (("", "in full"), ("_head", "head")):
            read = getattr(CODEC, f"decode_{name}{kind}")
            steps.append(
                Step(
                    name=f"  reading {name} {text}",
                    run=lambda all_of, read=read: [*map(read, all_of)],
                    inputs=[values],
                    messages_each=MESSAGES,
                )
            )
    return steps


def _timed(run: Any) -> float:
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e6 / MESSAGES


def records(messages: range) -> Iterator[AuditRecord]:
    """Return the audit of some messages: receipt and routing of each, a POST of ten to each recipient."""
    plain = [_received(number) for number in messages]
    for one in plain:
        yield one
        yield replace(one, stage=Stage.ADDRESSING, status=Status.SENT_TO_TOPIC, addressees=ADDRESSEES)
    for first in range(0, len(plain), BATCH):
        for recipient in RECIPIENTS:
            yield _posted(plain[first : first + BATCH], ParticipantId(recipient))


ADDRESSEES: Final = tuple(
    Addressee(
        recipient=ParticipantId(one),
        reasons=(
            Reason(
                kind=Kind.SECONDARY,
                role=Role("SUP"),
                days=(NOW,),
                source="load-0123456789ab",
                recorded_at=NOW,
            ),
        ),
    )
    for one in RECIPIENTS
)


def _received(number: int) -> AuditRecord:
    reference = SenderReference(f"S-IF-021-{SENDER}-SDS-20260105-{number:08d}")
    return AuditRecord(
        at=NOW + timedelta(milliseconds=number), stage=Stage.INBOUND, status=Status.GOOD_TO_GO,
        transaction_id=transaction_id(IF_021, SENDER, Role("SDS"), reference), received_at=NOW, interface=IF_021,
        event=EventCode("ActivePower"), sender_id=SENDER, sender_reference=reference, mpan=Mpan(f"{number:013d}"),
        rules="0123456789abcdef", topic=topics.INBOUND, partition=3, offset=number,
    )  # fmt: skip


def _posted(group: list[AuditRecord], recipient: ParticipantId) -> AuditRecord:
    delivered = tuple(
        AuditCopy(
            delivery_id=delivery_id(_id(one), recipient), transaction_id=_id(one), sender_id=SENDER,
            sender_reference=one.sender_reference, mpan=one.mpan, partition=3, offset=one.offset, received_at=NOW,
        )
        for one in group
    )  # fmt: skip
    return AuditRecord(
        at=NOW, stage=Stage.OUTBOUND, status=Status.DELIVERED, status_code=201, attempt=1, recipient=recipient,
        channel=IF_021, copies=delivered, duration_ms=12, first_byte_ms=11, topic=topics.OUTBOUND,
    )  # fmt: skip


def _id(record: AuditRecord) -> TransactionId:
    assert record.transaction_id is not None
    return record.transaction_id


def sent_copies(messages: range) -> Iterator[Copy]:
    """Return four copies of each message."""
    for number in messages:
        one = _received(number)
        for recipient in map(ParticipantId, RECIPIENTS):
            yield Copy(
                delivery_id=delivery_id(_id(one), recipient), recipient=recipient, channel=IF_021,
                transaction_id=_id(one), sender_id=SENDER, sender_reference=one.sender_reference, interface=IF_021,
                event=one.event, mpan=one.mpan, received_at=one.at, routed_at=NOW,
                body=bodies()[number % len(bodies())],
            )  # fmt: skip


def _record(topic: str, value: bytes, offset: int) -> Any:
    return BusRecord(
        topic_name=topic, partition_number=0, offset_number=offset, key_bytes=None, value_bytes=value
    )


if __name__ == "__main__":
    main()
