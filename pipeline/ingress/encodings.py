"""Unpacks compressed bodies in bounded steps (docs/adr/0123).

Signature and content hash are over the bytes as sent, so nothing is unpacked before both are verified: only a known
participant can make us do it. A bomb is small when packed; what bounds it is counted while it unpacks.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from backports import zstd

from pipeline.ingress.refusals import Refusal
from pipeline.limits import (
    BUSY_RETRY_AFTER_S,
    UNPACK_MEMBERS_MAX,
    UNPACK_STEP_BYTES,
    UNPACKED_FREE_BYTES,
    UNPACKED_RATIO_MAX,
    ZSTD_WINDOW_LOG_MAX,
)

ACCEPTED: Final = "gzip, zstd"
_GZIP_WBITS: Final = 31  # zlib's way to say: a gzip header and trailer, nothing else
_ZSTD_OPTIONS: Final = {zstd.DecompressionParameter.window_log_max.value: ZSTD_WINDOW_LOG_MAX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How a body is packed."""

    name: str
    member: "Callable[[], _Member]"


class _Member(Protocol):
    """Unpacks one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """Return at most a step of unpacked bytes, and what of the packed ones is to be given next time."""
        ...


class _Gzip:
    __slots__ = ("_object",)

    def __init__(self) -> None:
        self._object = zlib.decompressobj(_GZIP_WBITS)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        unpacked = self._object.decompress(data, UNPACK_STEP_BYTES)
        return unpacked, self._object.unconsumed_tail


class _Zstd:
    """Keeps what it was given to itself, so there is never something to be given again."""

    __slots__ = ("_object",)

    def __init__(self) -> None:
        self._object = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        return self._object.decompress(data, UNPACK_STEP_BYTES), b""


_PACKINGS: Final = {
    "gzip": Packing(name="gzip", member=_Gzip),
    "x-gzip": Packing(name="gzip", member=_Gzip),  # RFC 9110 8.4.1.3: the same
    "zstd": Packing(name="zstd", member=_Zstd),
}


def packing_of(header: str | None, *, allowed: bool) -> Packing | Refusal | None:
    """Read a Content-Encoding: None for a body that is as it is, 415 for what we do not unpack."""
    name = (header or "identity").strip().lower()
    if name == "identity":
        return None
    if not allowed:
        return Refusal(
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            slug="encoded",
            help="Send the body without Content-Encoding.",
            accept_encoding="identity",
        )
    packing = _PACKINGS.get(name)
    if packing is None:
        return Refusal(
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            slug="encoding-unknown",
            help=f"Content-Encoding {name[:40]!r} is not one of {ACCEPTED}. Send one of them, or the body as it is;"
            " signature and content hash are over the bytes as sent.",
            accept_encoding=ACCEPTED,
        )
    return packing


def unpack(
    packed: bytes, packing: Packing, *, bytes_max: int, room: Callable[[int], bool]
) -> bytes | Refusal:
    """Return the unpacked body, or why there is none: broken, too large, a bomb, or no room for it now.

    `room` is asked for every step before its bytes are kept. Safe in a thread.
    """
    unpacked = _Unpacked(
        bytes_max=bytes_max,
        ratio_bytes_max=max(UNPACKED_FREE_BYTES, len(packed) * UNPACKED_RATIO_MAX),
        room=room,
    )
    rest = packed
    try:
        for _ in range(UNPACK_MEMBERS_MAX):
            member = packing.member()
            while not member.eof:
                piece, rest = member.step(rest)
                if not piece and not rest and not member.eof:
                    return _broken(packing, "it ends in the middle")
                refusal = unpacked.keep(piece)
                if refusal is not None:
                    return refusal
            rest = member.unused_data
            if not rest:
                return unpacked.whole()
    except (zlib.error, zstd.ZstdError) as error:
        return _broken(packing, str(error))
    return _broken(packing, f"it has more than {UNPACK_MEMBERS_MAX} parts")


class _Unpacked:
    """The pieces of an unpacked body, with all its bounds."""

    def __init__(self, *, bytes_max: int, ratio_bytes_max: int, room: Callable[[int], bool]) -> None:
        self._bytes_max = bytes_max
        self._ratio_bytes_max = ratio_bytes_max
        self._room = room
        self._size = 0
        self._pieces: list[bytes] = []

    def keep(self, piece: bytes) -> Refusal | None:
        """Add a piece, or say which bound it breaks."""
        self._size += len(piece)
        if self._size > self._bytes_max:
            return _too_large(f"A body has at most {self._bytes_max} bytes when unpacked.")
        if self._size > self._ratio_bytes_max:
            return _too_large(
                f"The body unpacks to more than {UNPACKED_RATIO_MAX} times its size. Send it less packed."
            )
        if not self._room(len(piece)):
            return _NO_ROOM
        self._pieces.append(piece)
        return None

    def whole(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


_NO_ROOM: Final = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    slug="too-many-bytes",
    help="Too many large bodies are being worked on. Try again, with smaller arrays.",
    retry_after_s=BUSY_RETRY_AFTER_S,
)


def _broken(packing: Packing, why: str) -> Refusal:
    return Refusal(
        status=HTTPStatus.BAD_REQUEST,
        slug="encoding-broken",
        help=f"The body is not what Content-Encoding {packing.name} says: {why}.",
    )


def _too_large(text: str) -> Refusal:
    return Refusal(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, slug="body-too-large", help=text)
