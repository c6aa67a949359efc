"""Instants of the wire."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from pipeline.domain.times import (
    applicable_instant,
    effective_instant,
    format_instant,
    parse_instant,
    settlement_day,
    uk_midnight,
)


def test_an_instant_is_read_as_utc() -> None:
    assert parse_instant("2026-07-01T00:00:00+01:00") == datetime(2026, 6, 30, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T01:00:00Z",
        "2026-01-05 01:00:00+00:00",
        "20260105T010000.123+00:00",
        "2026-01-05T01:00:00.12345",
        "2026-02-30T01:00:00+00:00",
        "2026-01-05T24:00:00+00:00",
        "2026-01-05T01:00:60+00:00",
        "2026-01-05T01:00:00+00:00\n",
        "2026-01-05T01:00:00+99:00",
        "0001-01-01T00:00:00+01:00",
        "٢٠٢٦-01-05T01:00:00+00:00",
        "yesterday, just after tea",
        "",
    ],
)
def test_what_only_has_the_length_of_an_instant_is_none(text: str) -> None:
    """The schema checks 25 characters and nothing else: here is where a false instant stops."""
    assert parse_instant(text) is None


def test_an_instant_is_written_in_25_characters_of_utc_without_fraction() -> None:
    local = datetime(2026, 7, 1, 0, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert format_instant(local) == "2026-06-30T23:00:00+00:00"
    assert len(format_instant(local)) == 25


@pytest.mark.parametrize(
    ("day", "begins"),
    [
        (date(2026, 1, 5), datetime(2026, 1, 5, tzinfo=UTC)),
        (date(2026, 3, 29), datetime(2026, 3, 29, tzinfo=UTC)),
        (date(2026, 3, 30), datetime(2026, 3, 29, 23, tzinfo=UTC)),
        (date(2026, 10, 25), datetime(2026, 10, 24, 23, tzinfo=UTC)),
        (date(2026, 10, 26), datetime(2026, 10, 26, tzinfo=UTC)),
    ],
)
def test_a_uk_day_begins_at_its_local_midnight(day: date, begins: datetime) -> None:
    """The days on which the clocks change still begin by the clock before the change."""
    assert uk_midnight(day) == begins


def test_a_settlement_day_never_begins_before_the_local_day_of_an_appointment() -> None:
    """So a holder appointed from a day's local midnight is found by that day's consumption, all year."""
    for number in range(366):
        day = date(2026, 1, 1) + timedelta(days=number)
        assert uk_midnight(day) <= settlement_day(day) < uk_midnight(day + timedelta(days=1))


def test_a_bare_date_means_utc_midnight_for_data_and_local_midnight_for_appointments() -> None:
    assert applicable_instant("2026-07-01") == datetime(2026, 7, 1, tzinfo=UTC)
    assert effective_instant("2026-07-01") == datetime(2026, 6, 30, 23, tzinfo=UTC)


@pytest.mark.parametrize("read", [applicable_instant, effective_instant])
@pytest.mark.parametrize("text", ["2026-13-01", "2026-02-30", "01/07/2026", "2026-07-01 ", "20260701"])
def test_what_is_neither_date_nor_instant_is_none(read: object, text: str) -> None:
    assert read(text) is None  # type: ignore[operator] # parametrized
