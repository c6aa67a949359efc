"""Who would get a message, and why: late data, corrections, and what one participant may see."""

from datetime import datetime

from pipeline.domain.appointments import History
from pipeline.domain.changes import Corrects, Ends
from pipeline.domain.envelope import Kind
from pipeline.domain.explain import Explanation, Question, explain, own_view
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, ParticipantId
from pipeline.domain.rejections import Code
from pipeline.domain.routing import Slot
from tests.support.builders import (
    DATA_SERVICE,
    DISTRIBUTOR,
    MARKET_DATA,
    MPAN,
    OTHER_SUPPLIER,
    SUPPLIER,
    day,
    history,
    holds,
    market,
    required,
    routing,
)

RULE = routing(
    required(Slot.SUPPLIER, "SUP"), required(Slot.DISTRIBUTOR, "LDSO"), primary=(), always=("MDS",)
)
NOW = day(20)
TOLD = history(
    holds(Slot.SUPPLIER, SUPPLIER, day(1)),
    holds(Slot.DISTRIBUTOR, DISTRIBUTOR, day(1)),
    recorded_at=day(1),
    source="load",
)
CHANGED = history(
    holds(Slot.SUPPLIER, OTHER_SUPPLIER, day(10)),
    Ends(slot=Slot.SUPPLIER, holder=SUPPLIER, at=day(10)),
    since=TOLD,
    recorded_at=day(8),
    source="T-change",
)


def ask(told: History | None, *days: datetime, as_known_at: datetime | None = None) -> Explanation:
    question = Question(
        mpan=Mpan(MPAN),
        interface=InterfaceId("IF-021"),
        event=EventCode("ActivePower"),
        days=days,
        now=as_known_at or NOW,
        as_known_at=as_known_at,
    )
    return explain(question, routing=RULE, history=told, participants=market())


def suppliers(answer: Explanation) -> dict[str, list[datetime]]:
    return {
        one.id: [at for why in one.reasons for at in why.days]
        for one in answer.recipients
        if any(why.role == "SUP" for why in one.reasons)
    }


def test_late_data_goes_to_the_parties_of_its_day() -> None:
    assert suppliers(ask(CHANGED, day(9))) == {SUPPLIER: [day(9)]}
    assert suppliers(ask(CHANGED, day(10))) == {OTHER_SUPPLIER: [day(10)]}


def test_a_message_over_the_change_goes_to_both_with_their_days() -> None:
    found = suppliers(ask(CHANGED, day(8), day(9), day(10)))
    assert found == {SUPPLIER: [day(8), day(9)], OTHER_SUPPLIER: [day(10)]}


def test_after_a_back_dated_correction_the_old_answer_is_still_there() -> None:
    """New messages follow the correction; what was known before it stays answerable."""
    corrected = history(
        Corrects(slot=Slot.SUPPLIER, holder=SUPPLIER, valid_from=day(10)),
        since=CHANGED,
        recorded_at=day(15),
        source="T-correction",
    )
    assert suppliers(ask(corrected, day(12))) == {SUPPLIER: [day(12)]}
    assert suppliers(ask(corrected, day(12), as_known_at=day(14))) == {OTHER_SUPPLIER: [day(12)]}
    assert suppliers(ask(corrected, day(12), as_known_at=day(5))) == {SUPPLIER: [day(12)]}


def test_every_reason_names_its_rule_its_row_and_its_source() -> None:
    (supplier,) = [one for one in ask(CHANGED, day(12)).recipients if one.id == OTHER_SUPPLIER]
    (why,) = supplier.reasons
    assert (why.kind, why.role) == (Kind.SECONDARY, "SUP")
    assert "holder of SUP" in why.rule
    assert why.row is not None
    assert (why.row.valid_from, why.row.valid_to) == (day(10), None)
    assert (why.row.source, why.row.recorded_at) == ("T-change", day(8))


def test_a_channel_that_always_goes_to_a_role_says_so() -> None:
    (market_data,) = [one for one in ask(CHANGED).recipients if one.id == MARKET_DATA]
    assert [(why.kind, why.row) for why in market_data.reasons] == [(Kind.ALWAYS, None)]


def test_what_was_not_known_yet_has_no_recipients_and_says_why() -> None:
    answer = ask(CHANGED, day(12), as_known_at=day(0))
    assert not answer.recipients
    assert not answer.mpan_known
    assert [one.code for one in answer.refusals] == [Code.MPAN_UNKNOWN]
    assert answer.plain()["refusals"][0]["code"] == "MSG1037"


def test_a_participant_sees_its_own_part_and_nothing_of_others() -> None:
    answer = ask(CHANGED, day(9), day(10))
    mine = own_view(answer, ParticipantId(SUPPLIER))
    assert mine is not None
    assert [one["id"] for one in mine.plain()["recipients"]] == [SUPPLIER]
    assert OTHER_SUPPLIER not in str(mine.plain())
    assert own_view(answer, ParticipantId(DATA_SERVICE)) is None


def test_the_plain_form_is_complete() -> None:
    plain = ask(CHANGED, day(12)).plain()
    assert plain["days"] == ["2026-01-12T00:00:00+00:00"]
    row = next(one for one in plain["recipients"] if one["id"] == OTHER_SUPPLIER)["reasons"][0]["row"]
    assert row == {
        "slot": "SUP",
        "holder": OTHER_SUPPLIER,
        "from": "2026-01-10T00:00:00+00:00",
        "to": None,
        "source": "T-change",
        "recordedAt": "2026-01-08T00:00:00+00:00",
    }
