"""Who gets a message, and who must not."""

from datetime import datetime, timedelta

import pytest

from pipeline.domain.addressing import A0, Addressed, Unaddressable, address
from pipeline.domain.appointments import History
from pipeline.domain.changes import Ends, Leaves
from pipeline.domain.envelope import Kind, Message
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import Code
from pipeline.domain.routing import Holders, Routing, Slot
from pipeline.limits import HELP_CHARS_MAX, PROBLEMS_PER_MESSAGE_MAX
from tests.support.builders import (
    ADVANCED_METERING,
    CONSUMPTION,
    DATA_SERVICE,
    DISTRIBUTOR,
    LOAD_SHAPING,
    LONG_AGO,
    MARKET_DATA,
    METERING,
    NOW,
    OTHER_SUPPLIER,
    PROVIDER,
    REGISTRATION,
    ROLES,
    SUPPLIER,
    UNMETERED,
    day,
    history,
    holds,
    market,
    message,
    optional,
    ordinary_history,
    participant,
    required,
    routing,
)

SUP, MS = Slot.SUPPLIER, Slot.METERING_SERVICE
AGENTS = ("MSS", "MSA")


def outcome(
    sent: Message, by: Routing = CONSUMPTION, *, of: History | None = None, among: Participants | None = None
) -> Addressed | Unaddressable:
    return address(
        sent,
        routing=by,
        history=ordinary_history() if of is None else of,
        participants=market() if among is None else among,
    )


def recipients(found: Addressed | Unaddressable) -> list[str]:
    assert isinstance(found, Addressed), found
    return [one.recipient for one in found.addressees]


def refusals(found: Addressed | Unaddressable) -> list[Code]:
    assert isinstance(found, Unaddressable), found
    assert all(0 < len(one.help) <= HELP_CHARS_MAX for one in found.rejections)
    return [one.code for one in found.rejections]


def supply(*changes_of_supplier: tuple[str, datetime]) -> History:
    later = [holds(SUP, who, since) for who, since in changes_of_supplier]
    return history(*later, since=ordinary_history(), source="change of supply", recorded_at=day(1))


def test_consumption_goes_to_its_holders_and_to_the_central_parties() -> None:
    found = outcome(message())
    assert recipients(found) == sorted([SUPPLIER, DISTRIBUTOR, MARKET_DATA, LOAD_SHAPING])
    assert isinstance(found, Addressed)
    assert found.a0 == A0(primary=(), secondary=(SUPPLIER, DISTRIBUTOR), always=(MARKET_DATA, LOAD_SHAPING))


def test_late_data_goes_to_the_supplier_of_its_day() -> None:
    told = supply((OTHER_SUPPLIER, day(4)))
    assert SUPPLIER in recipients(outcome(message(applicable=[day(3)]), of=told))
    assert OTHER_SUPPLIER not in recipients(outcome(message(applicable=[day(3)]), of=told))
    assert OTHER_SUPPLIER in recipients(outcome(message(applicable=[day(4)]), of=told))


def test_several_days_go_to_the_holders_of_each_and_name_their_days() -> None:
    told = supply((OTHER_SUPPLIER, day(4)))
    found = outcome(message(applicable=[day(2), day(3), day(4)]), of=told)
    assert isinstance(found, Addressed)
    days = {one.recipient: one.reasons[0].days for one in found.addressees}
    assert days[SUPPLIER] == (day(2), day(3))
    assert days[OTHER_SUPPLIER] == (day(4),)
    assert days[DISTRIBUTOR] == (day(2), day(3), day(4))


def test_every_secondary_reason_names_the_source_that_put_it_there() -> None:
    found = outcome(message(applicable=[day(5)]), of=supply((OTHER_SUPPLIER, day(4))))
    assert isinstance(found, Addressed)
    reason = next(one for one in found.addressees if one.recipient == OTHER_SUPPLIER).reasons[0]
    assert (reason.kind, reason.role) == (Kind.SECONDARY, "SUP")
    assert (reason.source, reason.recorded_at) == ("change of supply", day(1))


