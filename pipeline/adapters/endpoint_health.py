"""The feed of `dip.endpoint-health`: recipients that fail, as every delivery worker knows them."""

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.endpoint_health import ALL_WELL, EndpointFailing, EndpointHealth
from pipeline.settings import Settings
from pipeline.topics import ENDPOINT_HEALTH


class EndpointHealthFeed(CompactedFeed[EndpointHealth]):
    """Implements `pipeline.ports.EndpointHealthSource`."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        super().__init__(settings, topic=ENDPOINT_HEALTH, empty=ALL_WELL)
        self._codec = codec
        self._by_key: dict[str, EndpointFailing] = {}

    def _apply(self, key: str, value: bytes | None) -> bool:
        if value is None:
            return self._by_key.pop(key, None) is not None
        self._by_key[key] = self._codec.decode_endpoint_failing(value)
        return True

    def _build(self) -> EndpointHealth:
        return EndpointHealth(self._by_key.values())
