"""What every process knows of the market: operators' records, participants' own webhooks and standing data as one.

The three are written by different hands at any time, so each has records of its own and nobody rewrites another's
(docs/adr/0100, docs/adr/0101). Here is who has the last word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.participants import Participant, Participants, RoleGrant, Webhook
from pipeline.domain.standing_data import CompanyRow, grants, without_outdated

K = TypeVar("K")
V = TypeVar("V")
RowKey = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChoice:
    """What a participant said itself about one channel; no webhook means: none, whatever the operator loaded."""

    participant: ParticipantId
    channel: InterfaceId
    webhook: Webhook | None
    by: ParticipantId
    at: datetime

    @property
    def key(self) -> tuple[ParticipantId, InterfaceId]:
        """Name what there is one of: a participant has one word on a channel, however often it changes it."""
        return (self.participant, self.channel)


class Market:
    """Everything that was read so far; `picture` says who exists by it. What nothing concerns is not merged again.

    A participant's own choice outweighs the operator's webhook of that channel. Standing data outweighs the
    operator's record in the roles that it names for a DIP ID, and no others. A DIP ID that only standing data
    knows can be sent to: its copies wait for it; it cannot send, for it has no keys.
    """

    def __init__(self) -> None:
        self._recorded: dict[ParticipantId, Participant] = {}
        self._choices: dict[ParticipantId, dict[InterfaceId, WebhookChoice]] = {}
        self._rows: dict[RowKey, CompanyRow] = {}
        self._rows_of: dict[ParticipantId, dict[RowKey, CompanyRow]] = {}
        self._merged: dict[ParticipantId, Participant] = {}
        self._touched: set[ParticipantId] = set()
        self._companies: tuple[CompanyRow, ...] | None = ()

    @property
    def recorded(self) -> Mapping[ParticipantId, Participant]:
        """Return the operators' records as they are stored, without what others said."""
        return dict(self._recorded)

    @property
    def choices(self) -> tuple[WebhookChoice, ...]:
        """Return what participants said themselves."""
        return tuple(choice for own in list(self._choices.values()) for choice in list(own.values()))

    def record(self, name: ParticipantId, one: Participant | None) -> None:
        """Take an operator's record in, or away."""
        _put(self._recorded, name, one)
        self._touched.add(name)

    def choose(self, name: ParticipantId, channel: InterfaceId, choice: WebhookChoice | None) -> None:
        """Take a participant's word on a channel in, or away."""
        _put(self._choices.setdefault(name, {}), channel, choice)
        self._touched.add(name)

    def enter(self, key: RowKey, row: CompanyRow | None) -> None:
        """Take a row of standing data in, or away; it may have been another DIP ID's before."""
        for one, kept in ((self._rows.get(key), None), (row, row)):
            if one is not None and one.dip_id is not None:
                _put(self._rows_of.setdefault(one.dip_id, {}), key, kept)
                self._touched.add(one.dip_id)
        _put(self._rows, key, row)
        self._companies = None

    def picture(self) -> Participants:
        """Return who exists."""
        for name in self._touched:
            _put(self._merged, name, self._merge(name))
        self._touched.clear()
        if self._companies is None:
            self._companies = without_outdated(self._rows.values())
        return Participants(self._merged.values(), companies=self._companies)

    def _merge(self, name: ParticipantId) -> Participant | None:
        rows = tuple(self._rows_of.get(name, {}).values())
        one = self._recorded.get(name)
        if one is None and rows:
            one = Participant(id=name, name=rows[-1].company or name)
        return None if one is None else _merged(one, self._choices.get(name, {}), grants(rows))


def picture(
    everybody: Iterable[Participant], choices: Iterable[WebhookChoice], rows: Iterable[CompanyRow]
) -> Participants:
    """Return who exists by what is given."""
    market = Market()
    for one in everybody:
        market.record(one.id, one)
    for choice in choices:
        market.choose(*choice.key, choice)
    for row in rows:
        market.enter(row.key, row)
    return market.picture()


def _put(held: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value


def _merged(
    one: Participant, own: Mapping[InterfaceId, WebhookChoice], given: tuple[RoleGrant, ...]
) -> Participant:
    if not own and not given:
        return one
    named = {grant.role for grant in given}
    return replace(
        one,
        roles=(*(grant for grant in one.roles if grant.role not in named), *given),
        webhooks=(
            *(hook for hook in one.webhooks if hook.channel not in own),
            *(choice.webhook for choice in own.values() if choice.webhook is not None),
        ),
        closed=frozenset(channel for channel, choice in own.items() if choice.webhook is None),
    )
