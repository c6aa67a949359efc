"""What follows from a delivery attempt: the retry table of the wire protocol as values (protocol.md 9).

Nothing here waits or sends. An attempt's result is judged once for the whole POST; the judgement says for
each message, or for the lane, what happens next. No judgement drops a message: it is delivered, waits in the
parked table, or goes to the dead letters with a report to its sender.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from pipeline.domain.answers import (
    SIGNATURE_REFUSED,
    Named,
    Reading,
    Remark,
    cleaned,
    first_refusal,
    read_answer,
)
from pipeline.domain.attempt_times import UNTIMED, Timings
from pipeline.domain.envelope import Copy, Stage, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.limits import (
    FULL_JITTER_S_MAX,
    LATE_JITTER_SHARE,
    RETRY_AFTER_S_MAX,
    RETRY_AFTER_THROTTLED_S_MAX,
    SLOW_DELAY_S_MIN,
)


class ErrorClass(StrEnum):
    """What went wrong with an attempt; on every audit record of one."""

    DNS = "dns"
    CONNECT = "connect"
    RESET = "reset"
    TIMEOUT = "timeout"
    TLS = "tls"
    REDIRECT = "redirect"
    BODY_TOO_LARGE = "body_too_large"
    STATUS = "status"
    BLOCKED = "blocked"
    """The guard refused the address before any connection."""
    NO_WEBHOOK = "no_webhook"
    """Nothing was tried: the recipient has no address for the channel, or is not known."""
    OURS = "ours"
    """Our resolver, our certificate, our sockets: never held against the recipient."""


# --- What an attempt brought ------------------------------------------------------------------------------


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The recipient answered. `cut` says why its body could not be read to the end: then the status decides.

    `retry_after` and `allowed_rate` are its headers Retry-After and WebHook-Allowed-Rate as they came.
    """

    status: int
    body: bytes = b""
    cut: ErrorClass | None = None
    retry_after: str | None = None
    allowed_rate: str | None = None
    duration_ms: int = 0
    timings: Timings = UNTIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No answer came. `text` says why, without secrets."""

    error: ErrorClass
    text: str
    duration_ms: int = 0
    timings: Timings = UNTIMED


Result = Answered | Failed


# --- What it means ----------------------------------------------------------------------------------------


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """The recipient has the message; `remark` is what it said of it."""

    remark: Remark | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedMessage:
    """This message is final: dead letter and a report to its sender."""

    status: int
    text: str
    remark: Remark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A 207 that does not say what became of this message: it is sent again alone, with the same ids."""


MessageOutcome = Delivered | RejectedMessage | Unclear


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The recipient decided; one outcome per message, in the order sent. The lane is healthy.

    `strangers` counts the results in its answer that name no message of the array.
    """

    status: int
    outcomes: tuple[MessageOutcome, ...]
    error: ErrorClass | None = None
    strangers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Divide:
    """An array of several was refused: send its halves, so that one bad message does not take the others."""

    status: int | None
    text: str
    remark: Remark | None = None
    error: ErrorClass = ErrorClass.STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The lane backs off. `counted` is False where the fault is ours."""

    error: ErrorClass
    text: str
    status: int | None = None
    after_s: float | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkLane:
    """The endpoint's set-up is wrong: everything for it waits, on the slow schedule."""

    error: ErrorClass
    text: str
    status: int | None = None


Judgement = Settled | Divide | Retry | ParkLane
LaneFailure = Retry | ParkLane

THIS_MESSAGE: Final = frozenset({400, 405, 406, 413, 415, 422, 505})
TRANSIENT: Final = frozenset({408, 425, 429})
CONFIGURATION: Final = frozenset({401, 402, 403, 404, 407, 410, 421, 426, 451})
_THROTTLED = 429
_PARTLY = 207
_BAD_REQUEST = 400


def judge(result: Result, messages: Sequence[Named], *, now: datetime) -> Judgement:
    """Return what a POST of these messages means."""
    match result:
        case Failed():
            return _judge_failure(result)
        case Answered():
            return _judge_answer(result, messages, now)
        case _:
            assert_never(result)


def _judge_failure(result: Failed) -> LaneFailure:
    match result.error:
        case (
            ErrorClass.DNS | ErrorClass.TLS | ErrorClass.REDIRECT | ErrorClass.BLOCKED | ErrorClass.NO_WEBHOOK
        ):
            return ParkLane(error=result.error, text=result.text)
        case ErrorClass.OURS:
            return Retry(error=result.error, text=result.text, counted=False)
        case (
            ErrorClass.CONNECT
            | ErrorClass.RESET
            | ErrorClass.TIMEOUT
            | ErrorClass.BODY_TOO_LARGE
            | ErrorClass.STATUS
        ):
            return Retry(error=result.error, text=result.text)
        case _:
            assert_never(result.error)


def _judge_answer(result: Answered, messages: Sequence[Named], now: datetime) -> Judgement:
    """Sort an answer by its status.

    A 4xx that no document names counts as "this message": a dead letter is kept, reported and can be sent
    again, while a lane parked behind one odd answer would hold everything.
    """
    status = result.status
    text = f"HTTP {status}"
    if 200 <= status < 300:  # noqa: PLR2004  # the 2xx family
        return _judge_success(result, messages)
    if 300 <= status < 400:  # noqa: PLR2004  # the 3xx family
        return ParkLane(error=ErrorClass.REDIRECT, text=f"{text}: redirects are not followed", status=status)
    if status in CONFIGURATION:
        return ParkLane(error=ErrorClass.STATUS, text=text, status=status)
    if status in THIS_MESSAGE or (400 <= status < 500 and status not in TRANSIENT):  # noqa: PLR2004  # 4xx
        return _judge_refusal(result, messages)
    hint = retry_after_s(result.retry_after, status=status, now=now)
    return Retry(error=ErrorClass.STATUS, text=text, status=status, after_s=hint)


