"""The feed of `dip.participants`: who exists, as every process knows it.

The topic holds three kinds of records, told apart by their keys: the operators' participants, what participants chose
themselves, and standing data. One topic, because their order is then the same for every reader (docs/adr/0100).
"""

from collections.abc import Mapping
from typing import Final

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.market import Market, WebhookChoice
from pipeline.domain.participants import NOBODY, Participant, Participants
from pipeline.domain.standing_data import CompanyRow
from pipeline.errors import UndecodableRecord
from pipeline.settings import Settings
from pipeline.topics import PARTICIPANTS

_WEBHOOK: Final = "webhook"
_COMPANY: Final = "company"


def participant_key(participant: ParticipantId) -> bytes:
    """Return the key of an operator's record."""
    return participant.encode()


def choice_key(choice: WebhookChoice) -> bytes:
    """Return the key of a participant's word on a channel: one record each, so nothing else is rewritten with it."""
    return "|".join((_WEBHOOK, *choice.key)).encode()


def company_key(row: CompanyRow) -> bytes:
    """Return the key of a row of standing data."""
    return "|".join((_COMPANY, *row.key)).encode()


class ParticipantFeed(CompactedFeed[Participants]):
    """Implements `pipeline.ports.ParticipantSource`."""

    def __init__(self, settings: Settings, codec: Codec, *, topic: str = PARTICIPANTS) -> None:
        super().__init__(settings, topic=topic, empty=NOBODY)
        self._codec = codec
        self._market = Market()

    @property
    def recorded(self) -> Mapping[ParticipantId, Participant]:
        """Return the operators' records as they are stored, without what others said. For operators' commands."""
        return self._market.recorded

    @property
    def choices(self) -> tuple[WebhookChoice, ...]:
        """Return what participants chose themselves. For operators' commands."""
        return self._market.choices

    def _apply(self, key: str, value: bytes | None) -> bool:
        match key.split("|"):
            case [name]:
                one = None if value is None else self._codec.decode_participant(value)
                _require(key, None if one is None else participant_key(one.id))
                self._market.record(ParticipantId(name), one)
            case [kind, name, channel] if kind == _WEBHOOK:
                choice = None if value is None else self._codec.decode_webhook_choice(value)
                _require(key, None if choice is None else choice_key(choice))
                self._market.choose(ParticipantId(name), InterfaceId(channel), choice)
            case [kind, *place] if kind == _COMPANY:
                row = None if value is None else self._codec.decode_company_row(value)
                _require(key, None if row is None else company_key(row))
                self._market.enter(tuple(place), row)
            case _:
                raise UndecodableRecord(f"key {key!r} is of no kind that this version knows")
        return True

    def _build(self) -> Participants:
        return self._market.picture()


def _require(key: str, expected: bytes | None) -> None:
    """Refuse a value that belongs to another key; a tombstone belongs to any."""
    if expected is not None and key.encode() != expected:
        raise UndecodableRecord(f"key {key!r} holds what belongs to {expected.decode()!r}")
