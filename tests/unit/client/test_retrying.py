"""Waits: never shorter than asked, bounded, growing."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.client import RetryPolicy
from pipeline.client.retrying import retry_after_s

NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
POLICY = RetryPolicy()


@given(
    tries=st.integers(1, 10_000),
    asked=st.none() | st.floats(0, 3_600),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_never_shorter_than_asked_and_never_much_longer_than_needed(tries, asked, fraction):
    wait = POLICY.pause_s(tries, asked_s=asked, fraction=fraction)
    assert wait >= (asked or 0)
    assert POLICY.wait_s_min <= wait <= max(POLICY.wait_s_max, asked or 0) * (1 + POLICY.jitter_share)


def test_waits_grow_until_they_are_long_enough():
    waits = [POLICY.pause_s(tries, asked_s=None, fraction=0) for tries in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (POLICY.wait_s_min, POLICY.wait_s_max)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("99999999", 3_600),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0661", None),
    ],
)
def test_retry_after_is_read_in_both_of_its_forms(header, seconds):
    assert retry_after_s(header, now=NOW) == seconds
