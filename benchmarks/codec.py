"""What the codec of the hot envelopes costs, in CPU microseconds a record: written and read, each kind of record.

    .venv/bin/python -m benchmarks.codec

Messages arrive in arrays of ten and have four recipients. Instants are as varied as they are on the topics: those of an
array and those of the copies of one message are alike, and there are more of them than anything remembers.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

from msgspec.structs import replace

from benchmarks.bridge_steps import Step
from benchmarks.journal import CODEC, records, sent_copies
from benchmarks.router_steps import taken
from pipeline.domain.envelope import Copy, Message, Stage
from tests.support.bridge import NOW

MESSAGES: Final = 2_000
ARRAY: Final = 10


def main() -> None:
    """Print a line for each kind of record."""
    print(f"{'CPU us a record':44}{'bytes':>7}{'write':>7}{'read':>7}{'head':>7}")
    for name, values, write, reads in kinds():
        written = [*map(write, values)]
        row = [len(written[0]), costs(write, values), *(costs(read, written) for read in reads)]
        print(f"{name:44}{row[0]:>7}" + "".join(f"{one:>7.2f}" for one in row[1:]))


def costs(run: Callable[[Any], object], inputs: list[Any]) -> float:
    """Return CPU us of a call, over all inputs in turn."""
    return Step(
        name="", run=lambda all_of: [*map(run, all_of)], inputs=[inputs], messages_each=len(inputs)
    ).cpu_us()


def kinds() -> Iterator[tuple[str, list[Any], Callable[[Any], bytes], list[Callable[[bytes], object]]]]:
    """Yield each kind of record: its name, values, what writes them, what reads them."""
    messages = range(MESSAGES)
    said = [*records(messages)]
    whole = [CODEC.decode_audit, CODEC.decode_audit_head]
    copies = [CODEC.decode_copy, CODEC.decode_copy_head]
    yield (
        "message, 4.5 kB",
        [message(number) for number in messages],
        CODEC.encode_message,
        [CODEC.decode_message],
    )
    yield (
        "copy",
        [timed(one, number // 4) for number, one in enumerate(sent_copies(messages))],
        CODEC.encode_copy,
        copies,
    )
    for stage, name in AUDITS.items():
        yield f"audit, {name}", [one for one in said if one.stage is stage], CODEC.encode_audit, whole


AUDITS: Final = {
    Stage.INBOUND: "received",
    Stage.ADDRESSING: "routed to four",
    Stage.OUTBOUND: "an array of ten delivered",
}


def message(number: int) -> Message:
    """Return a message that arrived in an array."""
    return replace(taken(number), received_at=NOW + timedelta(milliseconds=number // ARRAY))


def timed(copy: Copy, number: int) -> Copy:
    """Return a copy of the message of that number, routed at a time of its own."""
    received_at = NOW + timedelta(milliseconds=number // ARRAY)
    return replace(
        copy, received_at=received_at, routed_at=NOW + timedelta(seconds=1, microseconds=400 * number)
    )


if __name__ == "__main__":
    main()
