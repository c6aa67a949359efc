"""The product's histories against a naive clerk, and laws that no story may break.

A failing number is a life (tests/support/registry_soak.py): add it to `ONCE_WRONG` when it is mended.
"""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.appointments import UNKNOWN, History, holders, timeline
from pipeline.domain.changes import Holds, Replaces, apply, changes_in
from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.identifiers import Mpan
from pipeline.domain.routing import Slot
from tests.support.builders import MPAN, day
from tests.support.naive_registry import NaiveRegistry, seconds
from tests.support.registry_soak import DAYS, MOMENTS, ROLES, Life, check, micros

LIVES = 100_000  # `make soak` lives a million others
CHUNKS = 10
ONCE_WRONG = (58,)
"""Lives on which the two sides once differed. 58: an address change carries a date and moves no GSP group."""

LAW = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_product_and_clerk_agree_on_every_life(chunk: int) -> None:
    """Who held the role on that day, as known then: ten thousand histories of each chunk, four questions each."""
    share = LIVES // CHUNKS
    for number in range(chunk * share, (chunk + 1) * share):
        assert check(number) is None


@pytest.mark.parametrize("number", ONCE_WRONG)
def test_what_was_wrong_once_stays_right(number: int) -> None:
    assert check(number, questions=200) is None


@pytest.mark.parametrize("number", range(30))
def test_every_question_that_can_be_asked_of_some_lives(number: int) -> None:
    """All roles, all days, as known at every moment at which something was told, and just before it."""
    life = Life(Random(number), UNKNOWN, NaiveRegistry(), [], None)
    life.tell(10)
    for role in ROLES:
        for on in MOMENTS[::3]:
            for known in (None, *life.moments, *(at - timedelta(microseconds=1) for at in life.moments)):
                row = holders(life.product, Slot(role), on, as_known_at=known)
                asked = (role, micros(on) // 1_000_000) + (() if known is None else (micros(known),))
                assert (row and row.holder) == life.clerk.who(*asked), (role, on, known)


def test_the_clerk_reckons_british_midnights() -> None:
    """The model must be right about the hours that matter before it may judge anybody."""
    assert seconds("2026-03-29") == seconds("2026-03-29T00:00:00+00:00")
    assert seconds("2026-03-30") == seconds("2026-03-30T00:00:00+01:00")
    assert seconds("2026-10-25") == seconds("2026-10-25T00:00:00+01:00")
    assert seconds("2026-10-26") == seconds("2026-10-26T00:00:00+00:00")
    assert seconds("2028-02-29") + 86_400 == seconds("2028-03-01")
    assert seconds("1970-01-01T00:00:00+00:00") == 0


rows = st.lists(
    st.builds(
        lambda who, start, length: Holding(
            slot="SUP", holder=who, valid_from=day(start), valid_to=day(start + length)
        ),
        st.sampled_from("ABC"),
        st.integers(1, 12),
        st.integers(1, 6),
    ),
    max_size=4,
)


def registration(holdings: list[Holding], *, replaces: bool) -> Registration:
    if replaces and not holdings:
        holdings = [Holding(slot="SUP", holder="", valid_from=None)]
    marked = tuple(replace(one, replaces=replaces) for one in holdings)
    return Registration(mpan=Mpan(MPAN), source="repair", recorded_at=day(20), holdings=marked)


@LAW
@given(st.integers(0, 10_000), rows)
def test_after_a_repair_the_slot_is_as_if_nothing_else_had_ever_been_said(
    number: int, repaired: list[Holding]
) -> None:
    life = Life(Random(number), UNKNOWN, NaiveRegistry(), [], "SUP")
    life.tell(6)
    repair = changes_in(registration(repaired, replaces=True))
    after = apply(life.product, repair, recorded_at=day(20), source="repair").history
    fresh = apply(UNKNOWN, repair, recorded_at=day(20), source="repair").history
    assert picture(after, Slot.SUPPLIER) == picture(fresh, Slot.SUPPLIER)
    assert picture(after, Slot.DATA_SERVICE) == picture(life.product, Slot.DATA_SERVICE)
    assert apply(after, repair, recorded_at=day(30), source="repair").history is after


def test_a_repair_told_again_later_does_not_undo_what_came_after_it() -> None:
    """A load that is resumed or run twice must not bring yesterday back."""
    repair = [Replaces(slot=Slot.SUPPLIER), Holds(slot=Slot.SUPPLIER, holder="A", valid_from=day(1))]
    told = apply(UNKNOWN, repair, recorded_at=day(2), source="repair").history
    later = [Holds(slot=Slot.SUPPLIER, holder="B", valid_from=day(5))]
    told = apply(told, later, recorded_at=day(3), source="T-1").history
    assert apply(told, repair, recorded_at=day(4), source="repair").history is told


@LAW
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_stories_of_different_slots_may_be_told_in_any_interleaving(number: int, shuffler: Random) -> None:
    """Each slot hears its own facts in their order; between slots the order of arrival means nothing."""
    stories = {
        slot: [Holds(slot=slot, holder=f"{slot}{at}", valid_from=day(at % 7 + number % 3)) for at in range(4)]
        for slot in (Slot.SUPPLIER, Slot.METERING_SERVICE, Slot.DATA_SERVICE)
    }
    one = tell([(slot, index) for slot in stories for index in range(4)], stories)
    mixed = [slot for slot in stories for _ in range(4)]
    shuffler.shuffle(mixed)
    seen = dict.fromkeys(stories, -1)
    order = []
    for slot in mixed:
        seen[slot] += 1
        order.append((slot, seen[slot]))
    other = tell(order, stories)
    assert [picture(one, slot) for slot in stories] == [picture(other, slot) for slot in stories]


def tell(order: list[tuple[Slot, int]], stories: dict[Slot, list[Holds]]) -> History:
    told = UNKNOWN
    for slot, index in order:
        source = f"{slot}-{index}"
        told = apply(told, [stories[slot][index]], recorded_at=day(1 + index), source=source).history
    return told


def picture(of: History, slot: Slot) -> list[tuple[str, object, object]]:
    return [(row.holder, row.valid_from, row.valid_to) for row in timeline(of, slot)]


def test_the_days_of_the_lives_hold_both_changes_of_the_clocks() -> None:
    assert {"2026-03-29", "2026-10-25", "2028-02-29"} <= set(DAYS)
