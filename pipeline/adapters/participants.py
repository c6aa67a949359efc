"""The feed of `dip.participants`: who exists, as every process knows it."""

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import NOBODY, Participant, Participants
from pipeline.errors import UndecodableRecord
from pipeline.settings import Settings
from pipeline.topics import PARTICIPANTS


class ParticipantFeed(CompactedFeed[Participants]):
    """Implements `pipeline.ports.ParticipantSource`."""

    def __init__(self, settings: Settings, codec: Codec, *, topic: str = PARTICIPANTS) -> None:
        super().__init__(settings, topic=topic, empty=NOBODY)
        self._codec = codec
        self._by_id: dict[ParticipantId, Participant] = {}

    def _apply(self, key: str, value: bytes | None) -> bool:
        name = ParticipantId(key)
        if value is None:
            return self._by_id.pop(name, None) is not None
        participant = self._codec.decode_participant(value)
        if participant.id != name:
            raise UndecodableRecord(f"key {name!r} holds participant {participant.id!r}")
        self._by_id[name] = participant
        return True

    def _build(self) -> Participants:
        return Participants(self._by_id.values())