def test_without_a_date_in_the_body_the_receipt_decides() -> None:
    told = supply((OTHER_SUPPLIER, NOW + timedelta(seconds=1)))
    assert SUPPLIER in recipients(outcome(message(received_at=NOW), of=told))
    assert OTHER_SUPPLIER in recipients(outcome(message(received_at=NOW + timedelta(seconds=1)), of=told))


def test_a_change_of_supply_reading_goes_to_both_suppliers() -> None:
    rule = routing(required(SUP, "SUP", holders=Holders.BOTH_SIDES))
    told = supply((OTHER_SUPPLIER, day(4)))
    assert recipients(outcome(message(applicable=[day(4)]), rule, of=told)) == [SUPPLIER, OTHER_SUPPLIER]
    assert recipients(outcome(message(applicable=[day(5)]), rule, of=told)) == [OTHER_SUPPLIER]


def test_a_disconnection_is_told_to_those_it_disconnects() -> None:
    """The message ends the MPAN's place in the table before it is addressed, on the very date it is about."""
    rule = routing(optional(SUP, "SUP"))
    sent = message(applicable=[day(4)])
    own = history(Leaves(at=day(4)), since=ordinary_history(), source=sent.transaction_id)
    other = history(Leaves(at=day(4)), since=ordinary_history(), source="another message")
    assert recipients(outcome(sent, rule, of=own)) == [SUPPLIER]
    assert refusals(outcome(sent, rule, of=other)) == [Code.NO_HOLDER]


def test_a_recipient_of_several_kinds_gets_one_copy_for_all_its_reasons() -> None:
    rule = routing(required(SUP, "SUP"), primary=["SUP"], always=["SUP"])
    found = outcome(message(primary=[SUPPLIER]), rule)
    assert isinstance(found, Addressed)
    both = next(one for one in found.addressees if one.recipient == SUPPLIER)
    assert [one.kind for one in both.reasons] == [Kind.PRIMARY, Kind.SECONDARY, Kind.ALWAYS]
    assert found.a0 == A0(primary=(SUPPLIER,), secondary=(SUPPLIER,), always=(SUPPLIER, OTHER_SUPPLIER))


def test_the_order_in_which_the_sender_names_recipients_does_not_matter_for_the_copies() -> None:
    rule = routing(primary=["SUP"])
    one = outcome(message(primary=[SUPPLIER, OTHER_SUPPLIER]), rule)
    other = outcome(message(primary=[OTHER_SUPPLIER, SUPPLIER]), rule)
    assert recipients(one) == recipients(other)


def test_an_unknown_primary_recipient_is_refused_by_its_place() -> None:
    found = outcome(message(primary=[SUPPLIER, "0000000404"]), routing(primary=["SUP"]))
    assert refusals(found) == [Code.PRIMARY_UNKNOWN]
    assert isinstance(found, Unaddressable)
    assert found.rejections[0].pointer == "/payload/CommonBlock/A0/primaryRecipients/1"


def test_a_primary_recipient_of_another_role_is_refused() -> None:
    assert refusals(outcome(message(primary=[MARKET_DATA]), routing(primary=["SUP"]))) == [Code.PRIMARY_ROLE]


@pytest.mark.parametrize(
    ("applicable", "fine"), [(day(9), False), (day(10), True), (day(19), True), (day(20), False)]
)
def test_a_primary_recipient_must_hold_its_role_on_the_date(applicable: datetime, *, fine: bool) -> None:
    among = market(participant(SUPPLIER, "SUP", valid_from=day(10), valid_to=day(20)))
    found = outcome(
        message(primary=[SUPPLIER], applicable=[applicable]), routing(primary=["SUP"]), among=among
    )
    assert isinstance(found, Addressed) is fine


def test_one_bad_recipient_keeps_all_copies_back() -> None:
    found = outcome(message(primary=[SUPPLIER, "0000000404"]), routing(primary=["SUP"], always=["MDS"]))
    assert refusals(found) == [Code.PRIMARY_UNKNOWN]


