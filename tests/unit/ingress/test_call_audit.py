"""Every call in the audit once: answered, refused, by a stranger; who, what and how much, and no payload."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import orjson
import pytest

from pipeline import limits
from pipeline.adapters.producer import Outgoing, Publication
from pipeline.domain.envelope import AuditRecord
from pipeline.domain.identifiers import InterfaceId
from pipeline.ingress.call_audit import CallAudit
from pipeline.ingress.calls import Tally
from pipeline.ingress.routes import Operation
from tests.support.bridge import (
    NOW,
    OTHER,
    SENDER,
    SUPPLIER,
    FixedClock,
    Recorder,
    World,
    array,
    codec,
    open_world,
    reading,
)
from tests.support.journal_rig import JournalRig
from tests.support.shards import SECRET

REPLAY = f"/dip-channel/IF-021/replay/{SENDER.id}"
REQUEST = {"datetimeFrom": None, "datetimeTo": None, "eventCode": None, "MPAN": None, "version": None}


async def written(world: World) -> list[AuditRecord]:
    """Return the records of calls: those written beside answers, and those published with what they changed."""
    await world.bridge.finish()
    for _ in range(5):
        await asyncio.sleep(0)
    values = [
        one.value or b""
        for one in (*world.publisher.noted, *world.publisher.records)
        if one.topic == "dip.audit"
    ]
    return [codec().decode_audit(one) for one in values]


def brief(one: AuditRecord) -> tuple[Any, ...]:
    return one.sender_id, one.operation, one.channel, one.status_code


async def test_an_accepted_array_is_one_call(world: World) -> None:
    body = array(reading(1), reading(2))
    await world.post(body)
    (one,) = await written(world)
    assert brief(one) == (SENDER.id, "submitMessages", "IF-021", 201)
    assert (one.messages, one.bytes) == (2, len(body))
    assert one.transaction_id is None, "the messages have records of their own"
    assert b"2000056535971" not in world.publisher.noted[0].value


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"path": REPLAY, "body": REQUEST}, (SENDER.id, "replayMessages", "IF-021", 200)),
        ({"path": REPLAY, "body": {}}, (SENDER.id, "replayMessages", "IF-021", 400)),
        ({"path": REPLAY, "body": REQUEST, "party": OTHER}, (OTHER.id, "replayMessages", "IF-021", 403)),
        ({"path": "/dip-channel/if-021", "body": []}, (SENDER.id, "submitMessages", "IF-021", 400)),
        ({"path": REPLAY, "body": REQUEST, "headers": {"Content-Type": "text/plain"}},
         (SENDER.id, "replayMessages", "IF-021", 415)),
        ({"path": REPLAY, "body": REQUEST, "headers": {"X-API-Key": "nobody-knows-this-key"}},
         (None, "replayMessages", "IF-021", 401)),
        ({"path": f"/dip-channel/IF-021/pubconfig/{SUPPLIER.id}", "party": SUPPLIER,
          "body": {"callbackURL": "https://hooks.supplier.example/dip"}},
         (SUPPLIER.id, "configureWebhook", "IF-021", 201)),
        ({"path": "/companyDetails", "method": "GET"}, (SENDER.id, "readCompanyDetails", "status", 200)),
    ],
)  # fmt: skip
async def test_every_call_has_one_record_whatever_it_was_answered(
    call: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    world = await open_world(shards=JournalRig().worker.client(), shard_secret=SECRET)
    made = {"method": "POST", "party": SENDER} | call
    body = orjson.dumps(made.pop("body")) if "body" in made else b""
    answer = await world.call(made.pop("method"), made.pop("path"), body, **made)
    assert answer.status == expected[-1]
    (one,) = await written(world)
    assert brief(one) == expected
    await world.close()


async def test_what_finds_no_room_is_told_with_the_next() -> None:
    """Kafka is away while calls are answered that need none of it: the gap is counted, and shows."""
    publisher = Recorder(failure="no broker")
    world = await open_world(publisher=publisher)
    for _ in range(3):
        await world.call("GET", "/companyDetails")
    await world.bridge.finish()
    publisher.noted.clear()
    publisher.failure = None
    await world.call("GET", "/companyDetails")
    (one,) = await written(world)
    assert one.left_out == 3
    await world.close()


async def test_answers_do_not_wait_for_the_audit(world: World) -> None:
    """A call is answered while its record is still being gathered."""
    assert (await world.post(array(reading(1)))).status == 201
    assert not world.publisher.noted
    assert limits.CALLS_NOTED_EVERY_S > 0
    assert len(await written(world)) == 1


async def test_many_calls_are_written_in_several_goes_and_each_once() -> None:
    """The loop is held up for so many records at a time; their times are those of the calls."""
    publisher, clock = Goes(), FixedClock()
    audit = CallAudit(publisher=publisher, encoder=codec(), clock=clock, at_once_max=2)
    for number in range(5):
        clock.at = NOW + timedelta(seconds=number)
        audit.note(
            SENDER.id,
            Operation.SUBMIT,
            InterfaceId("IF-021"),
            HTTPStatus.CREATED,
            Tally(messages=number),
            duration_ms=7,
        )
    clock.at = NOW + timedelta(hours=1)
    await audit.close()
    assert [len(one) for one in publisher.goes] == [2, 2, 1]
    records = [codec().decode_audit(one.value or b"") for go in publisher.goes for one in go]
    assert [(one.at, one.messages) for one in records] == [
        (NOW + timedelta(seconds=number), number) for number in range(5)
    ]
    assert {brief(one) for one in records} == {(SENDER.id, "submitMessages", "IF-021", 201)}


class Goes(Recorder):
    """Keeps what it is given apart by publication."""

    def __init__(self) -> None:
        super().__init__()
        self.goes: list[Sequence[Outgoing]] = []

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        self.goes.append(records)
        return await super().publish(records)
