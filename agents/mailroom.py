"""The delivery worker's answers to recipients: how their lanes stand, and what waits for them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agents.shards import Busy, OpenBook
from pipeline import topics
from pipeline.delivery.mailbox import Acknowledged, Away, Bundle, Crowded, Mailbox
from pipeline.delivery.standing import OwnLane
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.mailbox import Bounds, Receipt
from pipeline.domain.parked import LaneKey
from pipeline.domain.shards import LANES
from pipeline.domain.times import format_instant

LANE: Final = "lane"
PEEK: Final = "peek"
ACKNOWLEDGE: Final = "acknowledge"
AWAY: Final = "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailroom:
    """Answers about one lane; the bridge has made sure that it is the asker's own."""

    mailbox: Mailbox
    lane: Callable[[LaneKey], OwnLane]

    def book(self) -> OpenBook:
        """Return what to announce."""
        return OpenBook(name=LANES, topic=topics.OUTBOUND, reply=self)

    async def __call__(self, partition: int, question: Mapping[str, Any]) -> Any:
        """Return the answer to one of three questions, Busy, or the word that nothing can be said now."""
        key = LaneKey(
            recipient=ParticipantId(question["recipient"]), channel=InterfaceId(question["channel"])
        )
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            LANE: lambda: self._lane(key),
            PEEK: lambda: self._peek(key, partition, question),
            ACKNOWLEDGE: lambda: self._acknowledge(key, partition, question),
        }
        found = await asked[question["what"]]()
        match found:
            case Away(reason=reason):
                return {AWAY: reason}
            case Crowded():
                return Busy()
            case _:
                return found

    async def _lane(self, key: LaneKey) -> Mapping[str, Any]:
        return plain(self.lane(key))

    async def _peek(self, key: LaneKey, partition: int, question: Mapping[str, Any]) -> Any:
        bounds = Bounds(
            messages=int(question["messages"]),
            size_bytes=int(question["size_bytes"]),
            age_s=float(question["age_s"]),
        )
        after = None if question["after"] is None else _receipt(question["after"], partition)
        found = await self.mailbox.peek(key, partition, bounds, after=after)
        if not isinstance(found, Bundle):
            return found
        return {
            "receipt": found.receipt and found.receipt.text,
            "ids": [one.delivery_id for one in found.copies],
            # As texts: a JSON value would not come out byte for byte as it was signed into the journal.
            "bodies": [one.body.decode() for one in found.copies],
            "sequences": [str(one) for one in found.places],
            "gaps": [
                gap and gap.text(place.partition) for gap, place in zip(found.gaps, found.places, strict=True)
            ],
            "more": found.more,
        }

    async def _acknowledge(self, key: LaneKey, partition: int, question: Mapping[str, Any]) -> Any:
        found = await self.mailbox.acknowledge(key, _receipt(question["receipt"], partition))
        if not isinstance(found, Acknowledged):
            return found
        return {"settled": found.settled, "before": found.before, "under_way": found.under_way}


def _receipt(text: str, partition: int) -> Receipt:
    found = Receipt.parse(text)
    if found is None or found.partition != partition:
        raise ValueError("not a receipt of this partition")
    return found


def plain(own: OwnLane) -> dict[str, Any]:
    """Return how a lane stands in the words of the published answer."""
    return {
        "channel": own.channel,
        "state": own.standing.value,
        "delivery": "pull" if own.pulled else "both",
        "waitsBy": own.order,
        "waiting": own.parked + own.in_memory,
        "oldestAt": own.oldest_at and format_instant(own.oldest_at),
        "failures": own.failures,
        "failingSince": own.failing_since and format_instant(own.failing_since),
        "lastError": own.last_error,
        "nextTryAt": own.next_try_at and format_instant(own.next_try_at),
        "callsAtATimeMax": own.calls_max,
        "callsPerMinute": own.calls_per_min,
        "catchUpPerSecond": own.catch_up_per_s,
    }
