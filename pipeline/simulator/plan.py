"""What the market is going to send: messages, the POSTs that carry them, and what must come of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.simulator.cast import Player
from pipeline.simulator.model import Expectation


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message before it is written: what differs from the sample of its event.

    `fills` are values by dotted path below `payload.CustomBlock`; None there takes an optional block away.
    """

    reference: str
    interface: str
    event: str
    sender: Player
    expectation: Expectation
    mpan: str | None = None
    distributor: str = ""
    gsp_group: str = ""
    primary: tuple[str, ...] = ()
    fills: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A recipient's later objection to a message it was given (POST /statusmessage)."""

    about: str
    by: Player
    to: Player
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One array for one channel, posted when every message of `after` was seen by a recipient.

    `posts` above 1 is a sender that lost the answer and sends the same bytes again.
    """

    channel: str
    poster: Player
    drafts: tuple[Draft, ...]
    after: frozenset[str] = frozenset()
    posts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A message sent a second time under the same reference, alone; `changed` gives it another body (MSG1006)."""

    draft: Draft
    changed: bool
    after: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarks:
    """One array for /statusmessage, posted when every message it speaks of was seen."""

    by: Player
    remarks: tuple[Remark, ...]
    after: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadPost:
    """A POST that must be refused as a whole: the status, and the code in its answer where it has a body.

    `fault` names a case of `faults`; the draft is what would have been sent without it.
    """

    fault: str
    draft: Draft
    status: int
    code: str | None


Item = Parcel | Again | Remarks | BadPost


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A day: `flows` depend on what was seen before them, `stream` may be sent at any time, in order."""

    flows: tuple[Item, ...]
    stream: tuple[Item, ...]


def size(item: Item) -> int:
    """Return how many messages one item hands in."""
    match item:
        case Parcel():
            return len(item.drafts) * item.posts
        case Remarks():
            return len(item.remarks)
        case Again() | BadPost():
            return 1


def prerequisites(item: Item) -> frozenset[str]:
    """Return the references that must have been seen before an item is sent."""
    return frozenset() if isinstance(item, BadPost) else item.after