def _judge_success(result: Answered, messages: Sequence[Named]) -> Settled:
    reading = _read(result, messages)
    if result.status == _PARTLY:
        outcomes = tuple(_partly(one, alone=len(messages) == 1) for one in reading.remarks)
    else:
        outcomes = tuple(Delivered(remark=one) for one in reading.remarks)
    return Settled(status=result.status, outcomes=outcomes, error=result.cut, strangers=reading.strangers)


def _read(result: Answered, messages: Sequence[Named]) -> Reading:
    """Read what an answer says; one that was cut says nothing, and its status decides."""
    return Reading(remarks=(None,) * len(messages)) if result.cut else read_answer(result.body, messages)


def _partly(remark: Remark | None, *, alone: bool) -> MessageOutcome:
    """Settle one message of a 207 by its own body.

    A message the answer is silent about goes again, alone. Alone and still silent, the 2xx decides: sending
    it for 14 days more would tell the recipient nothing new.
    """
    if remark is None:
        return Delivered(note="207 without a readable result for the message") if alone else Unclear()
    if remark.accepts:
        return Delivered(remark=remark)
    return RejectedMessage(status=_PARTLY, text=remark.text, remark=remark)


def _judge_refusal(result: Answered, messages: Sequence[Named]) -> Judgement:
    first = None if result.cut else first_refusal(result.body)
    if first is not None and first.code == SIGNATURE_REFUSED:
        return ParkLane(error=ErrorClass.STATUS, text=first.text, status=result.status)
    if len(messages) > 1:
        text = first.text if first else f"HTTP {result.status}"
        return Divide(status=result.status, text=text, remark=first)
    reading = _read(result, messages)
    (remark,) = reading.remarks
    if remark is not None and remark.accepts:  # a taken message in a refusal: the status decides
        remark = None
    text = remark.text if remark else f"HTTP {result.status}"
    rejected = RejectedMessage(status=result.status, text=text, remark=remark)
    return Settled(
        status=result.status,
        outcomes=(rejected,),
        error=ErrorClass.STATUS,
        strangers=reading.strangers,
    )


def retry_after_s(value: str | None, *, status: int, now: datetime) -> float | None:
    """Return the wait a recipient asks for, capped; None for what is absent, negative or not understood."""
    if not value:
        return None
    text = value.strip()
    # Digits are bounded before int(): a header of a million digits is an attack on the parser.
    wait = float(text[:12]) if text.isascii() and text.isdigit() else _until(text, now)
    if wait is None or wait < 0:
        return None
    return min(wait, RETRY_AFTER_THROTTLED_S_MAX if status == _THROTTLED else RETRY_AFTER_S_MAX)


def _until(http_date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(cleaned(http_date))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# --- When to try again ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The waits of a lane. `delays_s[n]` is nominal after the n-th failure in a row; the last one repeats."""

    delays_s: tuple[float, ...]
    hold_s: float

    def wait_s(self, failure: LaneFailure, *, failures: int, fraction: float) -> float:
        """Return the wait after the n-th failure in a row (n >= 1); `fraction` in [0, 1) is the jitter."""
        match failure:
            case Retry():
                wait_s = _jittered(self._nominal(self.delays_s, failures), fraction)
                return max(wait_s, failure.after_s or 0.0)
            case ParkLane():
                slow = tuple(one for one in self.delays_s if one >= SLOW_DELAY_S_MIN) or self.delays_s[-1:]
                return _jittered(self._nominal(slow, failures - 1), fraction)
            case _:
                assert_never(failure)

    @staticmethod
    def _nominal(delays_s: tuple[float, ...], step: int) -> float:
        return delays_s[min(step, len(delays_s) - 1)]

    def exhausted(self, copy: Copy, *, now: datetime) -> bool:
        """Tell whether a copy was held for as long as it may be: counted from its routing, over restarts."""
        return now - copy.routed_at >= timedelta(seconds=self.hold_s)


def _jittered(nominal_s: float, fraction: float) -> float:
    """Full jitter on short waits, so that recipients are not hit in step; a share of long ones."""
    if nominal_s <= FULL_JITTER_S_MAX:
        return nominal_s * fraction
    return nominal_s * (1 + LATE_JITTER_SHARE * (2 * fraction - 1))


# --- What the journal says --------------------------------------------------------------------------------


def stage_of(channel: InterfaceId) -> Stage:
    """Return the journal's stage of a channel."""
    return Stage.STATUS_MESSAGE if channel == STATUS_CHANNEL else Stage.OUTBOUND


def journal_status(status: Status, stage: Stage) -> Status:
    """Return a status in the words its stage has: status messages know no rejection and no exhaustion."""
    if stage is Stage.STATUS_MESSAGE and status in {Status.REJECTED_BY_RECIPIENT, Status.RETRIES_EXHAUSTED}:
        return Status.DELIVERY_FAILURE
    return status


def status_of(outcome: Delivered | RejectedMessage | Divide | LaneFailure) -> Status:
    """Return the published journal's word for an outcome (protocol.md 9)."""
    match outcome:
        case Delivered():
            return Status.DELIVERED
        case RejectedMessage():
            rejected = outcome.status in {_BAD_REQUEST, _PARTLY}
            return Status.REJECTED_BY_RECIPIENT if rejected else Status.DELIVERY_FAILURE
        case Divide() | Retry():
            return Status.RETRYING
        case ParkLane():
            return Status.DELIVERY_FAILURE
        case _:
            assert_never(outcome)
