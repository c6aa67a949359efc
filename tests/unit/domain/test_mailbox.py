"""Receipts name copies exactly, and bundles are closed by count, bytes or age."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.mailbox import Bounds, Receipt, closed, fitting
from pipeline.limits import MAILBOX_MESSAGES_MAX
from tests.support.builders import NOW

offsets = st.lists(st.integers(0, 10**12), min_size=1, max_size=MAILBOX_MESSAGES_MAX, unique=True).map(sorted)
receipts = st.builds(
    Receipt,
    topic=st.sampled_from(["dip.outbound", "dip.status"]),
    partition=st.integers(0, 999),
    offsets=offsets.map(tuple),
)


@given(receipts)
def test_a_receipt_is_read_as_it_was_written(receipt: Receipt) -> None:
    assert Receipt.parse(receipt.text) == receipt


@given(receipts, st.data())
def test_a_receipt_that_was_cut_or_mistyped_is_none(receipt: Receipt, data: st.DataObject) -> None:
    """It must never become one that names other copies."""
    text = receipt.text
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABYZabyz0189-_"))
    assert Receipt.parse(text[:at]) is None
    changed = text[:at] + letter + text[at + 1 :]
    assert Receipt.parse(changed) in {None, receipt}


@given(st.text(max_size=60))
def test_any_text_is_a_receipt_or_is_not(text: str) -> None:
    found = Receipt.parse(text)
    assert found is None or found.offsets


@given(st.lists(st.integers(1, 100), max_size=20), st.integers(1, 10), st.integers(1, 300))
def test_a_bundle_is_the_longest_beginning_that_fits_and_never_nothing(
    sizes: list[int], messages: int, size_bytes: int
) -> None:
    bounds = Bounds(messages=messages, size_bytes=size_bytes)
    count = fitting(sizes, bounds)
    fits = [n for n in range(len(sizes) + 1) if n <= messages and sum(sizes[:n]) <= size_bytes]
    assert count == max(*fits, min(1, len(sizes)))


@pytest.mark.parametrize(
    ("sizes", "age_s", "expected"),
    [([5] * 10, 0, True), ([60, 60], 0, True), ([5], 59, False), ([5], 60, True), ([5] * 9, 0, False)],
)
def test_a_bundle_is_closed_by_count_by_bytes_or_by_age(
    sizes: list[int], age_s: float, *, expected: bool
) -> None:
    bounds = Bounds(messages=10, size_bytes=100, age_s=60)
    assert closed(sizes, bounds, oldest_at=NOW - timedelta(seconds=age_s), now=NOW) is expected
