"""A request on its way through the bridge."""

from dataclasses import dataclass, field

from aiohttp import web

from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId
from pipeline.domain.participants import Participants
from pipeline.ingress.calls import Tally
from pipeline.ingress.encodings import Packing
from pipeline.ingress.identity import Caller
from pipeline.ingress.route_table import Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request that may be worked on: which call it is, and by whom."""

    request: web.BaseRequest
    match: Match
    caller: Caller
    participants: Participants
    packing: Packing | None
    tally: Tally = field(default_factory=Tally)

    @property
    def channel(self) -> InterfaceId:
        """Return the channel the call is about; all that is about no channel counts as status messages."""
        return channel_of(self.match)


def channel_of(match: Match) -> InterfaceId:
    """Return the channel a call is about; all that is about no channel counts as status messages."""
    return InterfaceId(match.path.get("id") or match.path.get("interface") or STATUS_CHANNEL)
