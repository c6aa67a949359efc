"""Questions to routers on real Kafka: right while one joins and while one dies, or no answer at all."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.shard_client import Answered, ShardClient
from pipeline.adapters.shard_feed import ShardFeed
from pipeline.domain.shards import APPOINTMENTS
from tests.chaos import faults
from tests.support.builders import OTHER_SUPPLIER
from tests.support.router_rig import CHANGE, MPANS, PARTITIONS, RECEIVED, SHARD_SECRET, RouterRig

pytestmark = pytest.mark.kafka


@pytest.fixture
def rig(stack: Any, private_broker: Callable[..., Any], tmp_path: Path) -> Iterator[RouterRig]:
    made = RouterRig(private_broker().bootstrap, stack.registry_url, tmp_path / "router")
    yield made
    made.close()


@pytest.fixture
def owners(rig: RouterRig) -> Iterator[ShardFeed]:
    feed = ShardFeed(rig.settings, rig.codec)
    feed.start()
    yield feed
    feed.stop()


def question(mpan: str) -> dict[str, Any]:
    return {
        "what": "explain", "participant": OTHER_SUPPLIER, "channel": "IF-021", "event": "ActivePower", "mpan": mpan,
        "day": None, "as_known_at": None, "now": RECEIVED.isoformat(),
    }  # fmt: skip


async def ask_all(owners: ShardFeed) -> tuple[int, int]:
    """Ask about every MPAN; return how many answers there were, and how many of them were right."""
    asking = ShardClient(owners, secret=SHARD_SECRET, partitions=PARTITIONS, clock=SystemClock())
    try:
        found = await asyncio.gather(
            *(asking.ask(APPOINTMENTS, one.encode(), question(one)) for one in MPANS)
        )
    finally:
        await asking.close()
    said = [one.value for one in found if isinstance(one, Answered)]
    return len(said), sum(map(_right, said))


def _right(value: Any) -> bool:
    if value is None:
        return False
    rows = [why["row"] for one in value["recipients"] for why in one["reasons"] if why["row"]]
    return [one["from"] for one in rows] == [CHANGE.isoformat()]


def test_every_answer_is_right_while_routers_join_and_die(rig: RouterRig, owners: ShardFeed) -> None:
    """A moved partition is asked of its new owner; of a dead one's there is no answer until it is restored."""
    everything = (len(MPANS), len(MPANS))

    def settled() -> bool:
        count, right = asyncio.run(ask_all(owners))
        assert count == right, "a wrong answer"
        return (count, right) == everything

    rig.start_worker("0")
    faults.until(
        lambda: asyncio.run(ask_all(owners)) == everything,
        within_s=90,
        what="one router has read all appointments and answers for all partitions",
    )
    rig.start_worker("1")
    faults.until(
        lambda: settled() and len({one.address for one in owners.current()}) > 1,
        within_s=90,
        what="two routers share the partitions and answer",
    )
    rig.workers[0].send_signal(signal.SIGKILL)
    faults.until(
        lambda: settled() and len({one.address for one in owners.current()}) == 1,
        within_s=90,
        what="the other has taken everything over",
    )
