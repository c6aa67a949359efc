"""Topics full of what topics may hold: records of ours, tombstones, garbage, gaps between offsets, several days."""

from random import Random

from pipeline.domain.archive import Archived
from pipeline.domain.envelope import AuditRecord, Copy, Stage, Status
from tests.support.archive_fakes import START, START_MS, MemoryTopics, codec

CODEC = codec()


def value(rng: Random, topic: str, number: int) -> bytes | None:
    """Return what a topic may hold: its own records, tombstones, and things nobody can read."""
    if rng.random() < 0.05:
        return rng.choice((None, b"", b"\x00", b"\x00\x00\x00\x00\x07junk", rng.randbytes(30)))
    if topic == "dip.audit":
        return CODEC.encode_audit(
            AuditRecord(at=START, stage=Stage.INBOUND, status=Status.OK, reason=f"r{number}")
        )
    return CODEC.encode_copy(
        Copy(
            delivery_id=f"T-{number}>2300000001",
            recipient="2300000001",
            channel=rng.choice(("IF-021", "IF-036", "../../etc")),
            transaction_id=f"T-{number}",
            sender_id="1000000001",
            sender_reference=None,
            interface="IF-021",
            event="E",
            mpan=None,
            received_at=START,
            routed_at=START,
            body=rng.randbytes(20),
        )
    )


def fill(topics: MemoryTopics, rng: Random, count: int, *, first: int = 0) -> None:
    offsets = dict(topics.ends_by)
    for number in range(first, first + count):
        place = (rng.choice(("dip.audit", "dip.outbound")), rng.randint(0, 2))
        offset = offsets.get(place, 0) + rng.choice((0, 0, 0, 1))  # markers and compaction leave gaps
        offsets[place] = offset + 1
        topics.put(
            Archived(
                topic=place[0],
                partition=place[1],
                offset=offset,
                timestamp_ms=START_MS + number * 60_000,  # over several days
                key=rng.choice((None, b"", b"key")),
                value=value(rng, place[0], number),
                headers=rng.choice(((), (("dlq.code", b"MSG1001"), ("none", None)))),
            )
        )
