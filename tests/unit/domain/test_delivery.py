"""The retry table of the wire protocol, row by row."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from pipeline.domain.answers import Identity, first_refusal, read_answer
from pipeline.domain.delivery import (
    Answered,
    Delivered,
    Divide,
    ErrorClass,
    Failed,
    ParkLane,
    RejectedMessage,
    Retry,
    Schedule,
    Settled,
    Unclear,
    journal_status,
    judge,
    retry_after_s,
    stage_of,
    status_of,
)
from pipeline.domain.envelope import Stage, Status
from pipeline.domain.identifiers import InterfaceId, ParticipantId, SenderReference, TransactionId
from pipeline.domain.parked import LaneKey, Pointer, lane_of, parked_key

NOW = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
ONE, TWO, THREE = (
    Identity(transaction_id=TransactionId(f"T-{n}"), sender_reference=SenderReference(f"S-{n}"))
    for n in (1, 2, 3)
)
SCHEDULE = Schedule(delays_s=(0, 1, 2, 4, 8, 15, 60, 120, 300, 3600), hold_s=14 * 86400)


def answer(*bodies: dict[str, object]) -> bytes:
    return orjson.dumps({"messageArray": list(bodies), "timestamp": "2026-01-05T01:00:00+00:00"})


def said(identity: Identity, text: str) -> dict[str, object]:
    return {"transactionID": identity.transaction_id, "senderUniqueReference": None, "message": text}


# --- by status --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226])
def test_every_2xx_is_delivered(status: int) -> None:
    judgement = judge(Answered(status=status), [ONE, TWO], now=NOW)
    assert judgement == Settled(status=status, outcomes=(Delivered(), Delivered()))


def test_what_a_recipient_says_in_a_2xx_is_kept_but_does_not_undo_it() -> None:
    """200 with an error text is delivered: the status is the contract."""
    judgement = judge(Answered(status=200, body=answer(said(ONE, "RCP1000 - no"))), [ONE], now=NOW)
    assert isinstance(judgement, Settled)
    (outcome,) = judgement.outcomes
    assert isinstance(outcome, Delivered)
    assert outcome.remark is not None
    assert outcome.remark.code == "RCP1000"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 511, 599])
def test_transient_answers_back_off(status: int) -> None:
    judgement = judge(Answered(status=status), [ONE], now=NOW)
    assert judgement == Retry(error=ErrorClass.STATUS, text=f"HTTP {status}", status=status)


@pytest.mark.parametrize("status", [400, 405, 406, 409, 413, 415, 422, 505])
def test_a_refused_message_is_final_and_a_refused_array_is_divided(status: int) -> None:
    single = judge(Answered(status=status), [ONE], now=NOW)
    assert single == Settled(
        status=status,
        outcomes=(RejectedMessage(status=status, text=f"HTTP {status}"),),
        error=ErrorClass.STATUS,
    )
    assert judge(Answered(status=status), [ONE, TWO], now=NOW) == Divide(status=status, text=f"HTTP {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 401, 403, 404, 410])
def test_a_wrong_set_up_parks_the_lane_whatever_the_array(status: int) -> None:
    for batch in ([ONE], [ONE, TWO]):
        judgement = judge(Answered(status=status), batch, now=NOW)
        assert isinstance(judgement, ParkLane)
        assert judgement.status == status


@pytest.mark.parametrize("error", ErrorClass)
def test_every_error_class_has_its_consequence(error: ErrorClass) -> None:
    judgement = judge(Failed(error=error, text="why"), [ONE], now=NOW)
    slow = {ErrorClass.DNS, ErrorClass.TLS, ErrorClass.REDIRECT, ErrorClass.BLOCKED, ErrorClass.NO_WEBHOOK}
    if error in slow:
        assert judgement == ParkLane(error=error, text="why")
    else:
        assert judgement == Retry(error=error, text="why", counted=error is not ErrorClass.OURS)


def test_an_answer_that_doubts_our_signature_is_not_the_message_s_fault() -> None:
    """A router whose certificate is not trusted must not dead-letter a whole market."""
    body = answer(said(ONE, "RCP9999 - signature check failed"))
    for batch in ([ONE], [ONE, TWO]):
        assert isinstance(judge(Answered(status=400, body=body), batch, now=NOW), ParkLane)


def test_an_unreadable_body_leaves_the_decision_to_the_status() -> None:
    judgement = judge(Answered(status=201, cut=ErrorClass.BODY_TOO_LARGE), [ONE], now=NOW)
    assert judgement == Settled(status=201, outcomes=(Delivered(),), error=ErrorClass.BODY_TOO_LARGE)


# --- 207 --------------------------------------------------------------------------------------------------


def test_a_207_is_settled_by_each_body_and_what_it_does_not_mention_is_unclear() -> None:
    body = answer(said(TWO, "RCP0000 - Taken"), said(ONE, "RCP1061 - MPAN unknown"))
    judgement = judge(Answered(status=207, body=body), [ONE, TWO, THREE], now=NOW)
    assert isinstance(judgement, Settled)
    rejected, delivered, unclear = judgement.outcomes
    assert isinstance(rejected, RejectedMessage)
    assert rejected.remark is not None
    assert rejected.remark.code == "RCP1061"
    assert isinstance(delivered, Delivered)
    assert unclear == Unclear()


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"messageArray": 7}', answer({"message": None})])
def test_a_single_message_with_a_silent_207_counts_as_taken(body: bytes) -> None:
    """Documented choice (ADR 0061): a 2xx for one message, and sending it for 14 days would say nothing new."""
    judgement = judge(Answered(status=207, body=body), [ONE], now=NOW)
    assert isinstance(judgement, Settled)
    assert isinstance(judgement.outcomes[0], Delivered)


def test_bodies_are_matched_by_id_then_reference_then_position() -> None:
    by_reference = {"transactionID": None, "senderUniqueReference": "S-2", "message": "RCP1062 - x"}
    assert read_answer(answer(by_reference), [ONE, TWO]).remarks[1] is not None
    nameless = [{"message": "RCP0000 - ok"}, {"message": "RCP1062 - x"}]
    codes = [one.code for one in read_answer(answer(*nameless), [ONE, TWO]).remarks if one]
    assert codes == ["RCP0000", "RCP1062"]
    assert read_answer(answer(*nameless), [ONE, TWO, THREE]).remarks == (None, None, None), (
        "positions must fit"
    )


def test_bodies_that_contradict_each_other_settle_nothing() -> None:
    body = answer(said(ONE, "RCP0000 - ok"), said(ONE, "RCP1062 - no"))
    assert read_answer(body, [ONE]).remarks == (None,)


def test_a_body_that_names_another_message_never_counts_by_its_position() -> None:
    body = answer(said(TWO, "RCP1062 - no"))
    assert read_answer(body, [ONE]).remarks == (None,)


def test_keys_are_read_in_any_letter_case_and_bare_arrays_are_understood() -> None:
    body = orjson.dumps([{"TransactionId": "T-1", "Message": "RCP0000-Taken"}])
    (remark,) = read_answer(body, [ONE]).remarks
    assert remark is not None
    assert remark.accepts


def test_a_recipient_s_words_cannot_forge_log_lines() -> None:
    remark = first_refusal(answer(said(ONE, "RCP1000 - bad\r\nERROR forged \x1b[31m" + "x" * 5_000)))
    assert remark is not None
    assert "\n" not in remark.text
    assert "\r" not in remark.text
    assert "\x1b" not in remark.text
    assert len(remark.text) <= 500


# --- Retry-After ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "status", "expected"),
    [
        ("0", 503, 0),
        ("5", 503, 5),
        (" 7 ", 429, 7),
        ("1000000000", 503, 3_600),
        ("1000000000", 429, 36_000),
        ("9" * 10_000, 503, 3_600),
        ("-5", 503, None),
        ("soon", 503, None),
        ("", 503, None),
        (None, 503, None),
        ("\uff11\uff12", 503, None),
        ("Mon, 05 Jan 2026 01:01:00 GMT", 503, 60),
        ("Mon, 05 Jan 2026 00:00:00 GMT", 503, None),
        ("Mon, 05 Jan 2099 00:00:00 GMT", 503, 3_600),
        ("Mon, 99 Foo 2026 99:99:99 GMT", 503, None),
    ],
)
def test_retry_after_is_understood_and_capped(value: str | None, status: int, expected: float | None) -> None:
    assert retry_after_s(value, status=status, now=NOW) == expected


# --- the schedule -----------------------------------------------------------------------------------------


def test_quick_failures_give_tries_at_1_3_7_15_and_30_seconds() -> None:
    failure = Retry(error=ErrorClass.CONNECT, text="")
    waits = [SCHEDULE.wait_s(failure, failures=number, fraction=0.999_999) for number in range(1, 6)]
    assert [round(sum(waits[: end + 1])) for end in range(5)] == [1, 3, 7, 15, 30]


def test_late_waits_vary_by_a_fifth() -> None:
    failure = Retry(error=ErrorClass.CONNECT, text="")
    assert SCHEDULE.wait_s(failure, failures=6, fraction=0.0) == pytest.approx(48)
    assert SCHEDULE.wait_s(failure, failures=6, fraction=0.999_999) == pytest.approx(72, abs=0.01)


def test_a_wrong_set_up_starts_at_a_minute() -> None:
    failure = ParkLane(error=ErrorClass.TLS, text="")
    assert [SCHEDULE.wait_s(failure, failures=n, fraction=0.5) for n in (1, 2, 3, 99)] == [60, 120, 300, 3600]


def test_a_quick_schedule_of_a_test_has_a_slow_end_too() -> None:
    quick = Schedule(delays_s=(0, 0.2, 0.5), hold_s=60)
    failure = ParkLane(error=ErrorClass.TLS, text="")
    assert quick.wait_s(failure, failures=1, fraction=1.0) == pytest.approx(0.5)


def test_a_hint_lengthens_a_wait_and_never_shortens_it() -> None:
    hinted = Retry(error=ErrorClass.STATUS, text="", after_s=90)
    assert SCHEDULE.wait_s(hinted, failures=1, fraction=0.5) == 90
    assert SCHEDULE.wait_s(hinted, failures=8, fraction=0.5) == 300


# --- rows and words ---------------------------------------------------------------------------------------


def test_keys_of_a_lane_share_its_prefix_and_sort_by_arrival() -> None:
    lane = LaneKey(recipient=ParticipantId("2300000001"), channel=InterfaceId("IF-021"))
    other = LaneKey(recipient=ParticipantId("2300000001"), channel=InterfaceId("IF-0210"))

    def key(offset: int) -> bytes:
        return parked_key(lane, Pointer(topic="dip.outbound", partition=3, offset=offset, checksum=0))

    keys = [key(offset) for offset in (9, 10, 99, 100, 10**12)]
    assert keys == sorted(keys)
    assert all(one.startswith(lane.prefix()) and not one.startswith(other.prefix()) for one in keys)
    assert lane_of(keys[0]) == lane


def test_the_journal_uses_the_words_of_its_stage() -> None:
    assert stage_of(InterfaceId("status")) is Stage.STATUS_MESSAGE
    assert stage_of(InterfaceId("IF-021")) is Stage.OUTBOUND
    for word in (Status.REJECTED_BY_RECIPIENT, Status.RETRIES_EXHAUSTED):
        assert journal_status(word, Stage.STATUS_MESSAGE) is Status.DELIVERY_FAILURE
        assert journal_status(word, Stage.OUTBOUND) is word


def test_outcomes_have_the_published_words() -> None:
    assert status_of(Delivered()) is Status.DELIVERED
    assert status_of(RejectedMessage(status=400, text="")) is Status.REJECTED_BY_RECIPIENT
    assert status_of(RejectedMessage(status=413, text="")) is Status.DELIVERY_FAILURE
    assert status_of(Retry(error=ErrorClass.TIMEOUT, text="")) is Status.RETRYING
    assert status_of(ParkLane(error=ErrorClass.TLS, text="")) is Status.DELIVERY_FAILURE


def test_a_hold_is_counted_from_routing() -> None:
    from tests.support.fake_engine import make_copy

    copy = make_copy(1, at=NOW)
    assert not SCHEDULE.exhausted(copy, now=NOW + timedelta(days=14) - timedelta(microseconds=1))
    assert SCHEDULE.exhausted(copy, now=NOW + timedelta(days=14))


@pytest.mark.parametrize("reference", [SenderReference("S-1"), None])
def test_a_result_that_names_another_message_is_counted_as_a_stranger(
    reference: SenderReference | None,
) -> None:
    """Also where the router's own copy has no reference to compare with."""
    own = Identity(transaction_id=TransactionId("T-1"), sender_reference=reference)
    foreign = {"transactionID": "T-9", "senderUniqueReference": None, "message": "RCP1061 - no"}
    other = {"transactionID": None, "senderUniqueReference": "S-9", "message": "RCP1061 - no"}
    odd = {"transactionID": {"T": 1}, "message": "RCP1061 - no"}
    read = read_answer(answer(foreign, other, said(own, "RCP0000 - ok"), odd), [own])
    assert read.strangers == 2
    assert read.remarks[0] is not None
    assert read.remarks[0].accepts
