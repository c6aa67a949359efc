"""The feed of `dip.lanes`: operators' orders to lanes, as every delivery worker knows them."""

from pipeline.adapters.compacted import CompactedFeed
from pipeline.codec import Codec
from pipeline.domain.lane_limits import KIND, LaneLimits
from pipeline.domain.lane_orders import CHOICE, NO_ORDERS, LaneOrder, LaneOrders
from pipeline.settings import Settings
from pipeline.topics import LANES


class LaneOrderFeed(CompactedFeed[LaneOrders]):
    """Implements `pipeline.ports.LaneOrderSource`."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        super().__init__(settings, topic=LANES, empty=NO_ORDERS)
        self._codec = codec
        self._by_key: dict[str, LaneOrder] = {}
        self._choices: dict[str, LaneOrder] = {}
        self._limits: dict[str, LaneLimits] = {}

    def _apply(self, key: str, value: bytes | None) -> bool:
        if key.startswith(f"{KIND}|"):
            return self._limit(key, value)
        kept = self._choices if key.startswith(f"{CHOICE}|") else self._by_key
        if value is None:
            return kept.pop(key, None) is not None
        kept[key] = self._codec.decode_lane_order(value)
        return True

    def _build(self) -> LaneOrders:
        return LaneOrders(self._by_key.values(), self._limits.values(), self._choices.values())

    def _limit(self, key: str, value: bytes | None) -> bool:
        if value is None:
            return self._limits.pop(key, None) is not None
        self._limits[key] = self._codec.decode_lane_limits(value)
        return True
