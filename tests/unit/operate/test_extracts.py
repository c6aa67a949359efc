"""Extracts of appointments: good rows, every kind of bad one, and that writing and reading are each other's inverse."""

import io
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import limits
from pipeline.adapters.histories import encode
from pipeline.domain.appointments import UNKNOWN, History, rows
from pipeline.domain.changes import apply, changes_in
from pipeline.domain.drift import Kind, differences
from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.header_rules import check_digit_remark
from pipeline.domain.identifiers import Mpan
from pipeline.domain.routing import Slot
from pipeline.operate.appointments import SAMPLE, _ErrorFile, _judge, appointments
from pipeline.operate.appointments_drift import Report, compare
from pipeline.operate.appointments_load import _part
from pipeline.operate.extracts import (
    BadLine,
    ExtractInvalid,
    Group,
    Judge,
    Place,
    read_groups,
    rows_of,
    write_extract,
)
from pipeline.settings import Settings
from tests.support.builders import MPAN, day, history, holds
from tests.support.naive_registry import NaiveRegistry
from tests.support.registry_soak import Life

HEADER = "mpan,slot,holder,valid_from,valid_to\n"
ANY = Judge()
WITH_ACTION = "mpan,slot,holder,valid_from,valid_to,action\n"


def read(
    path: Path, text: str | bytes, *, judge: Judge = ANY, start: Place | None = None
) -> tuple[list[Group], list[BadLine]]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    bad: list[BadLine] = []
    return list(read_groups(path, bad=bad.append, judge=judge, start=start)), bad


def loaded(
    groups: list[Group], told: dict[str, History] | None = None, source: str = "load"
) -> dict[str, History]:
    """Apply groups as the router does."""
    found = dict(told or {})
    for group in groups:
        registration = Registration(
            mpan=group.mpan, source=source, recorded_at=day(50), holdings=group.holdings
        )
        changes = changes_in(registration)
        found[group.mpan] = apply(found.get(group.mpan), changes, recorded_at=day(50), source=source).history
    return found


def text_of(told: dict[str, History], *, avro: bool = False) -> bytes:
    out = io.BytesIO()
    write_extract(out, (row for mpan in sorted(told) for row in rows_of(mpan, told[mpan])), avro=avro)
    return out.getvalue()


