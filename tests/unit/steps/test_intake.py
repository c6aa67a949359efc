"""From a body to a message: dates, changes and refusals by the fact tables."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
import pytest

from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.catalogue.appointments import Action
from pipeline.catalogue.samples import sample
from pipeline.domain.changes import Ends, Holds
from pipeline.domain.envelope import Message
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.domain.rejections import Code, Rejection
from pipeline.domain.routing import Slot
from pipeline.intake import Gate, changes_of, take_bytes

NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
SENDER = ParticipantId("2200000001")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def gate(*roles: str) -> Gate:
    grants = tuple(RoleGrant(role=Role(role), valid_from=datetime(2020, 1, 1, tzinfo=UTC)) for role in roles)
    return Gate(participants=Participants((Participant(id=SENDER, name="sender", roles=grants),)))


def message(
    catalogue: Catalogue, interface: str, event: str, role: str, **overrides: object
) -> dict[str, Any]:
    fixed = {
        "CommonBlock.S1.senderDIPID": SENDER,
        "CommonBlock.S1.senderRoleID": role,
        "CommonBlock.S1.DIPConnectionProviderID": None,
    }
    return sample(
        catalogue,
        InterfaceId(interface),
        EventCode(event),
        Random(1),
        sent_at=NOW,
        overrides=fixed | {name.replace("__", "."): value for name, value in overrides.items()},
    )


def taken(catalogue: Catalogue, body: object, role: str) -> Message | tuple[Rejection, ...]:
    return take_bytes(catalogue, orjson.dumps(body), channel=None, received_at=NOW, gate=gate(role))


def test_every_pair_that_moves_appointments_says_so(catalogue: Catalogue) -> None:
    """A row of the effect table that no message can trigger would be a registration lost in silence."""
    silent = []
    moving = {Action.FROM, Action.TO, Action.CORRECT, Action.END, Action.RESTART, Action.LEAVE, Action.GSP}
    for interface, event in catalogue.pairs:
        effects = [one for one in catalogue.effects(interface, event) if one.action in moving]
        if not effects:
            continue
        body = sample(catalogue, interface, event, Random(3), sent_at=NOW, optional_share=1.0)
        for effect in effects:  # what the condition asks for
            if effect.condition:
                steps = effect.condition.path.text.split(".")
                place: Any = body["payload"]
                for step in steps[:-1]:
                    place = place[step]
                place[steps[-1]] = min(effect.condition.values)
        sender = body["payload"]["CommonBlock"]["S1"]["senderDIPID"]
        role = body["payload"]["CommonBlock"]["S1"]["senderRoleID"]
        everybody = Participants(
            (
                Participant(
                    id=sender,
                    name="x",
                    roles=(RoleGrant(role=role, valid_from=datetime(2020, 1, 1, tzinfo=UTC)),),
                ),
            )
        )
        body["payload"]["CommonBlock"]["S1"]["DIPConnectionProviderID"] = None
        got = take_bytes(
            catalogue, orjson.dumps(body), channel=None, received_at=NOW, gate=Gate(participants=everybody)
        )
        if not isinstance(got, Message) or not changes_of(catalogue, got):
            silent.append((interface, event, got if isinstance(got, tuple) else "no change"))
    assert not silent


def test_a_change_of_supplier_ends_one_and_starts_the_other(catalogue: Catalogue) -> None:
    body = message(
        catalogue,
        "IF-001",
        "ChangeOfSupplier",
        "REGS",
        CustomBlock__B002__incomingSupplierDIPID="2300000002",
        CustomBlock__B002__supplierEffectiveFromDate="2026-06-10T00:00:00+01:00",
        CustomBlock__B003__outgoingSupplierDIPID="2300000001",
        CustomBlock__B003__supplierEffectiveToDate="2026-06-10T00:00:00+01:00",
    )
    got = taken(catalogue, body, "REGS")
    assert isinstance(got, Message)
    midnight = datetime(2026, 6, 9, 23, 0, tzinfo=UTC)
    assert set(changes_of(catalogue, got)) == {
        Holds(slot=Slot.SUPPLIER, holder="2300000002", valid_from=midnight),
        Ends(slot=Slot.SUPPLIER, holder="2300000001", at=midnight),
    }
    assert got.applicable == (midnight,)


def test_names_in_another_letter_case_are_taken_and_marked(catalogue: Catalogue) -> None:
    """Field names are not case-checked at ingress (protocol.md 2); egress writes the specification's."""
    body = message(catalogue, "IF-021", "ActivePower", "SDS")
    body["payload"]["COMMONBLOCK"] = body["payload"].pop("CommonBlock")
    got = taken(catalogue, body, "SDS")
    assert isinstance(got, Message)
    assert got.exact_case is False
    assert got.applicable


def test_a_missing_field_is_named_where_it_should_be(catalogue: Catalogue) -> None:
    body = message(catalogue, "IF-021", "ActivePower", "SDS")
    del body["payload"]["CommonBlock"]["S1"]["subText"]
    got = taken(catalogue, body, "SDS")
    assert isinstance(got, tuple)
    assert (got[0].code, got[0].pointer) == (Code.SCHEMA, "/payload/CommonBlock/S1/subText")


def test_a_null_is_not_a_missing_field(catalogue: Catalogue) -> None:
    body = message(catalogue, "IF-021", "ActivePower", "SDS", CommonBlock__S1__subText=None)
    assert isinstance(taken(catalogue, body, "SDS"), Message)


def test_a_role_that_may_not_send_is_refused(catalogue: Catalogue) -> None:
    body = message(catalogue, "IF-021", "ActivePower", "SUP")
    got = taken(catalogue, body, "SUP")
    assert isinstance(got, tuple)
    assert {one.code for one in got} == {Code.SENDER_ROLE}


def test_bytes_that_are_not_json_are_refused_with_their_place(catalogue: Catalogue) -> None:
    got = take_bytes(catalogue, b'{"payload": ', channel=None, received_at=NOW, gate=gate("SDS"))
    assert isinstance(got, tuple)
    assert got[0].code is Code.SCHEMA
    assert "line 1" in got[0].help


def test_a_name_that_appears_twice_is_refused_at_every_entrance(catalogue: Catalogue) -> None:
    """Readers disagree which of the two counts; the router must not be the one to choose."""
    body = orjson.dumps(message(catalogue, "IF-021", "ActivePower", "SDS"))
    twice = body.replace(b'"subText":', b'"subText":null,"subText":', 1)
    got = take_bytes(catalogue, twice, channel=None, received_at=NOW, gate=gate("SDS"))
    assert isinstance(got, tuple)
    assert "subText" in got[0].help


def test_a_deciding_date_that_is_no_date_is_refused_and_not_replaced(catalogue: Catalogue) -> None:
    """The schema checks its length only; routed by the time of receipt it would reach the wrong party."""
    body = message(
        catalogue,
        "IF-001",
        "InitialRegistration",
        "REGS",
        CustomBlock__B002__supplierEffectiveFromDate="2026-02-30T00:00:00+00:00",
    )
    got = taken(catalogue, body, "REGS")
    assert isinstance(got, tuple)
    assert {(one.code, one.pointer) for one in got} == {
        (Code.ADDRESSING, "/payload/CustomBlock/B002/supplierEffectiveFromDate")
    }
