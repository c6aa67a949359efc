"""What some calls give back: pages, progress, journal records, companies. Each reader says when a form does not fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The content does not have the published form."""


UNREADABLE: Final = Unreadable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of what was asked for. Ask again with `continuation` until it is None."""

    items: tuple[Mapping[str, Any], ...]
    continuation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """How far a requeue is. `status` is Processing, Completed, Failed or PartialCompletion."""

    requeue_id: str | None
    status: str | None
    percent_complete: float | None
    transactions: int | None
    transactions_done: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRecord:
    """What became of one message. `entries` are as published: stage, status, reason, recipients and times."""

    interface: str
    sender_reference: str
    transaction_id: str
    entries: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyRole:
    """One role that a company has, or had: `until` is None while it has it."""

    mpid: str | None
    market_role: str | None
    dip_id: str | None
    dip_role: str | None
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """One company of the standing data, with its roles over time."""

    number: str | None
    name: str | None
    roles: tuple[CompanyRole, ...]


def read_array(content: bytes) -> tuple[Mapping[str, Any], ...] | Unreadable:
    """Read a JSON array of objects."""
    value = _json(content)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return UNREADABLE
    return tuple(value)


def read_object(content: bytes) -> Mapping[str, Any] | Unreadable:
    """Read a JSON object."""
    value = _json(content)
    return value if isinstance(value, dict) else UNREADABLE


def read_nothing(_: bytes) -> None:
    """Take note of a status alone; whatever came with it is not looked at."""


def read_text(content: bytes) -> str | Unreadable:
    """Read a bare JSON string."""
    value = _json(content)
    return value if isinstance(value, str) else UNREADABLE


def read_optional_text(content: bytes) -> str | Unreadable | None:
    """Read a bare JSON string where there may be none."""
    return read_text(content) if content else None


def read_requeues(content: bytes) -> tuple[Requeue, ...] | Unreadable:
    """Read the progress of requeues; an empty answer is none."""
    rows = read_array(content or b"[]")
    if isinstance(rows, Unreadable):
        return rows
    return tuple(
        Requeue(
            requeue_id=one.get("requeueId"),
            status=one.get("status"),
            percent_complete=one.get("percentComplete"),
            transactions=one.get("totalTransactions"),
            transactions_done=one.get("processedTransactions"),
        )
        for one in rows
    )


def read_journal(content: bytes) -> JournalRecord | Unreadable | None:
    """Read a journal record; no content means that nothing is known."""
    if not content:
        return None
    value = _json(content)
    try:
        return JournalRecord(
            interface=value["Interface"],
            sender_reference=value["SenderUniqueReference"],
            transaction_id=value["DIPTransactionID"],
            entries=tuple(value["JournalEntries"]),
        )
    except (KeyError, TypeError):
        return UNREADABLE


def read_companies(content: bytes) -> tuple[Company, ...] | Unreadable:
    """Read companies, with the `payload` that the schema has or without it, as the examples are."""
    rows = read_array(content)
    if isinstance(rows, Unreadable):
        return rows
    plain = [one["payload"] if isinstance(one.get("payload"), dict) else one for one in rows]
    return tuple(
        Company(
            number=one.get("companyRegNumber"),
            name=one.get("companyName"),
            roles=tuple(_role(row) for row in one.get("companyDetails") or () if isinstance(row, dict)),
        )
        for one in plain
    )


def _role(row: Mapping[str, Any]) -> CompanyRole:
    return CompanyRole(
        mpid=row.get("MPID"),
        market_role=row.get("marketRole"),
        dip_id=row.get("DIPID"),
        dip_role=row.get("DIPRole"),
        since=row.get("datetimeFrom"),
        until=row.get("datetimeTo"),
    )


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