def test_the_shipped_sample_is_good(tmp_path: Path) -> None:
    groups, bad = read(tmp_path / "sample.csv", SAMPLE)
    assert not bad
    assert [len(group.holdings) for group in groups] == [6, 3]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("123,SUP,2300000001,2026-04-01,", "mpan '123': expected 13 digits"),
        ("٢٠٠٠٠٥٦٥٣٥٩٧١,SUP,2300000001,2026-04-01,", "expected 13 digits"),
        (f"{MPAN},XYZ,2300000001,2026-04-01,", "slot 'XYZ': expected one of"),
        (f"{MPAN},SUP,,2026-04-01,", "holder ''"),
        (f"{MPAN},SUP,23,2026-04-01,", "expected a DIP ID of 10 characters"),
        (f"{MPAN},SUP,9999999999,2026-04-01,", "no participant has that DIP ID"),
        (f"{MPAN},GSP,_I,2026-04-01,", "expected a GSP group"),
        (f"{MPAN},OUT,2300000001,2026-04-01,", "OUT has none"),
        (f"{MPAN},SUP,2300000001,2026-02-29,", "valid_from '2026-02-29'"),
        (f"{MPAN},SUP,2300000001,1969-12-31,", "not before 1970"),
        (f"{MPAN},SUP,2300000001,1900-01-01,", "not before 1970"),
        (f"{MPAN},SUP,2300000001,,", "valid_from ''"),
        (f"{MPAN},SUP,2300000001,null,", "valid_from 'null'"),
        (f"{MPAN},SUP,2300000001,2026-04-01T00:00:00Z,", "valid_from"),
        (f"{MPAN},SUP,2300000001,2026-04-01,soon", "valid_to 'soon'"),
        (f"{MPAN},SUP,2300000001,2026-04-01,2026-04-01", "is not after valid_from"),
        (f"{MPAN},SUP,2300000001,2026-07-01,2026-06-30T23:00:00+00:00", "is not after valid_from"),
        (f"{MPAN},SUP,2300000001,2026-04-01,,,,", "8 columns, the first line names 5"),
        ("x" * 10_000, "longer than 4096 bytes"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_harms_no_other(tmp_path: Path, row: str, said: str) -> None:
    good = "2000056535999,SUP,2300000001,2026-04-01,\n"
    groups, bad = read(
        tmp_path / "x.csv", HEADER + row + "\n" + good, judge=Judge(holders={"2300000001", "2500000001"})
    )
    assert [one.number for one in bad] == [2]
    assert said in bad[0].error
    assert [group.mpan for group in groups] == ["2000056535999"]


def test_bytes_that_are_no_utf_8_are_one_bad_row(tmp_path: Path) -> None:
    _, bad = read(tmp_path / "x.csv", HEADER.encode() + b"\xff\xfe,SUP,2300000001,2026-04-01,\n")
    assert [one.error for one in bad] == ["not UTF-8"]


@pytest.mark.parametrize("first", ["", "a,b\n", "mpan;slot;holder;valid_from;valid_to\n", "Obj\x01rubbish"])
def test_a_file_that_is_no_extract_is_refused_as_a_whole(tmp_path: Path, first: str) -> None:
    with pytest.raises(ExtractInvalid):
        read(tmp_path / "x.csv", first)


def test_quotes_spaces_roles_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER + f'"{MPAN}", MSS ,"1200000001",2026-07-01,\r\n'
    (group,), bad = read(tmp_path / "x.csv", text)
    assert not bad
    (one,) = group.holdings
    assert (one.slot, one.holder) == ("MS", "1200000001")
    assert one.valid_from is not None
    assert one.valid_from.isoformat() == "2026-06-30T23:00:00+00:00"  # a midnight of summer time


def test_a_29th_of_february_that_exists_is_taken(tmp_path: Path) -> None:
    groups, bad = read(tmp_path / "x.csv", HEADER + f"{MPAN},SUP,2300000001,2028-02-29,\n")
    assert groups
    assert not bad


def test_a_duplicated_row_counts_once(tmp_path: Path) -> None:
    row = f"{MPAN},SUP,2300000001,2026-04-01,\n"
    (group,), bad = read(tmp_path / "x.csv", HEADER + row + row)
    assert len(group.holdings) == 1
    assert not bad


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-04-01,2026-07-01", "2026-06-30,"),
        ("2026-04-01,", "2026-04-01,2026-05-01"),
    ],
)
def test_rows_of_a_slot_that_contradict_each_other_are_all_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    """To choose one of them would be a guess about who gets somebody's data."""
    text = HEADER + "".join(
        f"{MPAN},{row}\n"
        for row in (f"SUP,2300000001,{first}", f"SUP,2300000002,{second}", "LDSO,2500000001,2026-04-01,")
    )
    (group,), bad = read(tmp_path / "x.csv", text)
    assert [one.number for one in bad] == [2, 3]
    assert [one.slot for one in group.holdings] == ["LDSO"]


def test_open_rows_end_where_the_next_one_begins(tmp_path: Path) -> None:
    text = HEADER + f"{MPAN},SUP,2300000001,2026-01-01,\n{MPAN},SUP,2300000002,2026-02-01,\n"
    groups, bad = read(tmp_path / "x.csv", text)
    assert not bad
    told = loaded(groups)[MPAN]
    assert [(row.holder, row.valid_to) for row in rows(told)] == [
        ("2300000001", day(32)),
        ("2300000002", None),
    ]


def test_nothing_is_replaced_where_a_row_beside_it_is_bad(tmp_path: Path) -> None:
    """A replacement says that its rows are all there is; without the bad one that would be untrue."""
    text = WITH_ACTION + (
        f"{MPAN},SUP,2300000001,2026-04-01,2026-05-01,replace\n"
        f"{MPAN},SUP,2300000002,2026-02-30,,replace\n"
        f"{MPAN},DS,1400000001,2026-04-01,,\n"
    )
    (group,), bad = read(tmp_path / "x.csv", text)
    assert sorted(one.number for one in bad) == [2, 3]
    assert [one.slot for one in group.holdings] == ["DS"]


