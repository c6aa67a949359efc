"""Reading a header and judging its sender."""

import hashlib
from datetime import timedelta

import pytest

from pipeline.domain.headers import New, Repeat, Reused, Seen, check_sender, decide_duplicate, message_key
from pipeline.domain.identifiers import Role
from pipeline.domain.participants import Participants
from pipeline.domain.rejections import Code, Rejection
from pipeline.limits import HELP_CHARS_MAX, RETENTION_DAYS
from tests.support.builders import (
    DATA_SERVICE,
    MPAN,
    NOW,
    PROVIDER,
    SUPPLIER,
    market,
    message,
    participant,
    sender_block,
)

MAY_SEND = frozenset({Role("SDS"), Role("ADS")})


def problems(
    participants: Participants | None = None, *, environment_tag: str = "UIT", **s1: object
) -> tuple[Rejection, ...]:
    return check_sender(
        sender_block(**s1),
        participants=market() if participants is None else participants,
        channel_sender_roles=MAY_SEND,
        environment_tag=environment_tag,
        now=NOW,
    )


def only(found: tuple[Rejection, ...]) -> tuple[Code, str]:
    assert len(found) == 1
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
    assert problems(environment_tag="", environmentTag="PRD") == ()


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


def test_a_message_keeps_its_bytes_and_their_fingerprint() -> None:
    body = b'{"payload" : "as the sender wrote it"}'
    read = message(body=body)
    assert read.body == body
    assert read.fingerprint == hashlib.sha256(body).digest()


def test_the_mpan_is_found_in_either_block() -> None:
    assert message(m_block="M0").mpan == message(m_block="M1").mpan == MPAN


def test_primary_recipients_are_named_once_and_without_nulls() -> None:
    assert message(primary=[None, SUPPLIER, DATA_SERVICE, SUPPLIER]).primary == (SUPPLIER, DATA_SERVICE)


def test_a_message_may_have_no_addressing_block() -> None:
    assert message(primary=None).primary == ()


def test_messages_of_an_mpan_share_their_key() -> None:
    assert message_key(message()) == MPAN.encode()


def test_a_message_without_mpan_is_keyed_by_its_transaction() -> None:
    lone = message(mpan=None)
    assert message_key(lone) == lone.transaction_id.encode()


def test_a_reference_never_seen_is_new() -> None:
    assert decide_duplicate(None, message()) == New()


def test_the_same_body_again_is_a_repeat_of_the_first_transaction() -> None:
    first = message()
    seen = Seen(fingerprint=first.fingerprint, transaction_id=first.transaction_id, received_at=NOW)
    again = message(received_at=NOW + timedelta(hours=3))
    assert decide_duplicate(seen, again) == Repeat(transaction_id=first.transaction_id)
    assert again.transaction_id == first.transaction_id


def test_another_body_under_a_used_reference_is_refused() -> None:
    first = message()
    seen = Seen(fingerprint=first.fingerprint, transaction_id=first.transaction_id, received_at=NOW)
    decision = decide_duplicate(seen, message(custom={"B2": {}}))
    assert isinstance(decision, Reused)
    assert only((decision.rejection,)) == (Code.REFERENCE_USED, "senderUniqueReference")


def test_a_reference_older_than_the_window_counts_as_never_seen() -> None:
    first = message()
    seen = Seen(fingerprint=b"other", transaction_id=first.transaction_id, received_at=NOW)
    window = timedelta(days=RETENTION_DAYS)
    assert isinstance(decide_duplicate(seen, message(received_at=NOW + window)), Reused)
    assert decide_duplicate(seen, message(received_at=NOW + window + timedelta(seconds=1))) == New()
