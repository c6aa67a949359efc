"""A check that is moved is made at its new level, once: by the bridge, or behind it, never by both or by none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
import pytest

from agents.addressing import Addressing
from agents.loop import Emission
from agents.quarantine import Quarantine
from agents.reporting import Reporting
from agents.validation import Validation
from pipeline import schemas, topics
from pipeline.catalogue import load_catalogue
from pipeline.catalogue.checks import load_checks
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.checks import OF_THE_MESSAGE
from pipeline.domain.envelope import AuditRecord, Message, Stage, Status
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.domain.rejections import CheckId
from pipeline.intake import Gate, take_bytes, terms_of
from pipeline.settings import Settings
from tests.support.world import BusRecord

CATALOGUE = load_catalogue()
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
START = datetime(2020, 1, 1, tzinfo=UTC)
SUPPLIER, REGISTRATION, METERING = "2300000001", "2200000001", "1200000001"
PEOPLE = Participants(
    Participant(
        id=ParticipantId(one),
        name=role,
        roles=(RoleGrant(role=Role(role), valid_from=START, valid_to=until),),
    )
    for one, role, until in (
        (SUPPLIER, "SUP", None),
        (REGISTRATION, "REGS", None),
        (METERING, "MSS", datetime(2025, 1, 1, tzinfo=UTC)),
    )
)
GOOD: dict[str, object] = {
    "S1.senderDIPID": SUPPLIER,
    "S1.senderRoleID": "SUP",
    "S1.senderUniqueReference": f"S-IF-025-{SUPPLIER}-SUP-20260601-1",
    "S1.senderTimestamp": "2026-06-01T08:59:00+00:00",
    "S1.DIPConnectionProviderID": None,
    "S1.environmentTag": "UIT",
    "S1.senderCorrelationID": None,
    "A0.primaryRecipients": [REGISTRATION],
    "A0.secondaryRecipients": [],
    "A0.always": [],
    "M0.MPANCore": "2000056535971",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One check, a message that only this check finds fault with, and what the operator must have chosen."""

    check: CheckId
    changes: dict[str, object]
    settings: dict[str, Any] = field(default_factory=dict)
    interface: str = "IF-025"
    event: str = "SMSO"


CASES = [
    Case(check=CheckId.ENVIRONMENT_TAG, changes={"S1.environmentTag": "PRD"}),
    Case(
        check=CheckId.REFERENCE_PATTERN,
        changes={"S1.senderUniqueReference": f"S-025-{SUPPLIER}-SUP-20260601-1"},
        settings={"reference_pattern": "S-IF-.*"},
    ),
    Case(
        check=CheckId.REFERENCE_PARTS,
        changes={"S1.senderUniqueReference": f"S-IF-021-{SUPPLIER}-SUP-20260601-1"},
        settings={"reference_parts": True},
    ),
    Case(check=CheckId.SENDER_TIMESTAMP, changes={"S1.senderTimestamp": "2026-02-30T08:59:00+00:00"}),
    Case(check=CheckId.SENDER_TIMESTAMP_FUTURE, changes={"S1.senderTimestamp": "2026-06-03T08:59:00+00:00"}),
    Case(
        check=CheckId.SENDER_ROLE,
        changes={"S1.senderDIPID": METERING, "S1.senderRoleID": "SUP"},
        settings={},
    ),
    Case(
        check=CheckId.SENDER_ROLE_CHANNEL,
        changes={"S1.senderDIPID": REGISTRATION, "S1.senderRoleID": "REGS"},
    ),
    Case(
        check=CheckId.SENDER_CORRELATION,
        changes={"S1.senderDIPID": REGISTRATION, "S1.senderRoleID": "REGS"},
        settings={"correlation_required": True},
        interface="IF-026",
    ),
    Case(
        check=CheckId.MPAN_CHECK_DIGIT,
        changes={"M0.MPANCore": "2000056535972"},
        settings={"mpan_check_digit": "reject"},
    ),
    Case(
        check=CheckId.DECIDING_DATE,
        changes={"B031.SMSOEffectiveFromDate": "x" * 25},
    ),
    Case(check=CheckId.PRIMARY_RECIPIENT, changes={"A0.primaryRecipients": ["9999999999"]}),
    Case(check=CheckId.PRIMARY_RECIPIENT_ROLE, changes={"A0.primaryRecipients": [SUPPLIER]}),
]
IDS = [one.check.value for one in CASES]
PRIMARY = {CheckId.PRIMARY_RECIPIENT, CheckId.PRIMARY_RECIPIENT_ROLE}


