"""What each step inside the bridge costs, in CPU microseconds a message: the real functions on prepared input.

    .venv/bin/python -m benchmarks.bridge --steps

Each step runs over the same arrays one after the other, warm; in a process that does everything in turn, each costs
up to half as much again. Compare the rows with each other and not with the process. The rows "long way" are what
a message costs that the quick reader does not say yes to, and what it would cost without it.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pipeline.catalogue.days import read_days
from pipeline.domain.envelope import Message
from pipeline.domain.fanout import Correlation
from pipeline.domain.header_rules import Header, check_header
from pipeline.domain.headers import read_message
from pipeline.domain.responses import standard_response
from pipeline.domain.signing import Policy, content_hash, verify
from pipeline.ingress.identity import Identity
from pipeline.ingress.slicing import Slicer, read_message_text
from pipeline.ingress.submission import Acceptable, Circumstances, judge
from pipeline.intake import Gate
from tests.support.bridge import EVERYBODY, NOW, SENDER, array, catalogue, certificate_of, codec, reading

SIZES: Final = (1, 10, 100)
ROUNDS: Final = 5
MESSAGES: Final = 400  # a round of one step: some 10 ms
URL: Final = "https://127.0.0.1:8443/dip-channel/IF-021"
IF_021: Any = "IF-021"
EVENT: Any = "ActivePower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: `run` is called once for each of the `inputs`, which hold so many messages each."""

    name: str
    run: Callable[[Any], object]
    inputs: list[Any]
    messages_each: int = 1

    def cpu_us(self) -> float:
        """Return the CPU time a message, the median of some rounds."""
        self.run(self.inputs[0])
        return statistics.median(self._round() for _ in range(ROUNDS))

    def _round(self) -> float:
        started = time.process_time()
        for one in self.inputs:
            self.run(one)
        return (time.process_time() - started) * 1e6 / (len(self.inputs) * self.messages_each)


def measure() -> dict[str, dict[int, float]]:
    """Return CPU us a message by step and array size."""
    table: dict[str, dict[int, float]] = {}
    for size in SIZES:
        for step in steps(size):
            table.setdefault(step.name, {})[size] = step.cpu_us()
    return table


def print_table(table: dict[str, dict[int, float]]) -> None:
    """Print one line a step; the share is of all steps in arrays of 10."""
    whole = table["judge: the whole array"][10] + table["signature: verify"][10]
    print(
        f"{'CPU us a message, in arrays of':44}" + "".join(f"{size:>7}" for size in SIZES) + "   share at 10"
    )
    for name, row in table.items():
        share = "" if "long way" in name else f"{row[10] / whole:>10.0%}"
        print(f"{name:44}" + "".join(f"{row[size]:>7.1f}" for size in SIZES) + share)


def steps(size: int) -> list[Step]:
    """Prepare every step for arrays of a size."""
    facts, encoder, cut = catalogue(), codec(), Slicer(max(SIZES))
    about = Circumstances(
        channel=IF_021,
        identity=Identity(key_owners=frozenset({SENDER.id}), signers=frozenset({SENDER.id})),
        gate=Gate(participants=EVERYBODY),
        now=NOW,
    )
    numbers = range(0, MESSAGES, size)
    bodies = [array(*map(reading, range(first, first + size))) for first in numbers]
    sliced = [cut(body) for body in bodies]
    raws = [raw for one in sliced for raw in one.messages]  # type: ignore[union-attr]  # they are arrays
    values = [orjson.loads(raw) for raw in raws]
    judged = [judge(one, about, catalogue=facts, encoder=encoder) for one in sliced]  # type: ignore[arg-type]  # as above
    answers = [one.answers for one in judged if isinstance(one, Acceptable)]
    messages = [message_of(value, raw) for value, raw in zip(values, raws, strict=True)]
    signed = [(SENDER.headers(URL, body), body) for body in bodies]
    policy = Policy(skew_s=300)
    allowed = {certificate_of(SENDER.id).fingerprint}
    paths = facts.date_paths(IF_021, EVENT)
    headers = [header_of(value) for value in values]
    return [
        Step(
            name="signature: verify",
            run=lambda one: verify("POST", (URL,), *one, allowed=allowed, policy=policy, now=NOW),
            inputs=signed,
            messages_each=size,
        ),
        Step(name="  of it the hash", run=content_hash, inputs=bodies, messages_each=size),
        Step(name="judge: cut the array", run=cut, inputs=bodies, messages_each=size),
        Step(name="judge: parse and validate", run=lambda raw: facts.read_plain(raw, IF_021), inputs=raws),
        Step(name="judge: days", run=lambda value: read_days(paths, (), value, NOW), inputs=values),
        Step(
            name="judge: header rules",
            run=lambda header: check_header(header, about.gate.terms, about.gate.checks),
            inputs=headers,
        ),
        Step(
            name="judge: message, its hash and ids",
            run=lambda one: message_of(*one),
            inputs=list(zip(values, raws, strict=True)),
        ),
        Step(name="judge: Avro", run=encoder.encode_message, inputs=messages),
        Step(
            name="judge: the whole array",
            run=lambda body: judge(cut(body), about, catalogue=facts, encoder=encoder),  # type: ignore[arg-type]  # as above
            inputs=bodies,
            messages_each=size,
        ),
        Step(
            name="answer",
            run=lambda bodies: orjson.dumps(standard_response(bodies, NOW)),
            inputs=answers,
            messages_each=size,
        ),
        Step(name="(long way: parse strictly)", run=read_message_text, inputs=raws),
        Step(
            name="(long way: validate)", run=lambda value: facts.check(value, channel=IF_021), inputs=values
        ),
    ]


def message_of(value: Any, raw: bytes) -> Message:
    """Make the message of a body, as the intake does."""
    return read_message(
        value,
        body=raw,
        interface=IF_021,
        event=EVENT,
        received_at=NOW,
        applicable=(NOW,),
        checked_against="x",
        exact_case=True,
    )


def header_of(value: Any) -> Header:
    """Return what the header rules look at."""
    facts = catalogue()
    return Header(
        common=value["payload"]["CommonBlock"],
        s1=value["payload"]["CommonBlock"]["S1"],
        interface=IF_021,
        sender_roles=facts.channels[IF_021].sender_roles,
        answers=facts.correlation(IF_021, EVENT) is Correlation.COPY,
        participants=EVERYBODY,
        now=NOW,
    )


if __name__ == "__main__":
    print_table(measure())
