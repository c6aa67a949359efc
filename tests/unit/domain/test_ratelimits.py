"""Limits at the door: exact in the long run, truthful about the wait, and never confused by a clock."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.ratelimits import (
    Allowance,
    Exhausted,
    Levels,
    Rate,
    charged,
    exhausted,
    full,
    refilled,
)

NONE = Rate(per_s=0, burst=0)
ALLOWANCE = Allowance(
    requests=Rate(per_s=10, burst=20),
    messages=Rate(per_s=100, burst=1_000),
    bytes=Rate(per_s=1_000, burst=5_000),
    open_max=5,
)


def test_a_burst_is_let_in_and_the_next_waits() -> None:
    levels = full(ALLOWANCE, 0.0)
    for _ in range(20):
        assert exhausted(levels, ALLOWANCE) is None
        levels = charged(levels, requests=1)
    refused = exhausted(levels, ALLOWANCE)
    assert isinstance(refused, Exhausted)
    assert refused.dimension == "requests"


def test_a_large_array_is_let_in_and_makes_a_debt_that_time_pays() -> None:
    """The messages are known only after slicing: then it is too late to refuse, and not too late to charge."""
    levels = charged(full(ALLOWANCE, 0.0), requests=1, messages=1_500)
    refused = exhausted(levels, ALLOWANCE)
    assert refused is not None
    assert (refused.dimension, refused.wait_s) == ("messages", 5.0)
    assert exhausted(refilled(levels, ALLOWANCE, 4.9), ALLOWANCE) is not None
    assert exhausted(refilled(levels, ALLOWANCE, 5.1), ALLOWANCE) is None


def test_the_longest_wait_is_named_when_several_buckets_are_in_debt() -> None:
    levels = charged(full(ALLOWANCE, 0.0), requests=30, messages=1_100, bytes_=15_000)
    refused = exhausted(levels, ALLOWANCE)
    assert refused is not None
    assert (refused.dimension, refused.wait_s) == ("bytes", 10.0)


def test_no_rate_means_no_limit() -> None:
    free = Allowance(requests=NONE, messages=NONE, bytes=NONE, open_max=0)
    levels = charged(full(free, 0.0), requests=10**9, messages=10**9, bytes_=10**12)
    assert exhausted(refilled(levels, free, 1.0), free) is None


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    assert refilled(full(ALLOWANCE, 0.0), ALLOWANCE, 10**9) == full(ALLOWANCE, 10**9)


@pytest.mark.parametrize("later_s", [0.0, -1.0, -(10.0**6)])
def test_a_clock_that_stands_still_or_steps_back_gives_nothing(later_s: float) -> None:
    levels = charged(full(ALLOWANCE, 0.0), requests=20)
    assert refilled(levels, ALLOWANCE, later_s) == levels


def test_a_lowered_burst_counts_at_once() -> None:
    smaller = Allowance(
        requests=Rate(per_s=1, burst=2),
        messages=ALLOWANCE.messages,
        bytes=ALLOWANCE.bytes,
        open_max=1,
    )
    assert refilled(full(ALLOWANCE, 0.0), smaller, 1.0).requests == 2


@given(
    used=st.tuples(st.integers(0, 500), st.integers(0, 50_000), st.integers(0, 10**8)),
    start_s=st.floats(0, 1e6),
)
def test_who_waits_as_told_is_let_in(used: tuple[int, int, int], start_s: float) -> None:
    """Retry-After is a promise: in whole seconds, and true."""
    requests, messages, sent = used
    levels = charged(full(ALLOWANCE, start_s), requests=requests, messages=messages, bytes_=sent)
    refused = exhausted(levels, ALLOWANCE)
    wait_s = 0 if refused is None else math.floor(refused.wait_s) + 1
    assert exhausted(refilled(levels, ALLOWANCE, start_s + wait_s), ALLOWANCE) is None


@given(gaps=st.lists(st.floats(0, 1.0), min_size=50, max_size=200), size=st.integers(1, 400))
def test_the_long_run_rate_is_the_rate(gaps: list[float], size: int) -> None:
    """What is let in over any time is at most burst + rate x time + the one request that made the debt."""
    levels, now_s, sent = full(ALLOWANCE, 0.0), 0.0, 0
    for gap in gaps:
        now_s += gap
        levels = refilled(levels, ALLOWANCE, now_s)
        if exhausted(levels, ALLOWANCE) is None:
            levels = charged(levels, requests=1, messages=size)
            sent += size
    rate = ALLOWANCE.messages
    assert sent <= rate.burst + rate.per_s * now_s + size + 1e-6
    assert isinstance(levels, Levels)
