"""The product's router on real Kafka: what it does with good and bad records, and that no crash changes it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline import topics
from pipeline.codec import FRAME
from tests.chaos import faults
from tests.support.router_rig import RouterRig

pytestmark = pytest.mark.kafka


@pytest.fixture
def rig(stack: Any, private_broker: Callable[..., Any], tmp_path: Path) -> Iterator[RouterRig]:
    made = RouterRig(private_broker().bootstrap, stack.registry_url, tmp_path / "router")
    yield made
    made.close()


def test_records_that_nobody_can_read_do_not_stop_the_others(rig: RouterRig) -> None:
    """The bad record is kept with its bytes and its reason; everything else flows, exactly once."""
    unknown_schema = FRAME.pack(0, 987654) + b"whatever"
    rig.put_raw(topics.INBOUND, b"no frame at all", b"x")
    rig.put_raw(topics.INBOUND, unknown_schema, b"y")
    rig.start_worker()
    rig.feed(120)
    rig.settle(within_s=90)
    rig.verify()

    letters = {one.value(): dict(one.headers()) for one in rig.read(topics.DEAD_LETTER_VALIDATION)}
    assert set(letters) == {b"no frame at all", unknown_schema}
    assert b"unknown schema id 987654" in letters[unknown_schema]["dlq.error"]
    assert letters[unknown_schema]["dlq.topic"] == topics.INBOUND.encode()
    assert letters[unknown_schema]["dlq.stage"]
    assert not rig.read(topics.STATUS), "nobody can be told of a record without a sender"


def test_a_sender_is_told_what_became_of_a_message_that_cannot_be_addressed(rig: RouterRig) -> None:
    """Unknown MPAN: MSG1037 to the sender's status channel, the message kept."""
    rig.start_worker()
    rig.feed(20)
    rig.settle(within_s=90)
    body = orjson.loads(rig.messages[1].body)
    body["payload"]["CommonBlock"]["M0"]["MPANCore"] = "9900000000001"
    body["payload"]["CommonBlock"]["S1"]["senderUniqueReference"] += "x"
    stray = rig._taken(body, body["payload"]["CommonBlock"]["S0"]["interfaceID"])
    rig.put_raw(topics.INBOUND, rig.codec.encode_message(stray), b"z")
    rig.start_worker()
    faults.until(lambda: bool(rig.read(topics.STATUS)), within_s=60, what="the report is written")
    rig.stop()

    (report,) = [rig.codec.decode_copy(one.value()) for one in rig.read(topics.STATUS)]
    told = orjson.loads(report.body)
    assert told["message"].startswith("MSG1037 - ")
    assert told["transactionID"] == stray.transaction_id
    (letter,) = rig.read(topics.DEAD_LETTER_ADDRESSING)
    assert rig.codec.decode_message(letter.value()) == stray


@pytest.mark.parametrize("point", ["flushed", "committed"])
def test_a_router_killed_at_a_point_of_a_round_loses_and_doubles_nothing(rig: RouterRig, point: str) -> None:
    """Two points here, the most telling ones; `make chaos` takes all five, and more often."""
    faults.kill_at_point(rig, point, times=2, records=400, per_s=100)


def test_a_router_killed_at_random_times_loses_and_doubles_nothing(rig: RouterRig) -> None:
    faults.kill_at_random(rig, times=2, records=500, per_s=100, seed=5)


def test_a_second_router_that_joins_leaves_and_dies_loses_and_doubles_nothing(rig: RouterRig) -> None:
    faults.join_and_leave(rig, cycles=1, records=1500, per_s=80)
