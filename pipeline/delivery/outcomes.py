"""Turns the judgement of a POST into entries of an account."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, assert_never

from msgspec.structs import replace

from pipeline.delivery.entry import Entry
from pipeline.delivery.settling import Account, Note
from pipeline.domain.delivery import (
    Answered,
    Delivered,
    Divide,
    ErrorClass,
    LaneFailure,
    MessageOutcome,
    RejectedMessage,
    Result,
    Settled,
    Unclear,
    status_of,
)
from pipeline.domain.envelope import Status
from pipeline.domain.excerpts import excerpt

_ANSWERS: Final = b"messageArray"
"""A body with it is a StandardResponse, whose words are in the audit already."""


def book_settled(
    account: Account, pairs: Sequence[tuple[Entry, MessageOutcome]], settled: Settled, common: Note
) -> tuple[Entry, ...]:
    """Book what the recipient decided of each message; return the entries it left open.

    Copies with the same result share one audit record: an array of a hundred is one, not a hundred. Nearly always all
    have the same, so they are booked in runs. A remark that finds fault with a message which was taken all the same
    is passed on to its sender; with a refused one, the dead letter carries it there.
    """
    common = _with_strangers(common, settled.strangers)
    alike: dict[Delivered, list[Entry]] = {}
    unclear: list[Entry] = []
    for outcome, group in groupby(pairs, key=_outcome):
        entries = [entry for entry, _ in group]
        match outcome:
            case Delivered():
                account.delivered(entries, common.at)
                if outcome.remark is not None and not outcome.remark.accepts:
                    account.relay(entries, outcome.remark, common.at)
                alike.setdefault(outcome, []).extend(entries)
            case RejectedMessage():
                for entry in entries:
                    account.dead_letter(entry, _rejected(common, outcome))
            case Unclear():
                unclear += entries
            case _:
                assert_never(outcome)
    for delivered, entries in alike.items():
        account.note(entries, _delivered(common, delivered, settled.error))
    if unclear:
        account.note(unclear, _with(common, Status.RETRYING, reason="207 without a result; sent again alone"))
    return tuple(unclear)


def _outcome(pair: tuple[Entry, MessageOutcome]) -> MessageOutcome:
    return pair[1]


def book_divided(account: Account, entries: Sequence[Entry], divide: Divide, common: Note) -> None:
    """Book that an array was refused and its parts are sent."""
    code = divide.remark.code if divide.remark else None
    reason = f"array refused, sent in parts: {divide.text}"
    account.note(entries, _with(common, status_of(divide), reason=reason, code=code, error=divide.error))


def book_failed(account: Account, entries: Sequence[Entry], failure: LaneFailure, common: Note) -> None:
    """Book a try after which all its copies wait."""
    account.note(entries, _with(common, status_of(failure), reason=failure.text, error=failure.error))


def common_note(result: Result, batch: Sequence[Entry], *, at: datetime) -> Note:
    """Return what all audit records of one POST share.

    An answer shows its beginning where it is no 2xx, or one whose body says nothing that is understood.
    """
    answer = result if isinstance(result, Answered) else None
    shown = answer is not None and not (200 <= answer.status < 300 and _ANSWERS in answer.body)  # noqa: PLR2004  # 2xx
    return Note(
        at=at,
        status=Status.RETRYING,
        status_code=answer.status if answer else None,
        attempt=max(entry.attempts for entry in batch) + 1,
        duration_ms=result.duration_ms,
        timings=result.timings,
        excerpt=excerpt(answer.body) if answer and shown else None,
    )


def _delivered(common: Note, outcome: Delivered, error: ErrorClass | None) -> Note:
    remark = outcome.remark
    return _with(
        common,
        Status.DELIVERED,
        reason=outcome.note or (remark.text if remark else None),
        code=remark.code if remark else None,
        error=error,
    )


def _rejected(common: Note, outcome: RejectedMessage) -> Note:
    code = outcome.remark.code if outcome.remark else None
    note = _with(common, status_of(outcome), reason=outcome.text, code=code, error=ErrorClass.STATUS)
    return replace(note, remark=outcome.remark)


def _with_strangers(common: Note, count: int) -> Note:
    """Let the audit say that an answer speaks of messages which were not sent with it."""
    text = f"{count} results of the answer name no message of the array and were ignored"
    return replace(common, reason=text) if count else common


def _with(
    common: Note,
    status: Status,
    *,
    reason: str | None,
    code: str | None = None,
    error: ErrorClass | None = None,
) -> Note:
    return replace(
        common,
        status=status,
        reason="; ".join(filter(None, (reason, common.reason))) or None,
        code=code,
        error=error,
    )
