"""What every process knows of the market: operators' records, participants' own webhooks and standing data as one.

The three are written by different hands at any time, so each has records of its own and nobody rewrites another's
(docs/adr/0100, docs/adr/0101). Here is who has the last word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.participants import Participant, Participants, RoleGrant, Webhook
from pipeline.domain.standing_data import CompanyRow, grants, without_outdated


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


def picture(
    everybody: Iterable[Participant], choices: Iterable[WebhookChoice], rows: Iterable[CompanyRow]
) -> Participants:
    """Return who exists.

    A participant's own choice outweighs the operator's webhook of that channel. Standing data outweighs the
    operator's record in the roles that it names for a DIP ID, and no others. A DIP ID that only standing data
    knows can be sent to: its copies wait for it; it cannot send, for it has no keys.
    """
    standing = without_outdated(rows)
    given, names = grants(standing), {row.dip_id: row.company for row in standing}
    known = {one.id: one for one in everybody}
    for name in given.keys() - known.keys():
        known[name] = Participant(id=name, name=names[name] or name)
    own: dict[ParticipantId, list[WebhookChoice]] = {}
    for choice in choices:
        own.setdefault(choice.participant, []).append(choice)
    return Participants(
        (_merged(one, own.get(name, ()), given.get(name, ())) for name, one in known.items()),
        companies=standing,
    )


def _merged(one: Participant, choices: Iterable[WebhookChoice], given: tuple[RoleGrant, ...]) -> Participant:
    by_channel: Mapping[InterfaceId, WebhookChoice] = {choice.channel: choice for choice in choices}
    if not by_channel and not given:
        return one
    named = {grant.role for grant in given}
    return replace(
        one,
        roles=(*(grant for grant in one.roles if grant.role not in named), *given),
        webhooks=(
            *(hook for hook in one.webhooks if hook.channel not in by_channel),
            *(choice.webhook for choice in by_channel.values() if choice.webhook is not None),
        ),
        closed=frozenset(name for name, choice in by_channel.items() if choice.webhook is None),
    )
