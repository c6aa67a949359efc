"""The journal's indexes keep what may be asked for, to the second, and let the rest go."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.journal import KEPT, CopyIndex, EntryIndex
from agents.sweep import Sweep
from pipeline.domain.copy_index import place_of, row_key
from tables.entries import Entry
from tests.support.fake_engine import FakeClock, PlainCodec, make_copy
from tests.support.journal_rig import CODEC
from tests.support.world import TableFake

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
AGES = {"just too old": KEPT + timedelta(seconds=1), "at the edge": KEPT, "new": timedelta(0)}
DAYS = {"just too old": KEPT + timedelta(days=1, seconds=1), "of the last day": KEPT, "new": timedelta(0)}


@pytest.fixture
def table() -> TableFake:
    return TableFake()


def left(table: TableFake, names: dict[bytes, str]) -> set[str]:
    return {names[key] for key in table}


def test_entries_go_by_day_when_nobody_may_ask_for_any_of_it(table: TableFake) -> None:
    names = {name.encode(): name for name in DAYS}
    table.committed = {
        name.encode(): Entry(checksum=1, day=(NOW - age - EPOCH).days) for name, age in DAYS.items()
    }
    index = EntryIndex(codec=PlainCodec(), clock=FakeClock(NOW), entries=table, sweep=Sweep(table, every=1))
    index._forget(0, 1)
    assert left(table, names) == {"of the last day", "new"}


def test_copies_go_when_nobody_may_ask_for_them(table: TableFake) -> None:
    names = {}
    for number, (name, age) in enumerate(AGES.items()):
        copy = make_copy(number, at=NOW - age)
        key = row_key(CODEC.decode_copy_head(CODEC.encode_copy(copy)), number)
        names[key] = name
        table.committed[key] = place_of(copy, checksum=1)
    index = CopyIndex(codec=PlainCodec(), clock=FakeClock(NOW), copies=table, sweep=Sweep(table, every=1))
    index._forget(0)
    assert left(table, names) == {"at the edge", "new"}


def test_as_many_rows_are_looked_at_as_are_added(table: TableFake) -> None:
    """Else a table would grow faster than it is walked round, whoever adds how many rows at a time."""
    table.committed = {bytes([number]): Entry(checksum=1, day=1) for number in range(100)}
    sweep, seen = Sweep(table, rows=3, every=3), []
    for added in (1, 10, 2, 0, 7, 40, 1):
        seen += [key for key, _ in sweep.turn(0, added)]
    assert seen == list(table.committed)[:60]
