"""Looks at a shard's rows that cost little, whatever is in it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engine.store import Shard


def row(lane: str, number: int) -> bytes:
    return f"{lane}|{number:020d}".encode()


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    made = Shard(table="t", changelog="c", partition=0, path=tmp_path / "t-0")
    made.apply(((row(lane, number), b"x") for lane in "bdf" for number in range(50)), offset=1, at_s=0)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"b|", row("b", 49)),
        (b"f|", row("f", 49)),
        (b"d|0000000000000000001", row("d", 19)),
        (b"a|", None),
        (b"c|", None),
        (b"g|", None),
        (b"", row("f", 49)),
    ],
)
def test_the_last_key_of_a_prefix_is_found_from_behind(
    shard: Shard, prefix: bytes, expected: bytes | None
) -> None:
    assert shard.last_key(prefix) == expected


def test_an_empty_shard_has_no_last_key_and_no_keys(tmp_path: Path) -> None:
    empty = Shard(table="t", changelog="c", partition=1, path=tmp_path / "t-1")
    assert empty.last_key(b"b|") is None
    assert list(empty.keys()) == []
    empty.close()


def test_keys_are_those_of_the_moment_of_asking(shard: Shard) -> None:
    """Counting goes on for seconds; what is written meanwhile is counted when it is committed."""
    keys = shard.keys()
    shard.apply([(row("b", 7), None), (row("c", 1), b"new"), (row("f", 49), b"changed")], offset=2, at_s=0)
    found = list(keys)
    assert found == sorted(row(lane, number) for lane in "bdf" for number in range(50))
    assert len(list(shard.keys())) == 150


def test_a_store_can_be_opened_again_once_the_look_at_its_keys_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "t-2"
    first = Shard(table="t", changelog="c", partition=2, path=path)
    first.apply([(row("b", 1), b"x")], offset=1, at_s=0)
    keys = first.keys()
    first.close()
    with pytest.raises(Exception, match="lock"):
        Shard(table="t", changelog="c", partition=2, path=path)
    del keys
    again = Shard(table="t", changelog="c", partition=2, path=path)
    assert list(again.keys()) == [row("b", 1)]
    again.close()


_FILLS_UP = """
import resource, sys
from pathlib import Path
from pipeline.engine.store import Shard
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
shard = Shard(table="t", changelog="c", partition=0, path=Path(sys.argv[1]))
for number in range(10_000):
    shard.apply([(b"%06d" % number, b"x" * 100)], offset=number + 1, at_s=0)
"""


def test_a_full_disk_is_an_error_and_what_was_written_before_it_is_whole(tmp_path: Path) -> None:
    """Rows and the offset that vouches for them are in step, whatever the disk took last."""
    path = tmp_path / "t-0"
    filled = subprocess.run(
        [sys.executable, "-c", _FILLS_UP, str(path)], capture_output=True, text=True, check=False
    )
    assert filled.returncode != 0
    assert "StoreUnwritable" in filled.stderr
    assert "File too large" in filled.stderr
    assert "Make room or mend it, then start again" in filled.stderr
    again = Shard(table="t", changelog="c", partition=0, path=path)
    rows = list(again.keys())
    again.close()
    assert 0 < len(rows) < 10_000
    assert again.mark.offset == len(rows)


@pytest.mark.parametrize(
    ("file", "damage"), [("CURRENT", b""), ("MANIFEST-*", b"\0" * 200)], ids=["CURRENT", "MANIFEST"]
)
def test_a_store_whose_files_are_damaged_begins_empty_for_its_changelog_to_fill(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, damage: bytes
) -> None:
    path = tmp_path / "t-0"
    first = Shard(table="t", changelog="c", partition=0, path=path)
    first.apply([(row("b", 1), b"x")], offset=7, at_s=0)
    first.close()
    for one in path.glob(file):
        one.write_bytes(damage)
    second = Shard(table="t", changelog="c", partition=0, path=path)
    assert second.mark.offset == 0
    assert list(second.keys()) == []
    assert "rebuilt from its changelog" in caplog.text
    second.close()


def test_a_store_that_another_has_open_is_left_as_it_is(shard: Shard, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="lock"):
        Shard(table="t", changelog="c", partition=0, path=tmp_path / "t-0")
    assert shard.last_key(b"b|") == row("b", 49)
