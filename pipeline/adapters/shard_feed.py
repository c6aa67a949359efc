"""The feed of `dip.shards`: who answers for which partition, as the bridge knows it."""

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.shards import NOBODY_YET, Owner, Owners
from pipeline.settings import Settings
from pipeline.topics import SHARDS


class ShardFeed(CompactedFeed[Owners]):
    """Implements `pipeline.ports.OwnerSource`."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        super().__init__(settings, topic=SHARDS, empty=NOBODY_YET)
        self._codec = codec
        self._by_key: dict[str, Owner] = {}

    def _apply(self, key: str, value: bytes | None) -> bool:
        if value is None:
            return self._by_key.pop(key, None) is not None
        self._by_key[key] = self._codec.decode_shard_owner(value)
        return True

    def _build(self) -> Owners:
        return Owners(self._by_key.values())
