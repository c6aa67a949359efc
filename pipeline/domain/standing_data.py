"""Standing data of companies (marketParticipantDetail): which company is which market participant, from when to when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.participants import RoleGrant


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyRow:
    """A company in one market role, held in `[valid_from, valid_to)`.

    Without a `dip_id` it is announced: known by name, and not yet anybody who sends or receives.
    """

    number: str
    company: str | None
    mpid: str
    market_role: str | None
    role: Role
    dip_id: ParticipantId | None
    valid_from: datetime
    valid_to: datetime | None = None

    @property
    def combination(self) -> tuple[str, str, str, str]:
        """Return what one call of the wire protocol is about."""
        return (self.number, self.mpid, self.market_role or "", self.role)

    @property
    def key(self) -> tuple[str, ...]:
        """Name the row: its combination and its start. An announced one has no start: there is one of it.

        So two processes that write the same row at the same time write it once, and ending a row replaces it.
        """
        start = "" if self.dip_id is None else f"{self.valid_from.timestamp():.0f}"
        return (*self.combination, start)


def without_outdated(rows: Iterable[CompanyRow]) -> tuple[CompanyRow, ...]:
    """Return rows in order, without announcements of combinations that have a DIP ID by now."""
    found = sorted(rows, key=lambda row: (row.combination, row.valid_from))
    onboard = {row.combination for row in found if row.dip_id is not None}
    return tuple(row for row in found if row.dip_id is not None or row.combination not in onboard)


def grants(rows: Iterable[CompanyRow]) -> tuple[RoleGrant, ...]:
    """Return the roles that rows give, past and future ones included."""
    return tuple(RoleGrant(role=row.role, valid_from=row.valid_from, valid_to=row.valid_to) for row in rows)
