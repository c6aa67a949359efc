"""`GET` and `POST /companyDetails`: the standing data of companies, effective-dated (protocol.md 8, docs/adr/0101)."""

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from pipeline import topics
from pipeline.adapters.participants import company_key
from pipeline.adapters.producer import Outgoing
from pipeline.catalogue.company_details import NUMBER, read_details, write_details
from pipeline.catalogue.json_text import Unreadable
from pipeline.domain.identifiers import Role
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.standing_data import CompanyRow
from pipeline.ingress.activity import done
from pipeline.ingress.calls import Call, Outcome, Recorded, Reply
from pipeline.ingress.outside import Encoder
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.slicing import read_message_text
from pipeline.intake import rejection_of, unreadable

_NUMBER: Final = "X-company-number"
_FORMS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    _NUMBER: (NUMBER, "8 to 10 letters and digits"),
    "X-MPID": (re.compile(r"[A-Z]{4}", re.ASCII), "4 capital letters"),
    "X-market-role": (re.compile(r"[0-9A-Za-z]", re.ASCII), "one letter or digit"),
    "X-DIP-role": (re.compile(r"[A-Z]{3,5}", re.ASCII), "3 to 5 capital letters"),
}


class ReadCompanies:
    """Shows one company, or all of them with their inactive rows. `readers` are roles; none means everybody."""

    def __init__(self, readers: Collection[Role]) -> None:
        self._readers = readers

    def __call__(self, call: Call) -> Outcome:
        """Answer 200 with an array, 404 for a company that is not known."""
        problems = _problems(call.query, (_NUMBER,), required=False)
        if problems:
            return _bad(problems)
        if self._readers and not _has_role(call, self._readers):
            return _forbidden("read", self._readers)
        number = call.query.get(_NUMBER)
        rows = [row for row in call.participants.companies if number in {None, row.number}]
        if number is not None and not rows:
            return Refusal(
                status=HTTPStatus.NOT_FOUND,
                slug="company-unknown",
                help=f"No company has the number {number}.",
            )
        return Reply(status=HTTPStatus.OK, value=write_details(rows))


class AddCompany:
    """Adds a combination of company, MPID, market role and DIP role. `writers` are the roles that may.

    Without a body the combination is announced: it has no DIP ID yet, and nobody can send to it. With a body, which
    is this router's extension, its rows are stored as they are: a row of the same start is replaced, so that it can
    be ended. Adding what is there already changes nothing and is 201 again.
    """

    def __init__(self, *, writers: Collection[Role], roles: Collection[Role], encoder: Encoder) -> None:
        self._writers = writers
        self._roles = roles
        self._encoder = encoder

    def __call__(self, call: Call) -> Outcome:
        """Store the rows of one combination; 404 for a DIP role that no channel knows."""
        problems = _problems(call.query, tuple(_FORMS), required=True)
        if problems:
            return _bad(problems)
        if not _has_role(call, self._writers):
            return _forbidden("add", self._writers)
        role = Role(call.query["X-DIP-role"])
        if role not in self._roles:
            known = ", ".join(sorted(self._roles))
            return Refusal(
                status=HTTPStatus.NOT_FOUND,
                slug="role-unknown",
                help=f"No channel knows the DIP role {role}: use {known}.",
            )
        announced = CompanyRow(
            number=call.query[_NUMBER],
            company=None,
            mpid=call.query["X-MPID"],
            market_role=call.query["X-market-role"],
            role=role,
            dip_id=None,
            valid_from=call.now,
        )
        rows = self._rows(call, announced)
        if rows and isinstance(rows[0], Rejection):
            return _bad([one for one in rows if isinstance(one, Rejection)])
        known_rows = set(call.participants.companies)
        records = tuple(
            Outgoing(
                topic=topics.PARTICIPANTS, key=company_key(row), value=self._encoder.encode_company_row(row)
            )
            for row in rows
            if isinstance(row, CompanyRow) and row not in known_rows
        )
        if records:
            what = f"standing data of {'/'.join(announced.combination)}: {len(records)} rows"
            records = (*records, done(call, HTTPStatus.CREATED, what, self._encoder))
        return Recorded(status=HTTPStatus.CREATED, records=records)

    def _rows(self, call: Call, announced: CompanyRow) -> tuple[CompanyRow, ...] | tuple[Rejection, ...]:
        if call.content in {b"", b"{}"}:
            there = any(row.combination == announced.combination for row in call.participants.companies)
            return () if there else (announced,)
        text = read_message_text(call.content)
        if isinstance(text, Unreadable):
            return (unreadable(text),)
        rows, problems = read_details(text.value)
        if problems:
            return tuple(map(rejection_of, problems))
        foreign = [row for row in rows if row.combination != announced.combination]
        if foreign or not rows:
            what = "/".join(foreign[0].combination) if foreign else "nothing"
            return (
                _rejection("", what, "/".join(announced.combination), "one call is about one combination"),
            )
        return rows


def _has_role(call: Call, roles: Collection[Role]) -> bool:
    """Tell whether key and certificates are those of somebody who holds one of the roles now."""
    return call.identity is not None and any(
        call.identity.speaks_for(one.id, None) and not one.roles_at(call.now).isdisjoint(roles)
        for one in call.caller.owners
    )


def _forbidden(what: str, roles: Collection[Role]) -> Refusal:
    return Refusal(
        status=HTTPStatus.FORBIDDEN,
        slug="role-not-allowed",
        help=f"Only participants that hold the role {' or '.join(sorted(roles))} may {what} standing data.",
    )


def _problems(query: Mapping[str, str], names: tuple[str, ...], *, required: bool) -> list[Rejection]:
    found = []
    for name in names:
        form, expected = _FORMS[name]
        value = query.get(name)
        if value is None and required:
            found.append(_rejection(name, None, expected, f"the query parameter {name} is missing"))
        elif value is not None and not form.fullmatch(value):
            found.append(
                _rejection(name, value[:40], expected, f"{name}={value[:40]!r}: expected {expected}")
            )
    return found


def _rejection(where: str, value: str | None, expected: str, text: str) -> Rejection:
    return Rejection(
        check=CheckId.SCHEMA,
        code=Code.SCHEMA,
        pointer=where or None,
        value=value,
        expected=expected,
        help=text,
    )


def _bad(problems: list[Rejection]) -> Refusal:
    return Refusal(
        status=HTTPStatus.BAD_REQUEST,
        slug="standing-data-invalid",
        help="; ".join(one.help for one in problems),
        problems=tuple(problems),
    )
