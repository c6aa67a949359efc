"""What each step of the router costs, in CPU microseconds a message: the real steps on tables in memory.

    .venv/bin/python -m benchmarks.router_steps

An IF-021 of 4.5 kB goes to the recipients that the tables name. Kafka, RocksDB and the engine are not in it:
`dip bench engine` has those.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

import orjson
from opentelemetry.sdk.trace import TracerProvider

from agents.addressing import Addressing
from agents.audit import audited
from agents.loop import Emission
from agents.quarantine import Quarantine
from agents.tracing import HEADER, TracedStep
from agents.validation import Validation
from benchmarks.bridge_steps import Step
from pipeline.adapters.tracing import OtelTraces
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.addressing import Addressed, address
from pipeline.domain.envelope import Copy, Message, Stage, Status
from pipeline.domain.fanout import fan_out
from pipeline.intake import Gate, default_terms, take_bytes
from tests.support.bridge import NOW, FixedClock, FixedParticipants, catalogue, codec
from tests.support.builders import DATA_SERVICE, market, ordinary_history
from tests.support.world import BusRecord, TableFake

MESSAGES: Final = 400
MPANS: Final = 100
IF_021: Any = "IF-021"
EVENT: Any = "ActivePower"
CONTEXT: Final = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def main() -> None:
    """Print one line a step."""
    print("CPU us a message")
    for step in steps():
        print(f"{step.name:44}{step.cpu_us():>7.1f}")


def steps() -> list[Step]:
    """Prepare the steps and their parts."""
    facts, written = catalogue(), codec()
    people, clock = FixedParticipants(market()), FixedClock(NOW)
    tables = {mpan_of(number).encode(): ordinary_history() for number in range(MPANS)}
    messages = [taken(number) for number in range(MESSAGES)]
    records = [record_of(message, written) for message in messages]
    addressing = Addressing(
        codec=written,
        catalogue=facts,
        participants=people,
        clock=clock,
        appointments=tables,
        quarantine=Quarantine(rows=TableFake()),
    )

    def validate(record: Any) -> list[Emission]:
        """Run the step on a reference that was never seen."""
        step = Validation(
            codec=written,
            catalogue=facts,
            participants=people,
            clock=clock,
            seen={},
            terms=default_terms(),
        )
        return list(step(record))

    def addressed(message: Message) -> Addressed:
        assert message.mpan is not None
        history = tables[message.mpan.encode()]
        routing = facts.channels[IF_021].routing(EVENT, NOW)
        found = address(message, routing=routing, history=history, participants=people.current())
        assert isinstance(found, Addressed), found
        return found

    def copies(message: Message) -> tuple[Copy, ...]:
        correlation = facts.correlation(IF_021, EVENT)
        outcome = addressed(message)
        return fan_out(message, outcome, routed_at=NOW, publication="PUB-021", correlation=correlation)

    made = [copies(message) for message in messages]
    sent = [[written.encode_copy(one) for one in some] for some in made]

    def audit(message: Message) -> object:
        return audited(
            written, message, record=records[0], now=NOW, stage=Stage.INBOUND, status=Status.GOOD_TO_GO
        )

    named = [replace(one, header_list=[(HEADER, CONTEXT)]) for one in records]
    traces = OtelTraces(TracerProvider(shutdown_on_exit=False))
    traced_validation = TracedStep(traces, "validation", validate)
    traced_addressing = TracedStep(traces, "addressing", addressing)
    return [
        Step(name="validation: all", run=validate, inputs=records),
        Step(name="  with its span (DIP_TRACES)", run=lambda one: list(traced_validation(one)), inputs=named),
        Step(name="  read the envelope", run=reading_of(written.decode_message), inputs=records),
        Step(name="  audit record", run=audit, inputs=messages),
        Step(
            name=f"addressing: all, {len(made[0])} copies",
            run=lambda one: list(addressing(one)),
            inputs=records,
        ),
        Step(name="  read the envelope", run=reading_of(written.decode_message), inputs=records),
        Step(name="  with its span (DIP_TRACES)", run=lambda one: list(traced_addressing(one)), inputs=named),
        Step(name="  who gets it", run=addressed, inputs=messages),
        Step(name="  the same, and its copies", run=copies, inputs=messages),
        Step(name="  write the copies", run=lambda some: [*map(written.encode_copy, some)], inputs=made),
        Step(
            name="delivery: read the copies", run=lambda some: [*map(written.decode_copy, some)], inputs=sent
        ),
    ]


def reading_of(decode: Callable[[bytes], object]) -> Callable[[BusRecord], object]:
    """Return what decodes the value of a record."""
    return lambda record: decode(record.value())


def mpan_of(number: int) -> str:
    """Return one of the MPANs that the messages are about."""
    return f"20000000{number % MPANS:05d}"


def taken(number: int) -> Message:
    """Return what the bridge makes of a valid IF-021."""
    overrides = {
        "CommonBlock.M0.MPANCore": mpan_of(number),
        "CommonBlock.S1.senderDIPID": DATA_SERVICE,
        "CommonBlock.S1.senderRoleID": "SDS",
        "CommonBlock.S1.DIPConnectionProviderID": None,
        "CommonBlock.S1.senderUniqueReference": f"S-IF-021-{DATA_SERVICE}-SDS-20260105-{number}",
    }
    body = orjson.dumps(sample(catalogue(), IF_021, EVENT, Random(number), sent_at=NOW, overrides=overrides))
    gate = Gate(participants=market())
    found = take_bytes(catalogue(), body, channel=IF_021, received_at=NOW, gate=gate)
    assert isinstance(found, Message), found
    return found


def record_of(message: Message, written: Codec) -> BusRecord:
    """Return the record of a message on `dip.inbound`, and on `dip.validated`."""
    return BusRecord(
        topic_name="",
        partition_number=0,
        offset_number=0,
        key_bytes=b"",
        value_bytes=written.encode_message(message),
    )


if __name__ == "__main__":
    main()
