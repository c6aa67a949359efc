"""The few requests of the Kafka protocol that the client library does not offer.

Only what `dip doctor transactions` and the release check need: ApiVersions, DescribeProducers, ListTransactions,
DescribeTransactions, WriteTxnMarkers, and Fetch for the headers of batches. Plaintext listeners only; with TLS or
SASL the callers say that they cannot look.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engine.protocol import NO_TAGS, Reader, WireError, array, call, exchange, text

_FETCH, _API_VERSIONS, _WRITE_TXN_MARKERS, _DESCRIBE_PRODUCERS = 1, 18, 27, 61
_DESCRIBE_TRANSACTIONS, _LIST_TRANSACTIONS = 65, 66
FETCH_BYTES = 4_194_304


def first_address(bootstrap: str) -> tuple[str, int]:
    """Return the first of the bootstrap addresses."""
    host, _, port = bootstrap.split(",", 1)[0].strip().rpartition(":")
    return host.strip("[]"), int(port)


def _features(bootstrap: str, *, timeout_s: float) -> dict[int, bytes]:
    """Return the raw feature lists of ApiVersions, by tag: 0 what is supported, 2 what is finalised."""
    body = text("open-dip") + text("1") + NO_TAGS
    reader = call(first_address(bootstrap), _API_VERSIONS, 3, body, timeout_s=timeout_s, old_reply=True)
    if reader.number("h") != 0:
        raise WireError("ApiVersions was refused")
    reader.items(lambda r: (r.number("h"), r.number("h"), r.number("h"), r.tags()))
    reader.number("i")
    return reader.tags()


def supported_metadata_level(bootstrap: str, *, timeout_s: float) -> int:
    """Return the highest metadata.version that the broker's software supports: it tells the release line.

    (The finalised level may lag behind the software after an upgrade.)
    """
    features = _features(bootstrap, timeout_s=timeout_s).get(0)
    if features is None:
        raise WireError("the broker tells no features")

    def feature(r: Reader) -> tuple[str, int]:
        name, _, highest, _ = r.text(), r.number("h"), r.number("h"), r.tags()
        return name, highest

    return dict(Reader(features).items(feature))["metadata.version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransaction:
    """A transaction that is open in one partition."""

    topic: str
    partition: int
    producer_id: int
    epoch: int
    coordinator_epoch: int
    start_offset: int
    last_timestamp_ms: int


def describe_producers(
    address: tuple[str, int], topic: str, partitions: Sequence[int], *, timeout_s: float
) -> list[OpenTransaction]:
    """Return the open transactions of some partitions, asked of their leader."""
    wanted = text(topic) + array([struct.pack(">i", number) for number in partitions]) + NO_TAGS
    reader = call(address, _DESCRIBE_PRODUCERS, 0, array([wanted]) + NO_TAGS, timeout_s=timeout_s)
    reader.number("i")
    found: list[OpenTransaction] = []

    def producer(r: Reader, number: int) -> None:
        producer_id, epoch, _, stamp, coordinator, start = (r.number(code) for code in "qiiqiq")
        r.tags()
        if start >= 0:
            found.append(OpenTransaction(
                topic=topic, partition=number, producer_id=producer_id, epoch=epoch, coordinator_epoch=coordinator,
                start_offset=start, last_timestamp_ms=stamp,
            ))  # fmt: skip

    def partition(r: Reader) -> None:
        number, error = r.number("i"), r.number("h")
        r.text()
        r.items(lambda inner: producer(inner, number))
        r.tags()
        if error:
            raise WireError(f"DescribeProducers {topic}[{number}]: error {error}")

    reader.items(lambda r: (r.text(), r.items(partition), r.tags()))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinated:
    """What a transaction coordinator knows of a transactional id."""

    transactional_id: str
    producer_id: int
    epoch: int
    state: str


def coordinated(address: tuple[str, int], *, timeout_s: float) -> list[Coordinated]:
    """Return every transactional id that this broker coordinates."""
    reader = call(address, _LIST_TRANSACTIONS, 0, array([]) + array([]) + NO_TAGS, timeout_s=timeout_s)
    reader.number("i")
    error = reader.number("h")
    if error:
        raise WireError(f"ListTransactions: error {error}")
    reader.items(lambda r: r.text())
    names = [name for name, *_ in reader.items(lambda r: (r.text(), r.number("q"), r.text(), r.tags()))]
    if not names:
        return []
    body = array([text(name) for name in names]) + NO_TAGS
    reader = call(address, _DESCRIBE_TRANSACTIONS, 0, body, timeout_s=timeout_s)
    reader.number("i")

    def one(r: Reader) -> tuple[int, Coordinated]:
        failed, name, state = r.number("h"), r.text(), r.text()
        r.number("i")
        r.number("q")
        producer_id, epoch = r.number("q"), r.number("h")
        r.items(lambda t: (t.text(), t.items(lambda p: p.number("i")), t.tags()))
        r.tags()
        return failed, Coordinated(transactional_id=name, producer_id=producer_id, epoch=epoch, state=state)

    return [found for failed, found in reader.items(one) if not failed]


def write_marker(address: tuple[str, int], one: OpenTransaction, *, commit: bool, timeout_s: float) -> None:
    """Close a hanging transaction in one partition. Raises WireError when the broker refuses."""
    topic = text(one.topic) + array([struct.pack(">i", one.partition)]) + NO_TAGS
    marker = struct.pack(">qh?", one.producer_id, one.epoch, commit) + array([topic])
    marker += struct.pack(">i", one.coordinator_epoch) + NO_TAGS
    reader = call(address, _WRITE_TXN_MARKERS, 1, array([marker]) + NO_TAGS, timeout_s=timeout_s)
    errors: list[int] = []

    def partition(r: Reader) -> None:
        r.number("i")
        errors.append(r.number("h"))
        r.tags()

    reader.items(
        lambda r: (r.number("q"), r.items(lambda t: (t.text(), t.items(partition), t.tags())), r.tags())
    )
    if any(errors):
        raise WireError(f"WriteTxnMarkers {one.topic}[{one.partition}]: error {max(errors)}")


def fetch(address: tuple[str, int], topic: str, partition: int, offset: int, *, timeout_s: float) -> bytes:
    """Return the raw batches from an offset on, uncommitted ones included (Fetch version 4)."""
    name, client = topic.encode(), b"open-dip"
    header = struct.pack(">hhih", _FETCH, 4, 1, len(client)) + client
    body = struct.pack(">iiiibi", -1, 500, 1, FETCH_BYTES, 0, 1) + struct.pack(">h", len(name)) + name
    body += struct.pack(">iiqi", 1, partition, offset, FETCH_BYTES)
    reader = exchange(address, header + body, timeout_s)
    reader.number("i")
    reader.number("i")
    reader.skip(reader.number("h"))
    reader.number("i")
    reader.number("i")
    error = reader.number("h")
    if error:
        raise WireError(f"Fetch {topic}[{partition}]@{offset}: error {error}")
    reader.skip(16)
    aborted = max(reader.number("i"), 0)
    reader.skip(16 * aborted)
    return reader.take(max(reader.number("i"), 0))
