"""Packed bodies: what goes in comes out, a bomb is stopped while it unpacks, and half a stream is no body."""

import gzip
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingress.encodings import Packing, packing_of, unpack
from pipeline.ingress.refusals import Refusal
from pipeline.limits import UNPACK_MEMBERS_MAX, UNPACK_STEP_BYTES, UNPACKED_FREE_BYTES, UNPACKED_RATIO_MAX

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {"gzip": gzip.compress, "zstd": zstd.compress}

both = pytest.mark.parametrize("name", ["gzip", "zstd"])


def _packing(name: str) -> Packing:
    found = packing_of(name, allowed=True)
    assert isinstance(found, Packing)
    return found


def _unpack(name: str, packed: bytes, *, bytes_max: int = 10**8, room: object = None) -> bytes | Refusal:
    return unpack(packed, _packing(name), bytes_max=bytes_max, room=lambda _: True)


def _refused(outcome: bytes | Refusal) -> tuple[int, str]:
    assert isinstance(outcome, Refusal)
    return int(outcome.status), outcome.slug


@both
@given(body=st.binary(max_size=5_000))
def test_what_was_packed_comes_out_byte_for_byte(name: str, body: bytes) -> None:
    assert _unpack(name, PACKERS[name](body)) == body


@both
def test_a_body_of_many_steps_and_several_parts_comes_out_whole(name: str) -> None:
    body = random.Random(1).randbytes(UNPACK_STEP_BYTES // 20) * 60
    packed = PACKERS[name](body) + PACKERS[name](b"") + PACKERS[name](body[:999])
    assert _unpack(name, packed) == body + body[:999]


@both
def test_a_bomb_is_stopped_at_the_cap_and_costs_little_memory(name: str) -> None:
    packed = PACKERS[name](b"\0" * 200_000_000)
    tracemalloc.start()
    outcome = _unpack(name, packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert _refused(outcome) == (413, "body-too-large")
    assert peak < len(packed) * UNPACKED_RATIO_MAX + 20 * UNPACK_STEP_BYTES


@both
def test_the_cap_is_the_cap_of_bodies(name: str) -> None:
    packed = PACKERS[name](b"x" * 1_001)
    assert _refused(_unpack(name, packed, bytes_max=1_000)) == (413, "body-too-large")
    assert _unpack(name, packed, bytes_max=1_001) == b"x" * 1_001


@both
def test_below_the_free_size_the_ratio_says_nothing(name: str) -> None:
    body = b" " * UNPACKED_FREE_BYTES
    assert _unpack(name, PACKERS[name](body)) == body
    outcome = _unpack(name, PACKERS[name](body + b" "))
    assert isinstance(outcome, Refusal)
    assert "times its size" in outcome.help


@both
def test_every_way_to_end_early_is_400(name: str) -> None:
    """Half an array must never be taken for a whole one."""
    packed = PACKERS[name](b'["a", "b"]' * 50)
    for end in range(len(packed)):
        assert _refused(_unpack(name, packed[:end])) == (400, "encoding-broken"), end


@both
@pytest.mark.parametrize("tail", [b"x", b"\0" * 10, b"garbage behind the end"])
def test_what_follows_the_end_must_be_another_part(name: str, tail: bytes) -> None:
    assert _refused(_unpack(name, PACKERS[name](b"[]") + tail)) == (400, "encoding-broken")


@both
@pytest.mark.parametrize(
    "packed", [b"", b"[]", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", bytes(100), zlib.compress(b"[]")]
)
def test_what_is_not_packed_so_is_400(name: str, packed: bytes) -> None:
    assert _refused(_unpack(name, packed)) == (400, "encoding-broken")


@both
@given(data=st.data())
def test_a_damaged_body_is_refused_or_is_what_was_sent(name: str, data: st.DataObject) -> None:
    body = b'[{"payload": {"CommonBlock": {}}}]' * 20
    packed = bytearray(gzip.compress(body) if name == "gzip" else _checked(body))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    outcome = _unpack(name, bytes(packed))
    assert isinstance(outcome, Refusal) or outcome == body


def _checked(body: bytes) -> bytes:
    return zstd.compress(body, options={zstd.CompressionParameter.checksum_flag: 1})


def test_endless_parts_are_no_body() -> None:
    """A hundred megabytes of empty parts would cost seconds, and be nothing in the end."""
    parts = gzip.compress(b"") * (UNPACK_MEMBERS_MAX + 1)
    assert _refused(_unpack("gzip", parts)) == (400, "encoding-broken")
    assert _unpack("gzip", gzip.compress(b"") * UNPACK_MEMBERS_MAX) == b""


def test_a_skippable_frame_of_zstd_is_skipped() -> None:
    frame = struct.pack("<II", 0x184D2A50, 4) + b"note"
    assert _unpack("zstd", frame + zstd.compress(b"[]")) == b"[]"


def test_a_window_larger_than_the_standard_allows_is_refused_before_it_is_allocated() -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    packed = packer.compress(b"[]") + packer.flush()
    assert _refused(_unpack("zstd", packed)) == (400, "encoding-broken")


@both
def test_without_room_it_stops(name: str) -> None:
    body = bytes(3 * UNPACK_STEP_BYTES // 4) + gzip.compress(bytes(100)) * 9_000
    asked: list[int] = []

    def room(count: int) -> bool:
        asked.append(count)
        return sum(asked) <= UNPACK_STEP_BYTES // 2

    outcome = unpack(PACKERS[name](body), _packing(name), bytes_max=10**8, room=room)
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.slug, bool(outcome.retry_after_s)) == (503, "too-many-bytes", True)


@pytest.mark.parametrize("header", [None, "", "identity", " Identity "])
def test_no_encoding_is_no_packing(header: str | None) -> None:
    assert packing_of(header, allowed=True) is None
    assert packing_of(header, allowed=False) is None


@pytest.mark.parametrize("header", ["br", "deflate", "compress", "gzip, gzip", "gzip, identity", "x\ny", "*"])
def test_other_encodings_are_415_with_what_is_accepted(header: str) -> None:
    outcome = packing_of(header, allowed=True)
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.slug, outcome.accept_encoding) == (415, "encoding-unknown", "gzip, zstd")


def test_names_are_read_without_regard_to_case_and_x_gzip_is_gzip() -> None:
    assert _packing("GZip").name == _packing("x-gzip").name == "gzip"
    assert _packing("ZSTD").name == "zstd"


def test_where_it_is_switched_off_it_is_415() -> None:
    outcome = packing_of("gzip", allowed=False)
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.slug, outcome.accept_encoding) == (415, "encoded", "identity")