@pytest.mark.parametrize(("setting", "refused"), [("reject", 1), ("off", 0)])
def test_the_check_digit_counts_as_the_setting_says(tmp_path: Path, setting: str, refused: int) -> None:
    judge = (
        Judge(mpan_problem=lambda mpan: check_digit_remark(Mpan(mpan))) if setting == "reject" else Judge()
    )
    _, bad = read(tmp_path / "x.csv", HEADER + "1200000000000,SUP,2300000001,2026-04-01,\n", judge=judge)
    assert len(bad) == refused


def test_a_load_goes_on_behind_the_group_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    text = HEADER + "".join(
        f"20000565359{number:02d},{slot},2300000001,2026-04-01,\n"
        for number in range(20)
        for slot in ("SUP", "LDSO")
    )
    for data in (text.encode(), text_of(loaded(read(path, text)[0]), avro=True)):
        whole, _ = read(path, data)
        for stop in (0, 7, 19):
            rest, _ = read(path, data, start=whole[stop].place)
            assert rest == whole[stop + 1 :]


def test_a_file_without_line_ends_needs_no_memory_for_it(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    groups, bad = read(path, HEADER.encode() + b"9" * (limits.LOAD_LINE_BYTES_MAX * 50))
    assert not groups
    assert len(bad) == 1


def live(number: int) -> History:
    made = Life(Random(number), UNKNOWN, NaiveRegistry(), [], None)
    made.tell(6)
    return made.product


@settings(max_examples=80)
@given(one=st.integers(0, 10_000), other=st.integers(0, 10_000), avro=st.booleans())
def test_what_is_exported_and_loaded_and_exported_again_is_the_same(
    *, one: int, other: int, avro: bool
) -> None:
    """The round trip is the identity, and the loaded table answers as the first one did."""
    told = {"2000056535971": live(one), "2000056535999": live(other)}
    first = text_of(told, avro=avro)
    with tempfile.TemporaryDirectory() as folder:
        groups, bad = read(Path(folder) / "x", first)
    assert not bad
    again = loaded(groups)
    assert text_of(again) == text_of(told)
    for mpan, holdings in ((group.mpan, group.holdings) for group in groups):
        assert not list(differences(told[mpan], holdings))


@settings(max_examples=80)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_repair_makes_the_table_as_the_extract(one: int, other: int) -> None:
    """Whatever the two sides were: afterwards nothing differs, and the repair of the repair is empty."""
    table, registration = {MPAN: live(one)}, {MPAN: live(other)}
    with tempfile.TemporaryDirectory() as folder:
        extract, repair = Path(folder) / "extract", Path(folder) / "repair"
        extract.write_bytes(text_of(registration))
        report = drifted(extract, table, repair)
        groups, bad = read(repair, repair.read_bytes())
        assert not bad
        mended = loaded(groups, table, source="repair")
        assert text_of(mended) == text_of(registration)
        assert drifted(extract, mended, repair).differing == 0
        assert (report.differing == 0) == (text_of(table) == text_of(registration))


def drifted(extract: Path, table: dict[str, History], repair: Path) -> Report:
    with Report(repair=repair, differences=None, repair_extra=True) as report:
        rows = ((mpan.encode(), encode(table[mpan])) for mpan in sorted(table))
        compare(extract, rows, report=report, judge=Judge(), bad=refuse)
    return report


def refuse(line: BadLine) -> None:
    raise AssertionError(line)


def test_drift_tells_its_kinds_apart(tmp_path: Path) -> None:
    extract = tmp_path / "extract.csv"
    extract.write_text(
        HEADER
        + f"{MPAN},SUP,2300000001,2026-01-01T00:00:00+00:00,2026-01-09T00:00:00+00:00\n"
        + f"{MPAN},LDSO,2500000002,2026-01-01T00:00:00+00:00,\n"
        + f"{MPAN},MS,1200000001,2026-01-01T00:00:00+00:00,\n"
    )
    table = history(
        holds(Slot.SUPPLIER, "2300000001", day(1)),
        holds(Slot.DISTRIBUTOR, "2500000001", day(1)),
        holds(Slot.DATA_SERVICE, "1400000001", day(1)),
    )
    report = drifted(extract, {MPAN: table, "2999999999999": table}, tmp_path / "repair.csv")
    assert report.counts() == {
        "compared": 2,
        "differing": 2,
        Kind.MISSING.value: 1,
        Kind.EXTRA.value: 1 + 3,
        Kind.DATES.value: 1,
        Kind.HOLDER.value: 1,
    }


def test_an_mpan_with_a_bad_row_in_the_extract_is_neither_compared_nor_emptied(tmp_path: Path) -> None:
    """What cannot be read must not become a reason to take somebody's appointments away."""
    extract = tmp_path / "extract.csv"
    extract.write_text(
        HEADER + f"{MPAN},SUP,2300000001,2026-02-30,\n" + "2000056535999,SUP,2300000001,2026-01-01,\n"
    )
    table = history(holds(Slot.SUPPLIER, "2300000001", day(1)))
    bad: list[BadLine] = []
    with Report(repair=tmp_path / "repair.csv", differences=None, repair_extra=True) as report:
        rows = ((mpan.encode(), encode(table)) for mpan in (MPAN, "2000056535999"))
        compare(extract, rows, report=report, judge=Judge(), bad=bad.append)
    assert len(bad) == 1
    assert (report.compared, report.differing) == (1, 0)


def test_an_extract_out_of_order_is_refused(tmp_path: Path) -> None:
    extract = tmp_path / "extract.csv"
    extract.write_text(
        HEADER + "2000056535999,SUP,2300000001,2026-01-01,\n" + f"{MPAN},SUP,2300000001,2026-01-01,\n"
    )
    with pytest.raises(ExtractInvalid, match="sort the file by MPAN"):
        drifted(extract, {}, tmp_path / "repair.csv")


def test_a_summer_midnight_and_its_utc_form_are_one_moment(tmp_path: Path) -> None:
    groups, _ = read(
        tmp_path / "x.csv",
        HEADER + f"{MPAN},SUP,2300000001,2026-07-01,\n{MPAN},SUP,2300000001,2026-06-30T23:00:00+00:00,\n",
    )
    assert len(groups[0].holdings) == 1
    assert groups[0].holdings[0].valid_from == day(1) + timedelta(days=181, hours=-1)


@pytest.mark.parametrize(("setting", "refused", "warned"), [("reject", 1, 0), ("warn", 0, 1), ("off", 0, 0)])
def test_each_setting_of_the_check_digit_does_what_it_says(
    tmp_path: Path, setting: str, refused: int, warned: int
) -> None:
    settings = Settings(mpan_check_digit=setting)
    path = tmp_path / "x.csv"
    path.write_text(
        HEADER + "1200000000000,SUP,2300000001,2026-04-01,\n" + f"{MPAN},SUP,2300000001,2026-04-01,\n"
    )
    with _ErrorFile(tmp_path / "x.errors.csv") as errors:
        list(read_groups(path, bad=errors.take, judge=_judge(settings, None, errors)))
    assert (errors.count, errors.warned) == (refused, warned)
    assert (tmp_path / "x.errors.csv").exists() == bool(refused)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Ten gigabytes are read as ten megabytes are: by lines. Bad rows are not kept either."""
    path = tmp_path / "x.csv"
    with path.open("w") as stream:
        stream.write(HEADER)
        stream.writelines(f"{number:013d},SUP,2300000001,2026-04-01,\n" for number in range(40_000))
        stream.writelines("rubbish,SUP,2300000001,2026-04-01,\n" for _ in range(10_000))
    tracemalloc.start()
    try:
        with _ErrorFile(tmp_path / "x.errors.csv") as errors:
            count = sum(1 for _ in read_groups(path, bad=errors.take, judge=ANY))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (count, errors.count) == (40_000, 10_000)
    assert peak < path.stat().st_size / 4


def bad_rows(first: int, count: int) -> str:
    return "".join(f"{number},NOSLOT,2300000001,2026-01-01,\n" for number in range(first, first + count))


def test_a_long_run_of_bad_rows_says_where_it_is(tmp_path: Path) -> None:
    """What waits for the reading could otherwise only note them all: a 10 GB file of bad rows filled the memory."""
    first, count = 2 * 10**12, 2 * limits.LOAD_BAD_RUN + 5
    groups, bad = read(tmp_path / "bad.csv", HEADER + bad_rows(first, count))
    assert [(int(one.mpan) - first, one.holdings, one.whole) for one in groups] == [
        (limits.LOAD_BAD_RUN - 1, (), False),
        (2 * limits.LOAD_BAD_RUN - 1, (), False),
    ]
    assert len(bad) == count


def test_drift_holds_few_of_many_bad_rows_and_empties_none_of_their_mpans(tmp_path: Path) -> None:
    first, count = 2 * 10**12, 7 * limits.LOAD_BAD_RUN
    extract = tmp_path / "extract.csv"
    extract.write_text(HEADER + bad_rows(first, count))
    row = encode(history(holds(Slot.SUPPLIER, "2300000001", day(1))))
    waiting: list[int] = []
    refused = 0

    def bad(_line: BadLine) -> None:
        nonlocal refused
        refused += 1

    def table() -> Iterator[tuple[bytes, bytes]]:
        for number in range(first, first + count, 1_000):
            waiting.append(refused - (number - first))
            yield b"%d" % number, row

    with Report(repair=tmp_path / "repair.csv", differences=None, repair_extra=True) as report:
        compare(extract, table(), report=report, judge=Judge(), bad=bad)
    assert refused == count
    assert report.compared == 0
    assert max(waiting) <= 2 * limits.LOAD_BAD_RUN, "the reading runs far ahead of the table"


def test_drift_refuses_bad_rows_in_no_order_instead_of_holding_them_all(tmp_path: Path) -> None:
    extract = tmp_path / "extract.csv"
    text = "".join(
        bad_rows(9 * 10**12 + part * limits.LOAD_BAD_RUN, limits.LOAD_BAD_RUN - 1)
        + f"{2 * 10**12 + part},SUP,2300000001,2026-01-01,\n"
        for part in range(6)
    )
    extract.write_text(HEADER + text)
    with (
        Report(repair=None, differences=None) as report,
        pytest.raises(ExtractInvalid, match="sort the file by MPAN"),
    ):
        compare(extract, iter(()), report=report, judge=Judge(), bad=lambda _: None)


def test_a_checkpoint_is_bounded_in_rows_too() -> None:
    """20,000 MPANs with a thousand rows each would be 3 GB."""
    each = limits.LOAD_ROWS_OF_MPAN_MAX
    holding = Holding(slot="SUP", holder="2300000001", valid_from=day(1), valid_to=None)
    one = Group(mpan=Mpan(MPAN), holdings=(holding,) * each, place=Place(), whole=True)
    groups = iter([one] * (2 * limits.LOAD_CHECKPOINT_ROWS // each))
    assert len(_part(groups)) == limits.LOAD_CHECKPOINT_ROWS // each
    assert len(_part(groups)) == limits.LOAD_CHECKPOINT_ROWS // each
    assert _part(groups) == []


def test_a_dry_run_judges_every_row_without_a_broker_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    file = tmp_path / "extract.csv"
    file.write_text(SAMPLE + "2000056535971,NOSLOT,2300000001,2026-04-01,\n")
    found = CliRunner().invoke(
        appointments, ["load", "--dry-run", "--allow-unknown-holders", "--json", str(file)]
    )
    assert found.exit_code == 1, found.output
    told = json.loads(found.output)
    assert (told["loaded"], told["loadable"], told["refused"]) == (0, 2, 1)
    assert "NOSLOT" in Path(told["errors"]).read_text()
    assert not list(tmp_path.glob("*.progress.json"))
