"""The few requests of the Kafka protocol that the client library does not offer, over a plain socket.

Only what `dip doctor transactions` and the release check need: ApiVersions, DescribeProducers,
ListTransactions, WriteTxnMarkers. Plaintext listeners only; with TLS or SASL the callers say that they cannot look.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_MORE = 0x80  # the bit of a varint that says that more bytes follow
_API_VERSIONS, _WRITE_TXN_MARKERS, _DESCRIBE_PRODUCERS, _LIST_TRANSACTIONS = 18, 27, 61, 66


class WireError(Exception):
    """The broker answered with an error, or not in the protocol."""


class Reader:
    """Reads the primitive types of a response."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, code: str) -> int:
        """Read a fixed-size integer, by its struct code (b, h, i, q)."""
        (value,) = struct.unpack_from(">" + code, self._data, self._at)
        self._at += struct.calcsize(">" + code)
        return int(value)

    def varint(self) -> int:
        """Read an unsigned varint."""
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < _MORE:
                return value

    def text(self) -> str:
        """Read a compact string; null reads as empty."""
        length = max(self.varint() - 1, 0)
        value = self._data[self._at : self._at + length].decode()
        self._at += length
        return value

    def items(self, read: Callable[["Reader"], T]) -> list[T]:
        """Read a compact array."""
        return [read(self) for _ in range(self.varint() - 1)]

    def tags(self) -> dict[int, bytes]:
        """Read tagged fields."""
        found = {}
        for _ in range(self.varint()):
            tag, length = self.varint(), self.varint()
            found[tag] = self._data[self._at : self._at + length]
            self._at += length
        return found


def varint(value: int) -> bytes:
    """Write an unsigned varint."""
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    """Write a compact string."""
    data = value.encode()
    return varint(len(data) + 1) + data


def array(items: Sequence[bytes]) -> bytes:
    """Write a compact array of encoded items."""
    return varint(len(items) + 1) + b"".join(items)


NO_TAGS = b"\0"


def call(
    address: tuple[str, int],
    key: int,
    version: int,
    body: bytes,
    *,
    timeout_s: float,
    old_reply: bool = False,
) -> Reader:
    """Send one request with a flexible header and return its response's body.

    `old_reply`: ApiVersions answers with the header of old, so that any client can read it.
    """
    client = b"open-dip"
    header = struct.pack(">hhih", key, version, 1, len(client)) + client + NO_TAGS
    message = header + body
    try:
        with socket.create_connection(address, timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(message)) + message)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack(">i", stream.read(4))
                data = stream.read(length)
    except struct.error:
        raise WireError(
            f"{address[0]}:{address[1]} closed the connection: not a plaintext Kafka listener?"
        ) from None
    except OSError as error:
        raise WireError(f"{address[0]}:{address[1]}: {error}") from None
    reader = Reader(data)
    reader.number("i")
    if not old_reply:
        reader.tags()
    return reader


def first_address(bootstrap: str) -> tuple[str, int]:
    """Return the first of the bootstrap addresses."""
    host, _, port = bootstrap.split(",", 1)[0].strip().rpartition(":")
    return host.strip("[]"), int(port)


def supported_metadata_level(bootstrap: str, *, timeout_s: float) -> int:
    """Return the highest metadata.version that the broker's software supports: it tells the release line.

    (The finalised level may lag behind the software after an upgrade.)
    """
    body = text("open-dip") + text("1") + NO_TAGS
    reader = call(first_address(bootstrap), _API_VERSIONS, 3, body, timeout_s=timeout_s, old_reply=True)
    if reader.number("h") != 0:
        raise WireError("ApiVersions was refused")
    reader.items(lambda r: (r.number("h"), r.number("h"), r.number("h"), r.tags()))
    reader.number("i")
    features = reader.tags().get(0)
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


def list_transactions(address: tuple[str, int], *, timeout_s: float) -> dict[int, tuple[str, str]]:
    """Return transactional id and state by producer id, of the transactions that this broker coordinates."""
    reader = call(address, _LIST_TRANSACTIONS, 0, array([]) + array([]) + NO_TAGS, timeout_s=timeout_s)
    reader.number("i")
    error = reader.number("h")
    if error:
        raise WireError(f"ListTransactions: error {error}")
    reader.items(lambda r: r.text())

    def one(r: Reader) -> tuple[int, tuple[str, str]]:
        name, producer_id, state, _ = r.text(), r.number("q"), r.text(), r.tags()
        return producer_id, (name, state)

    return dict(reader.items(one))


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
