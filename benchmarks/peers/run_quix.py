"""Quix Streams: a stateful apply that expands, at least once or exactly once. Runs in a venv of its own."""

from typing import Any

from job import Job, valid
from quixstreams import Application
from quixstreams.models import BytesDeserializer, Serializer

DEAD = "dead"
Output = tuple[str, bytes]


class Second(Serializer):
    """Writes the bytes of an output."""

    def __call__(self, value: Output, ctx: Any) -> bytes:  # noqa: ARG002  # the library's signature
        """Return what goes out."""
        return value[1]


def route(raw: bytes, state: Any) -> list[Output]:
    """Return what becomes of a record: to whom, and the bytes."""
    found = valid(raw)
    if found is None:
        return [(DEAD, raw)]
    if found["kind"] == "reg":
        state.set("holders", found["holders"])
        return []
    return [(holder, raw) for holder in state.get("holders") or ()]


def main() -> None:
    """Run until ended."""
    job = Job.from_arguments()
    # 0.2 s as of the other transactional ones, whose outputs are otherwise seen in lumps of 5 s.
    eos = {"processing_guarantee": "exactly-once", "commit_interval": 0.2} if job.exactly_once else {}
    own = {"transactional.id": job.name} if job.exactly_once else {}
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.name,
        auto_offset_reset="earliest",
        state_dir=job.directory,
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": job.session_ms},
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, **own},
        **eos,
    )
    source = app.topic(job.source, value_deserializer=BytesDeserializer(), key_deserializer="bytes")
    target = app.topic(job.target, value_serializer=Second(), key_serializer="bytes")
    dead = app.topic(job.dead, value_serializer=Second(), key_serializer="bytes")
    found = app.dataframe(source).apply(route, stateful=True, expand=True)
    found.to_topic(
        lambda value, _key, _at, _headers: dead if value[0] == DEAD else target,
        key=lambda value: value[0].encode(),
    )
    app.run()


main()
