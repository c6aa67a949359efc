"""The feed of `dip.notices`: what was told of endpoints and certificates, as every delivery worker knows it."""

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.notices import NOTHING_TOLD, Notices, Told
from pipeline.settings import Settings
from pipeline.topics import NOTICES


class NoticeFeed(CompactedFeed[Notices]):
    """Implements `pipeline.ports.NoticeSource`."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        super().__init__(settings, topic=NOTICES, empty=NOTHING_TOLD)
        self._codec = codec
        self._by_key: dict[str, Told] = {}

    def _apply(self, key: str, value: bytes | None) -> bool:
        if value is None:
            return self._by_key.pop(key, None) is not None
        self._by_key[key] = self._codec.decode_told(value)
        return True

    def _build(self) -> Notices:
        return Notices(self._by_key.values())
