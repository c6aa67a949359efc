"""The laws of appointment histories, over stories nobody thought of."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.appointments import (
    ABSENCE,
    History,
    Row,
    Says,
    absences,
    holders,
    rows,
    timeline,
    trim,
)
from pipeline.domain.changes import (
    Change,
    Confirms,
    Corrects,
    Ends,
    Holds,
    Leaves,
    Returns,
    Withdraws,
    apply,
)
from pipeline.domain.routing import Slot
from tables import appointments as table
from tests.support.builders import day

HELD = [slot for slot in Slot if slot is not ABSENCE]
slots = st.sampled_from([Slot.SUPPLIER, Slot.METERING_SERVICE, Slot.GSP_GROUP])
names = st.sampled_from(["A", "B", "C"])
days = st.integers(1, 12).map(day)

starts = st.builds(Holds, slot=slots, holder=names, valid_from=days)
spans = st.builds(
    lambda slot, holder, at, length: Holds(
        slot=slot, holder=holder, valid_from=at, valid_to=at + timedelta(days=length)
    ),
    slots,
    names,
    days,
    st.integers(1, 5),
)
changes = st.one_of(
    starts,
    spans,
    st.builds(Ends, slot=slots, holder=st.none() | names, at=days),
    st.builds(Corrects, slot=slots, holder=names, valid_from=days),
    st.builds(Withdraws, slot=slots, holder=names, valid_from=days),
    st.builds(Leaves, at=days),
    st.builds(Returns, at=days),
    st.builds(Confirms, slot=slots, holder=names, at=days),
)
# One entry: changes of one message, and when it was received (clocks of several entrances: any order).
stories = st.lists(st.tuples(st.lists(changes, max_size=3), st.integers(1, 12).map(day)), max_size=8)

LAW = settings(deadline=None, max_examples=100)  # the machine's speed decides no test

Story = list[tuple[list[Change], datetime]]
MOMENTS = [day(number / 2) for number in range(37)]


def tell(story: Story, history: History | None = None, *, first: int = 0) -> History:
    told = history or History()
    for number, (said, at) in enumerate(story, start=first):
        told = apply(told, said, recorded_at=at, source=f"message {number}").history
    return told


def answers(history: History, *, as_known_at: datetime | None = None) -> list[Row | None]:
    return [holders(history, slot, at, as_known_at=as_known_at) for slot in HELD for at in MOMENTS]


@LAW
@given(stories)
def test_every_message_told_again_changes_nothing(story: Story) -> None:
    """Re-computation and a second delivery of a record are harmless, in whatever state they find the table."""
    told = tell(story)
    assert tell(story, told) is told


@LAW
@given(stories)
def test_the_spans_of_a_slot_are_ordered_and_never_overlap(story: Story) -> None:
    told = tell(story)
    for slot in HELD:
        line = timeline(told, slot)
        assert all(row.valid_to is None or row.valid_from < row.valid_to for row in line)
        for earlier, later in pairwise(line):
            assert earlier.valid_to is not None
            assert earlier.valid_to <= later.valid_from


@LAW
@given(stories)
def test_a_gap_begins_only_where_a_source_ended_somebody(story: Story) -> None:
    told = tell(story)
    for slot in HELD:
        line = timeline(told, slot)
        begun = {row.valid_from for row in line}
        for row in line:
            if row.valid_to is not None and row.valid_to not in begun:
                assert any(
                    one.slot is slot
                    and one.at == row.valid_to
                    and one.superseded_at is None
                    and (one.says is Says.NOBODY or (one.says is Says.ENDS and one.holder == row.holder))
                    for one in told.statements
                )


@LAW
@given(stories, stories, st.integers(0, 14).map(day))
def test_what_was_known_at_a_past_moment_never_changes(past: Story, future: Story, moment: datetime) -> None:
    told = tell(past)
    latest = max((one.superseded_at or one.recorded_at for one in told.statements), default=day(0))
    moment = min(moment, latest)
    before = answers(told, as_known_at=moment)
    assert answers(tell(future, told, first=len(past)), as_known_at=moment) == before


@LAW
@given(stories, stories)
def test_nothing_ever_recorded_is_lost(past: Story, future: Story) -> None:
    """A statement stays as it was said; at most it is marked superseded, once."""
    before = tell(past).statements
    after = tell(future, History(statements=before), first=len(past)).statements
    for old, new in zip(before, after, strict=False):
        assert (old.slot, old.says, old.holder, old.at, old.recorded_at, old.source) == (
            new.slot,
            new.says,
            new.holder,
            new.at,
            new.recorded_at,
            new.source,
        )
        assert old.superseded_at is None or old.superseded_at == new.superseded_at
    assert len(after) >= len(before)


@LAW
@given(stories)
def test_the_clock_of_a_history_only_moves_forward(story: Story) -> None:
    stamps = [one.recorded_at for one in tell(story).statements]
    assert stamps == sorted(stamps)


@LAW
@given(
    st.lists(starts, max_size=8, unique_by=lambda one: (one.slot, one.valid_from)),
    st.lists(st.builds(Leaves, at=days), max_size=1),
    st.randoms(use_true_random=False),
)
def test_independent_facts_give_one_picture_in_any_order(
    facts: list[Holds], left: list[Leaves], shuffler: object
) -> None:
    """Facts about different slots or moments: back-dated, future-dated and in order are the same in the end."""

    def seen(told: History) -> list[tuple[str, datetime, datetime | None]]:
        return [(row.holder, row.valid_from, row.valid_to) for row in rows(told)]

    numbered = [(f"message {number}", fact) for number, fact in enumerate([*facts, *left])]
    shuffled = numbered[:]
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a Random
    one, other = History(), History()
    for source, fact in numbered:
        one = apply(one, [fact], recorded_at=day(1), source=source).history
    for source, fact in shuffled:
        other = apply(other, [fact], recorded_at=day(1), source=source).history
    assert seen(one) == seen(other)
    assert absences(one) == absences(other)


@LAW
@given(st.lists(starts, max_size=8, unique_by=lambda one: (one.slot, one.valid_from)), slots, days)
def test_the_holder_is_the_latest_to_start(facts: list[Holds], slot: Slot, at: datetime) -> None:
    """The plainest model of it all."""
    told = tell([(facts, day(1))])  # type: ignore[list-item] # a list of one kind of change
    begun = [one for one in facts if one.slot is slot and one.valid_from <= at]
    expected = max(begun, key=lambda one: one.valid_from).holder if begun else None
    found = holders(told, slot, at)
    assert (found and found.holder) == expected


@LAW
@given(stories, st.integers(1, 14).map(day))
def test_trimming_changes_no_answer_that_anybody_may_still_ask_for(
    story: Story, keep_since: datetime
) -> None:
    told = tell(story)
    trimmed = trim(told, keep_since=keep_since)
    later = [moment for moment in MOMENTS if moment >= keep_since]
    for known_at in (None, *later[::3]):
        for slot in HELD:
            for at in later:
                before = holders(told, slot, at, as_known_at=known_at)
                assert holders(trimmed, slot, at, as_known_at=known_at) == before
    assert trim(trimmed, keep_since=keep_since) is trimmed


@LAW
@given(stories)
def test_a_history_survives_the_table(story: Story) -> None:
    told = tell(story)
    assert table.decode(table.encode(told)) == told
    assert table.encode(table.decode(table.encode(told))) == table.encode(told)


@LAW
@given(stories, days, st.integers(0, 6))
def test_nobody_holds_an_absent_mpan(story: Story, left: datetime, later_days: int) -> None:
    told = tell([*story, ([Leaves(at=left)], day(12))])
    at = left + timedelta(days=later_days)
    back = any(isinstance(one, Returns) and left < one.at <= at for said, _ in story for one in said)
    assert back or holders(told, Slot.SUPPLIER, at) is None
