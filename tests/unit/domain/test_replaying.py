"""A replay never makes a second copy for anybody unless told to, and then one in each replay."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.addressing import A0, Addressed, Unaddressable
from pipeline.domain.envelope import Addressee
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.replaying import Before, Comparison, Fate, Into, Knowledge, Wish, judge, only

AT = datetime(2026, 1, 5, tzinfo=UTC)
PEOPLE = ("A", "B", "C", "D")
NOT = Unaddressable(rejections=(Rejection(code=Code.MPAN_UNKNOWN, check=CheckId.MPAN_KNOWN, help="x"),))


def addressed(*recipients: str) -> Addressed:
    return Addressed(
        addressees=tuple(Addressee(recipient=one, reasons=()) for one in sorted(recipients)), a0=A0()
    )


def wish(**more) -> Wish:
    return Wish(name="r", **more)


people = st.frozensets(st.sampled_from(PEOPLE))
wishes = st.builds(
    wish, into=st.frozensets(st.sampled_from(Into)), deliver_again=st.booleans(), untouched=st.booleans()
)


befores = st.builds(
    lambda had, worked_on, repeated, done: Before(
        worked_on=worked_on or bool(had), recipients=had, repeated=repeated, done=done
    ),
    people,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(befores, people, wishes)
def test_nobody_gets_a_second_copy_without_being_asked_for(before, now, asked):
    had = before.recipients
    verdict = judge(before, addressed(*now) if now else NOT, asked)
    if not asked.deliver_again:
        assert not set(verdict.copies_for) & had
    assert set(verdict.copies_for) <= now
    assert bool(verdict.copies_for) == (verdict.fate in {Fate.COPIES, Fate.AGAIN})
    if verdict.fate in {Fate.ADDRESS, Fate.VALIDATE}:
        assert not had, "a stage would make all copies again"
        assert not before.done
        assert before.worked_on or (asked.untouched and not before.repeated)
    if asked.into:
        stages = {
            Fate.COPIES: Into.DELIVERY,
            Fate.AGAIN: Into.DELIVERY,
            Fate.ADDRESS: Into.ADDRESSING,
            Fate.VALIDATE: Into.VALIDATION,
        }
        if verdict.fate is Fate.COPIES and not had:
            assert asked.untouched
        elif verdict.fate in stages:
            assert stages[verdict.fate] in asked.into


def record(stage: str, status: str, transaction: str = "T", **more):
    return {"at": AT, "stage": stage, "status": status, "transaction_id": transaction, **more}


@given(people.filter(bool), people.filter(bool), wishes)
def test_the_same_replay_given_again_puts_nothing_twice(had, now, asked):
    knowledge = Knowledge(name="r")
    knowledge.ask("T")
    knowledge.hear(record("Addressing", "SentToTopic", addressees=[{"recipient": one} for one in had]), None)
    first = judge(knowledge.of["T"], addressed(*now), asked)
    if not first.fate.puts:
        return
    put = [{"recipient": one} for one in first.copies_for]
    knowledge.hear(record("Addressing", "SentToTopic", addressees=put), "r")
    second = judge(knowledge.of["T"], addressed(*now), asked)
    assert not second.fate.puts


def test_the_router_is_left_to_what_it_has_not_worked_on():
    assert judge(Before(), addressed("A"), wish()).fate is Fate.PENDING
    assert judge(Before(), addressed("A"), wish(untouched=True)).fate is Fate.ADDRESS
    only_delivery = wish(untouched=True, into=frozenset({Into.DELIVERY}))
    verdict = judge(Before(), addressed("A"), only_delivery)
    assert (verdict.fate, verdict.copies_for) == (Fate.COPIES, ("A",))
    assert judge(Before(repeated=True), addressed("A"), only_delivery).fate is Fate.PENDING


@pytest.mark.parametrize(
    ("before", "outcome", "asked", "fate"),
    [
        (Before(worked_on=True), addressed("A"), wish(), Fate.ADDRESS),
        (Before(worked_on=True), NOT, wish(), Fate.STILL_NOT),
        (Before(worked_on=True, recipients=frozenset("A")), NOT, wish(), Fate.NO_LONGER),
        (Before(worked_on=True, recipients=frozenset("A")), addressed("A"), wish(), Fate.SAME),
        (Before(worked_on=True, recipients=frozenset("AB")), addressed("A"), wish(), Fate.FEWER),
        (Before(worked_on=True, recipients=frozenset("A")), addressed("A", "B"), wish(), Fate.COPIES),
        (
            Before(worked_on=True, recipients=frozenset("A")),
            addressed("A", "B"),
            wish(into=frozenset({Into.ADDRESSING})),
            Fate.ELSEWHERE,
        ),
        (
            Before(worked_on=True, recipients=frozenset("A")),
            addressed("A"),
            wish(deliver_again=True),
            Fate.AGAIN,
        ),
        (Before(worked_on=True), NOT, wish(into=frozenset({Into.VALIDATION})), Fate.VALIDATE),
        (Before(worked_on=True, done=True), addressed("A"), wish(), Fate.DONE),
    ],
)
def test_each_message_has_one_fate(before, outcome, asked, fate):
    assert judge(before, outcome, asked).fate is fate


def test_knowledge_is_of_what_is_asked_about_and_of_this_replays_marks():
    knowledge = Knowledge(name="r")
    knowledge.ask("T")
    knowledge.hear(record("Addressing", "SentToTopic", "other", addressees=[{"recipient": "A"}]), None)
    knowledge.hear(record("Addressing", "SentToTopic", addressees=[{"recipient": "A"}]), "another replay")
    knowledge.hear({"at": AT, "stage": "Outbound", "status": "Delivered", "copies": []}, None)
    assert knowledge.of == {"T": Before(worked_on=True, recipients=frozenset("A"))}


def test_a_comparison_counts_all_and_names_the_first():
    from tests.support.builders import message

    comparison = Comparison(examples_max=2)
    before = Before(worked_on=True, recipients=frozenset("A"))
    for _ in range(5):
        comparison.add(message(), judge(before, addressed("B"), wish()))
    comparison.add(message(), judge(Before(worked_on=True), NOT, wish()))
    plain = comparison.plain()
    assert (plain["messages"], plain["going"], plain["copies"]) == (6, 5, 5)
    assert plain["fates"] == {"copies": 5, "still_not": 1}
    assert plain["gained"] == {"B": 5}
    assert plain["lost"] == {"A": 5}
    assert len(plain["examples"]) == 2


def test_some_addressees_of_an_outcome_keep_the_whole_addressing_block():
    outcome = addressed("A", "B")
    assert [one.recipient for one in only(outcome, ["B"]).addressees] == ["B"]
    assert only(outcome, ["B"]).a0 is outcome.a0
