"""What a careful sender does when it meets a fault: the vocabulary of the table, and of the tests that use it."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.simulator.hostile.speaking import Handler


class Expected(StrEnum):
    """What becomes of a message that meets the fault."""

    DELIVERED = "delivered"
    """The status says so, whatever else is wrong with the answer."""
    RETRIED = "kept, tried again after growing pauses"
    WAITS = "kept, tried on a slow schedule: somebody has to mend the endpoint's set-up"
    REJECTED = "not tried again: dead letter, and a report to the message's sender"
    OURS = "kept, tried again, and not held against the recipient: the fault is the sender's own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to go wrong. `number` is the test of docs/DELIVERY-TESTS.md.

    `notes` is the class of error that the router's log gives it, if any. One that `hangs` ends only by the
    patience of the sender; one that `lingers` goes on after its answer, and meets whoever uses the connection next.
    `then` is what becomes of the same message at its next try, where that differs.
    """

    name: str
    number: int
    does: str
    expected: Expected
    notes: str = ""
    hangs: bool = False
    lingers: bool = False
    then: Expected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFault(Fault):
    """A fault in an answer: a path of the server. With `early` it is met before the body was read."""

    handler: Handler
    early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFault(Fault):
    """A fault of connection or certificate: a port of the server. `make` names how it is made (`tls`)."""

    make: str
