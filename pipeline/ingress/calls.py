"""What an operation is given, and what it may answer: a call that is who it says it is, and values, not responses."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

from pipeline.adapters.producer import Outgoing
from pipeline.domain.participants import Participants
from pipeline.ingress.identity import Caller, Identity
from pipeline.ingress.outside import Shards
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.routes import Route
from pipeline.ingress.submission import Acceptable, Fault, Invalid


@dataclass(slots=True)
class Tally:
    """What a call turned out to hold; its caller is charged for it, whatever the answer is."""

    messages: int = 0
    bytes_read: int = 0
    bytes_unpacked: int = 0
    noted: bool = False
    """Whether the audit has a record of the call already: its refusal, or what it changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call whose caller is known and, where the route asks for it, whose signature is right.

    `path` are the parameters in the path, percent-decoded; names in `query` and `headers` do not care about letter
    case. `identity` is None for calls that are not signed. `content` is the body, unpacked.
    """

    route: Route
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    caller: Caller
    identity: Identity | None
    participants: Participants
    content: bytes = field(repr=False)
    now: datetime
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that changes nothing. `value` is its JSON, None for no body.

    `faults` are what is wrong, for clients that take problem+json and for the audit; `headers` are what the call adds.
    """

    status: HTTPStatus
    value: Any = None
    faults: tuple[Fault, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was asked for holds as soon as the records are durable; the answer has no body."""

    status: HTTPStatus
    records: tuple[Outgoing, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """Workers have to be asked. `answer` asks them, beside nothing else, and returns what follows."""

    answer: Callable[[Shards], Awaitable["Outcome | Later"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """There is nothing to say yet: ask again after a while, in which nothing is held but the connection.

    `instead` is said where as many calls wait as may.
    """

    after_s: float
    then: Asks
    instead: "Outcome"


Outcome = Acceptable | Asks | Invalid | Recorded | Refusal | Reply


class Handler(Protocol):
    """One call's own rules: no waiting, no IO; it may run in a thread."""

    def __call__(self, call: Call) -> Outcome:
        """Judge a call: what to store and what to answer."""
        ...
