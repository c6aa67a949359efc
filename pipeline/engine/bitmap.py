"""A set of small numbers as short text: a compressed bitmap."""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator


def pack(numbers: Iterable[int]) -> str:
    """Return numbers >= 0 as text."""
    bits = bytearray()
    for number in numbers:
        at = number >> 3
        if at >= len(bits):
            bits.extend(bytes(at + 1 - len(bits)))
        bits[at] |= 1 << (number & 7)
    return b64encode(zlib.compress(bytes(bits), 1)).decode()


def unpack(text: str) -> Iterator[int]:
    """Yield what `pack` was given, rising. Raises ValueError for text that it did not write."""
    try:
        bits = zlib.decompress(b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    for at, byte in enumerate(bits):
        for bit in range(8):
            if byte >> bit & 1:
                yield (at << 3) + bit
