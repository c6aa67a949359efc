"""Reads and writes marketParticipantDetail, the standing data of companies (protocol.md 8)."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from pipeline.catalogue.casing import canonical, find_name
from pipeline.catalogue.explanation import Problem, explain, problem, shown
from pipeline.catalogue.facts import load_items
from pipeline.catalogue.shapes import load_blocks
from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.standing_data import CompanyRow
from pipeline.domain.times import format_instant, parse_instant

_BLOCK: Final = "api:marketParticipantDetail"
_ROWS: Final = "companyDetails"
_WITHOUT_OFFSET_CHARS: Final = len("2026-01-05T00:00:00")
NUMBER: Final = re.compile(r"[0-9A-Za-z]{8,10}", re.ASCII)
_REQUIRED: Final = ("MPID", "DIPID", "DIPRole", "datetimeFrom")


def write_details(rows: Iterable[CompanyRow]) -> list[dict[str, Any]]:
    """Return companies in the schema's form, each below `payload`, ordered by number."""
    ordered = sorted(rows, key=lambda row: (row.number, row.mpid, row.role, row.valid_from))
    return [
        {"payload": _company(number, list(some))} for number, some in groupby(ordered, lambda row: row.number)
    ]


def _company(number: str, rows: list[CompanyRow]) -> dict[str, Any]:
    names = [row.company for row in rows if row.company is not None]
    return {
        "companyRegNumber": number,
        "companyName": names[-1] if names else None,
        _ROWS: [
            {
                "MPID": row.mpid,
                "marketRole": row.market_role,
                "DIPID": row.dip_id,
                "DIPRole": row.role,
                "datetimeFrom": format_instant(row.valid_from),
                "datetimeTo": row.valid_to and format_instant(row.valid_to),
            }
            for row in rows
        ],
    }


def read_details(value: object) -> tuple[tuple[CompanyRow, ...], tuple[Problem, ...]]:
    """Return the rows of a company or of an array of them, with or without `payload`; or every problem, never both.

    Field names may have any letter case. Times without an offset, as published examples have them, are UTC.
    """
    listed = isinstance(value, list)
    rows: list[CompanyRow] = []
    problems: list[Problem] = []
    for number, one in enumerate(value if isinstance(value, list) else [value]):
        found, wrong = _read_one(one, (number,) if listed else ())
        rows += found
        problems += wrong
    return ((), tuple(problems)) if problems else (tuple(rows), ())


def _read_one(value: object, place: tuple[str | int, ...]) -> tuple[list[CompanyRow], list[Problem]]:
    if isinstance(value, Mapping) and (name := find_name(value, "payload")) is not None:
        value, place = value[name], (*place, name)
    shape = load_blocks(load_items())[_BLOCK]
    named = canonical(value, shape)
    company: Any = _with_offsets(named.message)
    problems = [*named.clashes, *explain(company, shape, place)]
    if problems:
        return [], problems
    number = company.get("companyRegNumber")
    if not isinstance(number, str) or not NUMBER.fullmatch(number):
        return [], [_wrong((*place, "companyRegNumber"), number, "8 to 10 letters and digits")]
    rows: list[CompanyRow] = []
    for index, row in enumerate(company.get(_ROWS, ())):
        found = _read_row(row, number, company.get("companyName"), (*place, _ROWS, index))
        if isinstance(found, CompanyRow):
            rows.append(found)
        else:
            problems += found
    return rows, problems


def _read_row(
    row: Mapping[str, Any], number: str, company: str | None, place: tuple[str | int, ...]
) -> CompanyRow | list[Problem]:
    problems = [
        problem((*place, name), "missing: nothing can be recorded without it")
        for name in _REQUIRED
        if name not in row
    ]
    if problems:
        return problems
    start, end = parse_instant(row["datetimeFrom"]), None
    if start is None:
        return [
            _wrong((*place, "datetimeFrom"), row["datetimeFrom"], "an instant, as 2026-01-05T00:00:00+00:00")
        ]
    if row.get("datetimeTo") is not None:
        end = parse_instant(row["datetimeTo"])
        if end is None or end <= start:
            return [
                _wrong((*place, "datetimeTo"), row["datetimeTo"], "null or an instant after datetimeFrom")
            ]
    return CompanyRow(
        number=number,
        company=company,
        mpid=row["MPID"],
        market_role=row.get("marketRole"),
        role=Role(row["DIPRole"]),
        dip_id=None if row["DIPID"] is None else ParticipantId(row["DIPID"]),
        valid_from=start,
        valid_to=end,
    )


def _with_offsets(company: object) -> object:
    """Write times without an offset as UTC."""
    if not isinstance(company, Mapping) or not isinstance(company.get(_ROWS), list):
        return company
    return {**company, _ROWS: [_with_offset(row) for row in company[_ROWS]]}


def _with_offset(row: object) -> object:
    if not isinstance(row, Mapping):
        return row
    return {
        name: f"{value}+00:00"
        if name in {"datetimeFrom", "datetimeTo"}
        and isinstance(value, str)
        and len(value) == _WITHOUT_OFFSET_CHARS
        else value
        for name, value in row.items()
    }


def _wrong(place: tuple[str | int, ...], value: object, expected: str) -> Problem:
    return problem(place, f"{shown(value)}: expected {expected}", value=shown(value), expected=expected)
