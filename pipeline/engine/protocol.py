"""The primitive types of the Kafka protocol, and one request at a time over a plain socket."""

import socket
import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_MORE = 0x80  # the bit of a varint that says that more bytes follow


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

    def take(self, count: int) -> bytes:
        """Read bytes."""
        value = self._data[self._at : self._at + count]
        self._at += count
        return value

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        self._at += count

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


def exchange(address: tuple[str, int], message: bytes, timeout_s: float) -> Reader:
    """Send one framed message; return the reply behind its correlation id."""
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
    return reader


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
    reader = exchange(address, header + body, timeout_s)
    if not old_reply:
        reader.tags()
    return reader