class NoSchemas:
    def schema(self, schema_id: int) -> str:
        raise KeyError(schema_id)


class Fixed:
    """A clock that stands, and participants that do not change."""

    def now(self) -> datetime:
        return NOW

    def current(self) -> Participants:
        return PEOPLE


CODEC = Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoSchemas())


def body_of(case: Case, **more: object) -> bytes:
    values = GOOD | case.changes | more
    overrides = {
        f"{'CustomBlock' if name.startswith('B') else 'CommonBlock'}.{name}": value
        for name, value in values.items()
    }
    message = sample(
        CATALOGUE,
        InterfaceId(case.interface),
        EventCode(case.event),
        Random(1),
        sent_at=NOW,
        overrides={name: value for name, value in overrides.items() if ".A0." not in name},
    )
    lists = {name.split(".")[1]: values[name] for name in values if name.startswith("A0.")}
    message["payload"]["CommonBlock"]["A0"] = lists
    return orjson.dumps(message)


def settings(case: Case, moves: str) -> Settings:
    return Settings(environment_tag="UIT", check_levels=moves, **case.settings)


def entrance(case: Case, body: bytes, moves: str) -> object:
    gate = Gate(participants=PEOPLE, terms=terms_of(settings(case, moves)))
    return take_bytes(CATALOGUE, body, channel=InterfaceId(case.interface), received_at=NOW, gate=gate)


def behind(case: Case, message: Message, moves: str) -> list[Emission]:
    """Run the router's stages on a message, and return everything they put out."""
    fixed = Fixed()
    validation = Validation(
        codec=CODEC,
        catalogue=CATALOGUE,
        participants=fixed,
        clock=fixed,
        seen={},
        terms=terms_of(settings(case, moves)),
    )
    reporting = Reporting(codec=CODEC, catalogue=CATALOGUE, clock=fixed, read=CODEC.decode_message)
    found = list(validation(record(topics.INBOUND, CODEC.encode_message(message))))
    return [*found, *(out for one in found if "dead-letter" in one.topic for out in reporting(read(one)))]


def record(topic: str, value: bytes, headers: Any = None) -> BusRecord:
    return BusRecord(
        topic_name=topic,
        partition_number=0,
        offset_number=0,
        key_bytes=b"k",
        value_bytes=value,
        header_list=headers,
    )


def read(one: Emission) -> BusRecord:
    return record(one.topic, one.value, one.headers)


def told(found: list[Emission]) -> list[dict[str, Any]]:
    return [orjson.loads(CODEC.decode_copy(one.value).body) for one in found if one.topic == topics.STATUS]


def audits(found: list[Emission]) -> Iterator[AuditRecord]:
    return (CODEC.decode_audit(one.value) for one in found if one.topic == topics.AUDIT)


def is_only(outcome: object, check: CheckId) -> bool:
    return isinstance(outcome, tuple) and {one.check for one in outcome} == {check}


