"""`GET .../explain/...`: the asker's own part of the answer, from the router that owns the MPAN; nothing in doubt."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from agents.explaining import Explaining
from pipeline.domain.appointments import History
from pipeline.domain.participants import Participants
from pipeline.domain.routing import Slot
from pipeline.domain.shards import partition_of
from tests.support.bridge import (
    EVERYBODY,
    OTHER,
    SENDER,
    SUPPLIER,
    FixedParticipants,
    Party,
    World,
    catalogue,
    open_world,
)
from tests.support.builders import DISTRIBUTOR, MPAN, ROLES, day, history, holds, participant
from tests.support.shards import PARTITIONS, OneWorker

TOLD = history(
    holds(Slot.SUPPLIER, SUPPLIER.id, day(1)),
    holds(Slot.DISTRIBUTOR, DISTRIBUTOR, day(1)),
    holds(Slot.DATA_SERVICE, SENDER.id, day(1)),
    recorded_at=day(1),
    source="load-7",
)


@dataclass
class Table:
    """The rows that a router holds, by partition."""

    rows: dict[bytes, History] = field(default_factory=lambda: {MPAN.encode(): TOLD})

    def committed(self, key: bytes, partition: int) -> History | None:
        assert partition == partition_of(key, PARTITIONS), "the bridge asks the owner of the key"
        return self.rows.get(key)


@pytest.fixture
def worker() -> OneWorker:
    central = [participant(one, role) for one, role in ROLES.items() if one not in EVERYBODY]
    everybody = FixedParticipants(Participants([*EVERYBODY.values(), *central]))
    explaining = Explaining(catalogue=catalogue(), participants=everybody, appointments=Table())
    return OneWorker((explaining.book(),))


@pytest.fixture
async def asked(worker: OneWorker) -> AsyncIterator[World]:
    world = await open_world(shards=worker.client())
    yield world
    await world.close()


def readings(party: Party = SUPPLIER, **query: str) -> str:
    asked = {"MPAN": MPAN, "event": "ActivePower"} | query
    written = urlencode({name.replace("_", "-"): value for name, value in asked.items()})
    return f"/dip-channel/if-021/explain/{party.id}?{written}"


async def test_a_holder_sees_the_rule_and_its_own_row(asked: World) -> None:
    answer = await asked.call("GET", readings(), party=SUPPLIER)
    assert answer.status == 200, answer.headers
    (own,) = answer.value["recipients"]
    assert own["id"] == SUPPLIER.id
    (why,) = [one for one in own["reasons"] if one["row"]]
    assert (why["row"]["holder"], why["row"]["source"]) == (SUPPLIER.id, "load-7")
    assert DISTRIBUTOR not in str(answer.value)
    assert SENDER.id not in str(answer.value)


async def test_who_gets_no_copy_learns_nothing_else(asked: World) -> None:
    """Not even whether the MPAN exists: both answers are the same."""
    stranger = await asked.call("GET", readings(OTHER), party=OTHER)
    nowhere = await asked.call("GET", readings(OTHER, MPAN="9900000000001"), party=OTHER)
    assert stranger.status == nowhere.status == 404
    assert stranger.help == nowhere.help


async def test_the_answer_of_an_earlier_day_or_an_earlier_knowledge(asked: World) -> None:
    before = await asked.call("GET", readings(date="2020-01-01"), party=SUPPLIER)
    unknown = await asked.call(
        "GET", readings(as_known_at="2020-01-01T00:00:00.000001+00:00"), party=SUPPLIER
    )
    later = await asked.call("GET", readings(date="2026-02-01"), party=SUPPLIER)
    assert [one.status for one in (before, unknown, later)] == [404, 404, 200]


async def test_nobody_asks_for_another(asked: World) -> None:
    assert (await asked.call("GET", readings(SUPPLIER), party=OTHER)).status == 403


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"MPAN": "123"}, "MPAN"),
        ({"MPAN": ""}, "MPAN"),
        ({"event": "NoSuchEvent"}, "event"),
        ({"date": "yesterday"}, "date"),
        ({"date": "2026-02-30"}, "date"),
        ({"as_known_at": "2026-01-05T00:00:00"}, "as-known-at"),
    ],
)
async def test_a_wrong_question_is_400_and_names_the_parameter(
    query: dict[str, str], named: str, asked: World
) -> None:
    answer = await asked.call("GET", readings(**query), party=SUPPLIER)
    assert answer.status == 400
    assert named in answer.help


async def test_while_the_partition_moves_it_is_503_and_never_a_guess(asked: World, worker: OneWorker) -> None:
    held, worker.held = worker.held, set()
    answer = await asked.call("GET", readings(), party=SUPPLIER)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    worker.held = held
    assert (await asked.call("GET", readings(), party=SUPPLIER)).status == 200


async def test_a_router_without_a_way_to_ask_says_so(world: World) -> None:
    answer = await world.call("GET", readings(), party=SUPPLIER)
    assert answer.status == 501
    assert "DIP_SHARD_SECRET" in answer.help
