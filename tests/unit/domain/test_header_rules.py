"""The rules of the header, one by one, and what each says of what it refuses."""

import re
from datetime import timedelta
from typing import Any

import pytest

from pipeline.catalogue.checks import load_checks
from pipeline.domain.checks import CheckDigit, Level, Terms
from pipeline.domain.header_rules import Header, check_digit_remark, check_header
from pipeline.domain.identifiers import InterfaceId, Mpan, Role
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.limits import HELP_CHARS_MAX
from tests.support.builders import DATA_SERVICE, NOW, PROVIDER, SUPPLIER, market, message_object, participant

MAY_SEND = frozenset({Role("SDS"), Role("ADS")})


def problems(
    participants: Participants | None = None,
    *,
    terms: dict[str, Any] | None = None,
    answers: bool = False,
    mpan: str = "2000056535971",
    m_block: str = "M0",
    **s1: object,
) -> tuple[Rejection, ...]:
    body = message_object(mpan=mpan, m_block=m_block, **s1)
    header = Header(
        common=body["payload"]["CommonBlock"],
        s1=body["payload"]["CommonBlock"]["S1"],
        interface=InterfaceId("IF-021"),
        sender_roles=MAY_SEND,
        answers=answers,
        participants=market() if participants is None else participants,
        now=NOW,
    )
    chosen = Terms(checks=load_checks(), **({"environment_tag": "UIT"} | (terms or {})))
    return check_header(header, chosen, chosen.checks.at(Level.L1))


def only(found: tuple[Rejection, ...]) -> tuple[Code, str]:
    assert len(found) == 1
    assert found[0].value
    assert found[0].expected
    assert load_checks()[found[0].check].code is found[0].code
    assert 0 < len(found[0].help) <= HELP_CHARS_MAX
    return found[0].code, (found[0].pointer or "").rsplit("/", 1)[1]


def test_a_sender_in_order_has_no_problems() -> None:
    assert problems() == ()


@pytest.mark.parametrize("text", ["2026-01-05T12:30:00.0000Z", "2026-02-30T12:30:00+00:00", "x" * 25])
def test_a_timestamp_that_is_no_instant_is_refused(text: str) -> None:
    assert only(problems(senderTimestamp=text)) == (Code.SENDER_TIMESTAMP, "senderTimestamp")


def test_an_unknown_sender_is_refused() -> None:
    assert only(problems(senderDIPID="0000000404")) == (Code.SENDER_ID, "senderDIPID")


def test_a_role_that_the_sender_does_not_hold_is_refused() -> None:
    found = problems(senderDIPID=SUPPLIER)
    assert only(found) == (Code.SENDER_ROLE, "senderRoleID")
    assert "SUP" in found[0].help


@pytest.mark.parametrize(
    "grant",
    [
        participant(DATA_SERVICE, "SDS", valid_from=NOW + timedelta(seconds=1)),
        participant(DATA_SERVICE, "SDS", valid_to=NOW),
    ],
)
def test_a_role_that_is_held_at_another_time_is_refused(grant: object) -> None:
    assert only(problems(market(grant))) == (Code.SENDER_ROLE, "senderRoleID")  # type: ignore[arg-type] # parametrized


def test_a_role_that_may_not_send_on_the_channel_is_refused() -> None:
    found = problems(senderDIPID=SUPPLIER, senderRoleID="SUP")
    assert only(found) == (Code.SENDER_ROLE, "senderRoleID")
    assert "ADS, SDS" in found[0].help


def test_an_unknown_connection_provider_is_refused() -> None:
    assert only(problems(DIPConnectionProviderID=PROVIDER)) == (
        Code.CONNECTION_PROVIDER,
        "DIPConnectionProviderID",
    )


def test_a_connection_provider_that_was_not_nominated_is_refused() -> None:
    found = problems(market(participant(PROVIDER)), DIPConnectionProviderID=PROVIDER)
    assert only(found) == (Code.CONNECTION_PROVIDER, "DIPConnectionProviderID")


def test_a_nominated_connection_provider_may_send() -> None:
    cast = market(participant(PROVIDER), participant(DATA_SERVICE, "SDS", providers=[PROVIDER]))
    assert problems(cast, DIPConnectionProviderID=PROVIDER) == ()


def test_another_environments_tag_is_a_schema_failure_at_its_place() -> None:
    assert only(problems(environmentTag="PRD")) == (Code.SCHEMA, "environmentTag")


def test_without_a_tag_of_its_own_the_router_accepts_any() -> None:
    assert problems(terms={"environment_tag": ""}, environmentTag="PRD") == ()


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        environmentTag="PRD", senderTimestamp="x" * 25, senderDIPID="0000000404", senderRoleID="SUP"
    )
    assert {one.code for one in found} == {
        Code.SCHEMA,
        Code.SENDER_TIMESTAMP,
        Code.SENDER_ID,
        Code.SENDER_ROLE,
    }