def test_every_check_that_moves_is_tried_here() -> None:
    assert {one.check for one in CASES} == OF_THE_MESSAGE | PRIMARY


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_at_the_first_level_the_bridge_refuses_and_nothing_is_left_to_report(case: Case) -> None:
    outcome = entrance(case, body_of(case), f"{case.check}=L1")
    assert is_only(outcome, case.check), outcome


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_at_the_second_level_the_bridge_accepts_and_the_sender_gets_one_status_message(case: Case) -> None:
    moves = f"{case.check}=L2"
    message = entrance(case, body_of(case), moves)
    assert isinstance(message, Message), message
    found = behind(case, message, moves)
    if case.check in PRIMARY:  # the addressing stage's, after the table was asked
        assert [one.topic for one in found] == [topics.VALIDATED, topics.AUDIT]
        return
    (body,) = told(found)
    code = load_checks()[case.check].code
    assert body["message"].startswith(f"{code} - ")
    assert body["transactionID"] == message.transaction_id
    assert body["senderUniqueReference"] == message.sender_reference
    assert body["help"].startswith("/payload/")
    assert not [one for one in found if one.topic == topics.VALIDATED]
    (inbound,) = (one for one in audits(found) if one.stage is Stage.INBOUND)
    assert inbound.status is Status.INBOUND_RULE_FAILURE
    (letter,) = (one for one in found if one.topic == topics.DEAD_LETTER_VALIDATION)
    assert dict(letter.headers or [])["dlq.check"] == case.check.encode()


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("level", ["L1", "L2"])
def test_whatever_came_by_another_way_is_checked_in_full(case: Case, level: str) -> None:
    """A topic is an entrance, too, and a bridge with other terms vouches for nothing here."""
    message = entrance(case, body_of(case), f"{case.check}=L2")
    assert isinstance(message, Message)
    unchecked = CODEC.decode_message(CODEC.encode_message(message))
    foreign = type(unchecked)(
        **{name: getattr(unchecked, name) for name in unchecked.__slots__} | {"checked_against": "else.where"}
    )
    found = behind(case, foreign, f"{case.check}={level}")
    if case.check in PRIMARY and level == "L2":
        assert not told(found)
        return
    assert len(told(found)) == 1
    assert not [one for one in found if one.topic == topics.VALIDATED]


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_message_in_order_passes_at_either_level(case: Case, level: str) -> None:
    """Else the cases above would prove nothing about their check."""
    right = {name: GOOD[name] for name in case.changes if name in GOOD}
    right |= (
        {"B031.SMSOEffectiveFromDate": "2026-06-01T00:00:00+01:00"}
        if case.check is CheckId.DECIDING_DATE
        else {}
    )
    if case.interface == "IF-026":
        right |= {"S1.senderDIPID": REGISTRATION, "S1.senderRoleID": "REGS", "S1.senderCorrelationID": "CI-1"}
        right |= {"A0.primaryRecipients": [SUPPLIER]}
    moves = f"{case.check}={level}"
    message = entrance(case, body_of(case, **right), moves)
    assert isinstance(message, Message), message
    found = behind(case, message, moves)
    assert [one.topic for one in found] == [topics.VALIDATED, topics.AUDIT]


def test_a_primary_recipient_refused_behind_the_entrance_is_told_once() -> None:
    case = CASES[-2]
    message = entrance(case, body_of(case), "")
    assert isinstance(message, Message)
    fixed = Fixed()
    addressing = Addressing(
        codec=CODEC,
        catalogue=CATALOGUE,
        participants=fixed,
        clock=fixed,
        appointments={},
        quarantine=Quarantine(rows={}),
    )
    found = list(addressing(record(topics.VALIDATED, CODEC.encode_message(message))))
    reporting = Reporting(codec=CODEC, catalogue=CATALOGUE, clock=fixed, read=CODEC.decode_message)
    letters = [one for one in found if one.topic == topics.DEAD_LETTER_ADDRESSING]
    (body,) = told([out for one in letters for out in reporting(read(one))])
    assert body["message"] == "MSG1031 - Primary recipient unknown"
    assert body["help"].startswith("/payload/CommonBlock/A0/primaryRecipients/0: No participant")


def test_a_wrong_check_digit_may_be_a_remark_only() -> None:
    case = CASES[IDS.index("mpan-check-digit")]
    lenient = Case(check=case.check, changes=case.changes, settings={"mpan_check_digit": "warn"})
    message = entrance(lenient, body_of(lenient), "")
    assert isinstance(message, Message)
    found = behind(lenient, message, "")
    (audit,) = audits(found)
    assert audit.status is Status.GOOD_TO_GO
    assert re.search("check digit of MPAN 2000056535972 should be 1", audit.reason or "")