def test_a_channel_without_primary_takes_one_that_is_a_recipient_anyway() -> None:
    """The published example of IF-021 names the supplier as primary."""
    found = outcome(message(primary=[SUPPLIER]))
    assert isinstance(found, Addressed)
    assert found.a0.primary == (SUPPLIER,)
    reasons = next(one for one in found.addressees if one.recipient == SUPPLIER).reasons
    assert [one.kind for one in reasons] == [Kind.PRIMARY, Kind.SECONDARY]


def test_a_channel_without_primary_refuses_anybody_else() -> None:
    assert refusals(outcome(message(primary=[OTHER_SUPPLIER]))) == [Code.PRIMARY_ROLE]


def test_an_unknown_mpan_is_refused_where_a_holder_is_required() -> None:
    assert refusals(outcome(message(), of=History())) == [Code.MPAN_UNKNOWN]
    assert refusals(address(message(), routing=CONSUMPTION, history=None, participants=market())) == [
        Code.MPAN_UNKNOWN
    ]


def test_a_message_without_mpan_cannot_go_by_mpan() -> None:
    assert refusals(outcome(message(mpan=None), of=History())) == [Code.MPAN_UNKNOWN]


def test_an_unknown_mpan_is_no_matter_where_holders_are_optional_and_others_receive() -> None:
    rule = routing(optional(SUP, "SUP"), always=["MDS"])
    assert recipients(outcome(message(), rule, of=History())) == [MARKET_DATA]


def test_an_unknown_mpan_is_refused_where_nobody_else_would_receive() -> None:
    assert refusals(outcome(message(), routing(optional(SUP, "SUP")), of=History())) == [Code.MPAN_UNKNOWN]


def test_a_required_slot_that_nobody_holds_on_any_day_is_refused() -> None:
    told = history(Ends(slot=SUP, holder=SUPPLIER, at=day(4)), since=ordinary_history(), source="end")
    assert refusals(outcome(message(applicable=[day(4), day(5)]), of=told)) == [Code.NO_HOLDER]
    assert SUPPLIER in recipients(outcome(message(applicable=[day(3), day(4)]), of=told))


def test_an_optional_slot_that_nobody_holds_gets_no_copy() -> None:
    rule = routing(optional(SUP, "SUP"), optional(Slot.DATA_RETRIEVER, "MDR"))
    assert recipients(outcome(message(), rule)) == [SUPPLIER]


def test_a_message_that_only_optional_holders_get_is_refused_if_there_are_none() -> None:
    """Accepted and sent to nobody would be a lost message."""
    assert refusals(outcome(message(), routing(optional(Slot.DATA_RETRIEVER, "MDR")))) == [Code.NO_HOLDER]


def test_a_holder_that_is_no_participant_is_refused() -> None:
    found = outcome(message(), among=market(without=[SUPPLIER]))
    assert refusals(found) == [Code.SECONDARY_UNKNOWN]


def test_a_holder_whose_role_does_not_fit_its_slot_is_refused() -> None:
    among = market(participant(SUPPLIER, "LDSO"))
    assert refusals(outcome(message(), among=among)) == [Code.SECONDARY_ROLE]


def test_a_holder_whose_role_ended_before_the_date_is_refused() -> None:
    among = market(participant(SUPPLIER, "SUP", valid_to=day(4)))
    assert SUPPLIER in recipients(outcome(message(applicable=[day(3)]), among=among))
    assert refusals(outcome(message(applicable=[day(4)]), among=among)) == [Code.SECONDARY_ROLE]


def test_a_metering_service_receives_in_the_role_it_has() -> None:
    told = history(holds(MS, ADVANCED_METERING, day(1)), since=ordinary_history(), source="appointment")
    found = outcome(message(), routing(required(MS, *AGENTS)), of=told)
    assert isinstance(found, Addressed)
    assert [one.role for one in found.addressees[0].reasons] == ["MSA"]


