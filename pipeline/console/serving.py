"""What a page gets and gives: the visit, and the answer as a value. The application turns answers into responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from pipeline.console.accounts import Account, Role
from pipeline.console.ports import Outside
from pipeline.console.watching import Watch
from pipeline.domain.identifiers import ParticipantId
from pipeline.limits import CONSOLE_FIELD_CHARS_MAX

STAFF: Final = frozenset({Role.VIEWER, Role.OPERATOR})
EVERYBODY: Final = frozenset(Role)
OPERATORS: Final = frozenset({Role.OPERATOR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of somebody who is logged in, and whose role the page is for."""

    outside: Outside
    watch: Watch
    account: Account
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> ParticipantId | None:
        """Return whose data alone may be shown; None for staff, who see all."""
        return self.account.participant if self.account.role is Role.PARTICIPANT else None

    def asked(self, name: str) -> str | None:
        """Return what a query says, without blanks around it; None for nothing."""
        return _said(self.query, name)

    def given(self, name: str) -> str | None:
        """Return what a form says, likewise."""
        return _said(self.form, name)


def _said(values: Mapping[str, str], name: str) -> str | None:
    return values.get(name, "").strip()[:CONSOLE_FIELD_CHARS_MAX] or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a template."""

    template: str
    values: Mapping[str, Any]
    status: HTTPStatus = HTTPStatus.OK
    refresh_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Something was done; the page to look at next, and what it says at its top."""

    to: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not done, with the reason in words for the page."""

    status: HTTPStatus
    text: str


Answer = Page | Moved | Refused