def test_a_timestamp_far_in_the_future_is_refused() -> None:
    """A wrong year is a mistake of the sender's; a clock that is minutes off is none."""
    tolerant = {"timestamp_future": timedelta(minutes=5)}
    assert problems(terms=tolerant, senderTimestamp="2026-01-05T12:35:00+00:00") == ()
    found = problems(terms=tolerant, senderTimestamp="2026-01-05T12:36:00+00:00")
    assert only(found) == (Code.SENDER_TIMESTAMP, "senderTimestamp")
    assert found[0].check is CheckId.SENDER_TIMESTAMP_FUTURE
    assert problems(terms={"timestamp_future": None}, senderTimestamp="2036-01-05T12:36:00+00:00") == ()


def test_an_instant_is_compared_as_an_instant() -> None:
    """12:36 at +01:00 is an hour before 12:36 at +00:00."""
    tolerant = {"timestamp_future": timedelta(minutes=5)}
    assert problems(terms=tolerant, senderTimestamp="2026-01-05T13:30:00+01:00") == ()


@pytest.mark.parametrize(
    ("reference", "fits"),
    [
        (f"S-IF-021-{DATA_SERVICE}-SDS-20260105-a1", True),
        (f"S-021-{DATA_SERVICE}-SDS-20260105-a1", True),
        (f"S-REP-021-{DATA_SERVICE}-SDS-20260105-a1", False),
        (f"S-IF-022-{DATA_SERVICE}-SDS-20260105-a1", False),
        (f"S-IF-021-{SUPPLIER}-SDS-20260105-a1", False),
        (f"S-IF-021-{DATA_SERVICE}-SUP-20260105-a1", False),
    ],
)
def test_a_reference_may_have_to_name_its_own_message(reference: str, *, fits: bool) -> None:
    assert problems(senderUniqueReference=reference) == ()
    found = problems(terms={"reference_parts": True}, senderUniqueReference=reference)
    assert found == () if fits else only(found) == (Code.SCHEMA, "senderUniqueReference")


def test_the_form_of_references_can_be_narrowed() -> None:
    narrow = {"reference_pattern": re.compile(r"S-IF-\d{3}-.*")}
    assert problems(terms=narrow) == ()
    found = problems(terms=narrow, senderUniqueReference=f"S-021-{DATA_SERVICE}-SDS-20260105-a1")
    assert only(found) == (Code.SCHEMA, "senderUniqueReference")


def test_an_answer_may_have_to_hand_the_correlation_id_back() -> None:
    required = {"correlation_required": True}
    assert only(problems(terms=required, answers=True)) == (Code.SENDER_CORRELATION, "senderCorrelationID")
    assert problems(terms=required, answers=False) == ()
    assert problems(terms=required, answers=True, senderCorrelationID="CI-1") == ()
    assert problems(answers=True) == ()


@pytest.mark.parametrize("m_block", ["M0", "M1"])
def test_a_wrong_check_digit_is_refused_where_the_operator_says_so(m_block: str) -> None:
    field = "MPANCore" if m_block == "M0" else "principalMPAN"
    reject = {"check_digit": CheckDigit.REJECT}
    assert only(problems(terms=reject, mpan="1200000000000", m_block=m_block)) == (Code.SCHEMA, field)
    for lenient in (CheckDigit.WARN, CheckDigit.OFF):
        assert problems(terms={"check_digit": lenient}, mpan="1200000000000", m_block=m_block) == ()


@pytest.mark.parametrize("mpan", ["2000056535971", "1900012374324", "1312345678907"])
def test_published_numbers_with_the_right_digit_have_no_remark(mpan: str) -> None:
    assert check_digit_remark(Mpan(mpan)) is None


@pytest.mark.parametrize("mpan", ["1200000000000", "1315001165123", "1234567890123"])
def test_published_samples_with_a_wrong_digit_have_one(mpan: str) -> None:
    assert mpan in (check_digit_remark(Mpan(mpan)) or "")


def test_a_check_that_is_idle_by_the_terms_could_refuse_nothing() -> None:
    """What is idle is not run, so the two must say the same."""
    asking: dict[str, Any] = {
        "environment_tag": "PROD",
        "timestamp_future": timedelta(0),
        "check_digit": CheckDigit.REJECT,
        "reference_pattern": re.compile("[a-z]"),
        "reference_parts": True,
        "correlation_required": True,
    }
    wrong: dict[str, Any] = {
        "mpan": "1" * 13,
        "answers": True,
        "senderTimestamp": "2100-01-01T00:00:00+00:00",
        "senderUniqueReference": "S-IF-001-1400000001-SDS-20260105-1",
    }
    idle = Terms(checks=load_checks()).idle
    assert {one.check for one in problems(terms=asking, **wrong)} == idle
    assert Terms(checks=load_checks(), **asking).idle == frozenset()
    assert problems(terms={"environment_tag": ""}, **wrong) == ()
