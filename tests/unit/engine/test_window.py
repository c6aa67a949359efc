"""The window decides what may be committed; a commit past an unsettled record would lose it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.engine.bitmap import pack, unpack
from pipeline.engine.window import Window, decode, encode


@st.composite
def histories(draw):
    """A rising list of offsets, some of them held, and an order in which the held ones are settled."""
    gaps = draw(st.lists(st.integers(1, 5), max_size=60))
    offsets = [sum(gaps[: at + 1]) for at in range(len(gaps))]
    held = [offset for offset in offsets if draw(st.booleans())]
    order = draw(st.permutations(held))
    cut = draw(st.integers(0, len(order)))
    return offsets, held, order[:cut]


@given(histories())
def test_the_committable_offset_never_passes_an_unsettled_record(history):
    """Whatever the order of completions: a new owner that begins there meets every unsettled record."""
    offsets, held, settled = history
    window = Window(0)
    for offset in held:
        window.hold(offset, size=10, at_s=0)
    window.advance((offsets[-1] + 1) if offsets else 0)
    for offset in settled:
        before = window.committable
        assert window.settle(offset)
        assert window.committable >= before, "a commit never goes back"
        unsettled = set(held) - {o for o in settled if not window.held(o)}
        assert all(window.committable <= offset for offset in unsettled if window.held(offset))
    open_ones = set(held) - set(settled)
    expected = min(open_ones) if open_ones else ((offsets[-1] + 1) if offsets else 0)
    assert window.committable == expected
    assert (len(window), window.bytes) == (len(open_ones), 10 * len(open_ones))


@given(histories())
def test_settling_twice_changes_nothing(history):
    _, held, settled = history
    window = Window(0)
    for offset in held:
        window.hold(offset, size=1, at_s=0)
    for offset in settled:
        window.settle(offset)
    state = window.committable, len(window), window.bytes
    assert not any(window.settle(offset) for offset in settled)
    assert (window.committable, len(window), window.bytes) == state


def test_an_empty_window_commits_what_was_taken_in():
    window = Window(7)
    assert window.committable == 7
    window.advance(12)
    assert window.committable == 12
    window.advance(10)
    assert window.committable == 12, "taking in does not go back"


def test_a_record_that_was_passed_cannot_be_held():
    """It may be committed already: holding it would promise what cannot be kept."""
    window = Window(5)
    with pytest.raises(ValueError, match="already passed"):
        window.hold(4, size=1, at_s=0)


def test_the_oldest_unsettled_record_tells_its_age():
    window = Window(0)
    assert window.oldest_at_s is None
    window.hold(1, size=1, at_s=3.0)
    window.hold(2, size=1, at_s=4.0)
    assert window.oldest_at_s == 3.0
    window.settle(1)
    assert window.oldest_at_s == 4.0


@given(st.sets(st.integers(0, 50_000), max_size=200))
def test_a_bitmap_gives_back_what_was_packed(numbers):
    assert list(unpack(pack(numbers))) == sorted(numbers)


def test_text_that_is_no_bitmap_tells_nothing():
    """An offset alone is always right; metadata of another tool must not stop a worker."""
    assert [decode(5, text) for text in (None, "", "other", "w1:x:y", "w1:3:!!", "w1:3:AAAA")] == [None] * 6


@given(st.data())
def test_each_record_is_settled_exactly_once_over_any_number_of_owners(data):
    """Owners come and go at any moment; each reads from the committed offset and what was committed beside it."""
    offsets = sorted(data.draw(st.sets(st.integers(0, 400), min_size=1, max_size=60)))
    settled: list[int] = []
    committed, metadata = 0, ""
    for _ in range(data.draw(st.integers(1, 6))):
        window = Window(committed, decode(committed, metadata))
        for offset in [one for one in offsets if one >= committed][: data.draw(st.integers(0, 60))]:
            if not window.done(offset):
                window.hold(offset, size=1, at_s=0)
            window.advance(offset + 1)
            if data.draw(st.booleans()):
                open_ones = [one for one in offsets if window.held(one)]
                if open_ones:
                    one = data.draw(st.sampled_from(open_ones))
                    assert window.settle(one)
                    settled.append(one)
        committed, metadata = window.committable, window.metadata()
    window = Window(committed, decode(committed, metadata))
    settled += [one for one in offsets if one >= committed and not window.done(one)]
    assert sorted(settled) == offsets


def test_metadata_fits_what_the_broker_keeps_and_forgets_from_the_top():
    """Of what does not fit nothing is known: it is settled again, never lost."""
    held = range(0, 60_000, 3)
    text = encode(0, 60_000, held)
    assert len(text) <= limits.WINDOW_METADATA_CHARS_MAX
    known = decode(0, text)
    assert known is not None
    assert 0 < known.next <= 60_000
    assert known.held == {offset for offset in held if offset < known.next}


def test_nothing_is_written_beside_an_offset_that_says_it_all():
    window = Window(3)
    window.advance(9)
    assert window.metadata() == ""
