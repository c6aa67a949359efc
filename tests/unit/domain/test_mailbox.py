"""Receipts name copies exactly, and bundles are closed by count, bytes or age."""

import base64
import zlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.gaps import Gap
from pipeline.domain.mailbox import Bounds, Receipt, closed, fitting
from pipeline.limits import MAILBOX_MESSAGES_MAX
from tests.support.builders import NOW

offsets = st.lists(st.integers(0, 10**12), min_size=1, max_size=MAILBOX_MESSAGES_MAX, unique=True).map(sorted)


@st.composite
def receipts_of(draw: st.DrawFn) -> Receipt:
    """Draw a receipt of which some copies named a gap that begins before them, and may end behind them."""
    places = draw(offsets)
    gaps = []
    for number in draw(st.lists(st.integers(0, len(places) - 1), max_size=5, unique=True).map(sorted)):
        if places[number]:
            first = draw(st.integers(0, places[number] - 1))
            last = draw(st.integers(first, first + 10**6))
            gaps.append((number, Gap(first=first, last=last, count=draw(st.integers(1, 10**6)))))
    return Receipt(
        topic=draw(st.sampled_from(["dip.outbound", "dip.status"])),
        partition=draw(st.integers(0, 999)),
        offsets=tuple(places),
        gaps=tuple(gaps),
    )


receipts = receipts_of()


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


@pytest.mark.parametrize(
    "gaps", ["", "0", "0.1.1", "1.1.1.1", "0.0.1.1", "0.8.0.1", "0.1.-1.1", "0.1.0.1.1", "0.1.0.1,", "x"]
)
def test_a_receipt_whose_gaps_are_none_is_none(gaps: str) -> None:
    """Sealed all the same: whoever reads it must not fall over what it says."""
    plain = f"2|dip.outbound|0|7|{gaps}"
    sealed = f"{plain}|{zlib.crc32(plain.encode()):08x}".encode()
    assert Receipt.parse(base64.urlsafe_b64encode(sealed).decode().rstrip("=")) is None


def test_a_receipt_of_before_gaps_is_still_read() -> None:
    receipt = Receipt(topic="dip.outbound", partition=1, offsets=(3, 5))
    assert receipt.text == "MXxkaXAub3V0Ym91bmR8MXwzLDJ8MjhjYWYzYWU"
    assert receipt.gap_before(3) is None


def test_a_receipt_of_full_bundle_with_a_gap_before_every_copy_fits_into_a_query() -> None:
    places = range(10**9, 10**9 + 7_000 * MAILBOX_MESSAGES_MAX, 7_000)
    gaps = tuple((number, Gap(first=at - 90_000, last=at - 50, count=99)) for number, at in enumerate(places))
    receipt = Receipt(topic="dip.outbound", partition=99, offsets=tuple(places), gaps=gaps)
    assert Receipt.parse(receipt.text) == receipt
    assert len(receipt.text) < 8_000, "servers take 8,190 bytes of a request's first line"


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
