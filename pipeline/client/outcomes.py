"""What comes of a call, as values: the compiler can see that a caller thought of each."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.client.responses import Body, StandardResponse

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """201: the DIP has every message, durably. Each result names the transaction id it gave."""

    response: StandardResponse
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PartlyAccepted:
    """207: some messages were taken, some refused. Only after the caller opted in.

    Mend the refused ones and send them alone; to send the whole array again is harmless.
    """

    response: StandardResponse
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[T_co]):
    """2xx with what was asked for."""

    status: int
    value: T_co
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The DIP will not do this however often it is asked: something must be changed first.

    `results` has a Body per refused message on a 400, `help` is the text that says what to do. A 429 is only
    here where a call must not be repeated by itself; `retry_after_s` is then what the DIP asked for.
    """

    status: int
    help: str = ""
    results: tuple[Body, ...] = ()
    content: bytes = field(default=b"", repr=False)
    retry_after_s: float | None = None
    tries: int = 1

    def codes(self) -> frozenset[str]:
        """Return the leading codes of all results."""
        return frozenset(one.code for one in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """No final answer within the time given. Whether the DIP has it is not known.

    For messages: send the same bytes again, later; the DIP recognises what it has by the reference and
    delivers it once. `status` is the last answer's, None where there was none.
    """

    reason: str
    status: int | None = None
    retry_after_s: float | None = None
    tries: int = 1


Submission = Accepted | PartlyAccepted | Refused | Unsettled