def test_an_agent_that_a_channel_does_not_want_is_no_error_where_it_is_optional() -> None:
    told = history(holds(MS, UNMETERED, day(1)), since=ordinary_history(), source="appointment")
    rule = routing(optional(MS, *AGENTS), always=["MDS"])
    assert recipients(outcome(message(), rule, of=told)) == [MARKET_DATA]
    needed = routing(required(MS, *AGENTS), always=["MDS"])
    assert refusals(outcome(message(), needed, of=told)) == [Code.SECONDARY_ROLE]


def test_an_always_role_that_nobody_has_is_refused() -> None:
    assert refusals(outcome(message(), among=market(without=[MARKET_DATA]))) == [Code.ALWAYS_UNKNOWN]


def test_every_holder_of_an_always_role_receives() -> None:
    found = outcome(message(mpan=None), routing(always=["SUP"]), of=History())
    assert recipients(found) == [SUPPLIER, OTHER_SUPPLIER]


def test_always_roles_are_those_of_the_receipt_not_of_the_date() -> None:
    among = market(participant(MARKET_DATA, "MDS", valid_from=day(2)))
    found = outcome(message(applicable=[day(1)]), routing(always=["MDS"]), among=among)
    assert recipients(found) == [MARKET_DATA]


def test_a_message_to_everyone_goes_to_all_with_a_role_but_its_sender() -> None:
    among = market(
        participant(PROVIDER), participant("2300000009", "SUP", valid_from=NOW + timedelta(days=1))
    )
    found = outcome(message(mpan=None), routing(everyone=True), of=History(), among=among)
    assert recipients(found) == sorted(set(ROLES) - {DATA_SERVICE})


def test_a_sender_gets_no_copy_for_the_role_it_sent_as() -> None:
    rule = routing(optional(Slot.DATA_SERVICE, "SDS"), always=["SDS", "MDS"])
    assert recipients(outcome(message(), rule)) == [MARKET_DATA]


def test_a_sender_gets_a_copy_if_it_names_itself() -> None:
    assert recipients(outcome(message(primary=[DATA_SERVICE]), routing(primary=["SDS"]))) == [DATA_SERVICE]


def test_a_sender_gets_a_copy_for_another_role_it_holds() -> None:
    among = market(participant(DATA_SERVICE, "SDS", "MDS"), without=[MARKET_DATA])
    assert DATA_SERVICE in recipients(outcome(message(), routing(always=["MDS"]), among=among))


def test_a_message_that_names_nobody_where_the_sender_must_is_refused() -> None:
    found = outcome(message(primary=[None]), routing(primary=["SUP"]))
    assert refusals(found) == [Code.ADDRESSING]


def test_a_repair_of_the_table_makes_a_refused_message_routable() -> None:
    sent = message(applicable=[day(2)])
    assert refusals(outcome(sent, of=History())) == [Code.MPAN_UNKNOWN]
    repaired = history(
        holds(SUP, SUPPLIER), holds(Slot.DISTRIBUTOR, DISTRIBUTOR), source="repair", recorded_at=NOW
    )
    assert SUPPLIER in recipients(outcome(sent, of=repaired))


def test_registration_does_not_hear_of_consumption() -> None:
    """Nobody outside the rule receives, however many slots the MPAN has."""
    assert not {REGISTRATION, METERING, DATA_SERVICE, OTHER_SUPPLIER} & set(recipients(outcome(message())))


def test_refusals_are_bounded_however_many_days_a_message_has() -> None:
    days = [day(number) for number in range(1, 201)]
    found = outcome(message(applicable=days), among=market(participant(SUPPLIER, "LDSO")))
    assert refusals(found) == [Code.SECONDARY_ROLE] * PROBLEMS_PER_MESSAGE_MAX


def test_many_bad_days_are_told_in_one_refusal_each() -> None:
    days = [LONG_AGO - timedelta(days=number) for number in range(1, 200)]
    found = outcome(message(applicable=sorted(days)))
    assert refusals(found) == [Code.NO_HOLDER, Code.NO_HOLDER]
