"""The feed of `dip.participants`: who exists, as every process knows it.

The topic holds three kinds of records, told apart by their keys: the operators' participants, what participants chose
themselves, and standing data. One topic, because their order is then the same for every reader (docs/adr/0100).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.market import WebhookChoice, picture
from pipeline.domain.participants import NOBODY, Participant, Participants
from pipeline.domain.standing_data import CompanyRow
from pipeline.errors import UndecodableRecord
from pipeline.settings import Settings
from pipeline.topics import PARTICIPANTS

T = TypeVar("T")

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
        self._by_id: dict[str, Participant] = {}
        self._choices: dict[str, WebhookChoice] = {}
        self._rows: dict[str, CompanyRow] = {}

    @property
    def recorded(self) -> Mapping[str, Participant]:
        """Return the operators' records as they are stored, without what others said. For operators' commands."""
        return MappingProxyType(self._by_id)

    @property
    def choices(self) -> tuple[WebhookChoice, ...]:
        """Return what participants chose themselves. For operators' commands."""
        return tuple(self._choices.values())

    def _apply(self, key: str, value: bytes | None) -> bool:
        match key.split("|"):
            case [name]:
                return _put(self._by_id, name, value, self._participant)
            case [kind, _, _] if kind == _WEBHOOK:
                return _put(self._choices, key, value, self._choice)
            case [kind, *_] if kind == _COMPANY:
                return _put(self._rows, key, value, self._row)
            case _:
                raise UndecodableRecord(f"key {key!r} is of no kind that this version knows")

    def _participant(self, key: str, value: bytes) -> Participant:
        found = self._codec.decode_participant(value)
        return _named(key, participant_key(found.id), found)

    def _choice(self, key: str, value: bytes) -> WebhookChoice:
        found = self._codec.decode_webhook_choice(value)
        return _named(key, choice_key(found), found)

    def _row(self, key: str, value: bytes) -> CompanyRow:
        found = self._codec.decode_company_row(value)
        return _named(key, company_key(found), found)

    def _build(self) -> Participants:
        return picture(self._by_id.values(), self._choices.values(), self._rows.values())


def _put(held: dict[str, T], key: str, value: bytes | None, read: Callable[[str, bytes], T]) -> bool:
    if value is None:
        return held.pop(key, None) is not None
    held[key] = read(key, value)
    return True


def _named(key: str, expected: bytes, found: T) -> T:
    if key.encode() != expected:
        raise UndecodableRecord(f"key {key!r} holds what belongs to {expected.decode()!r}")
    return found
