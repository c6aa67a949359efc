"""The window decides what may be committed; a commit past an unsettled record would lose it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.window import Window


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
