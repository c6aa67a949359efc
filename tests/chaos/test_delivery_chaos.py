"""Fifty kills of the delivery worker on real Kafka (`make chaos`): every crash point of delivery.md 5, at random.

CHAOS_KILLS asks for fewer, for a machine that has no quarter of an hour at a time.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.localstack import Broker
from tests.chaos.faults import zombie
from tests.integration.delivery.rig import Rig
from tests.support.delivery_campaign import Campaign
from tests.support.webhooks import WebhookServer, slowly, status, well

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(3600)]

KINDS = (
    "before POST",
    "after POST, before its result is durable",
    "after result, before commit",
    "after park, before table write",
    "local store lost",
    "rebalance",
    "Kafka away",
    "any moment",
)
KILLS = int(os.environ.get("CHAOS_KILLS", "50"))


@pytest.fixture
def broker(private_broker: Callable[..., Broker]) -> Broker:
    return private_broker()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    with WebhookServer(tmp_path / "webhooks") as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, stack: Any, broker: Broker, server: WebhookServer) -> Iterator[Rig]:
    made = Rig(tmp_path, broker.bootstrap, stack.registry_url, server)
    yield made
    made.stop()


def test_fifty_kills_lose_nothing(rig: Rig, server: WebhookServer, broker: Broker) -> None:
    seed = random.randrange(1_000_000)
    dice = random.Random(seed)
    kinds = [*KINDS * (KILLS // len(KINDS)), *dice.sample(KINDS, KILLS % len(KINDS))]
    assert kinds, "without a kill nothing is shown"
    dice.shuffle(kinds)
    campaign = Campaign(rig, server, seed=seed, per_s=40, broker=broker)
    try:
        campaign.run(tuple(kinds))
        campaign.verify()
    finally:
        print(f"seed {seed}\n{campaign.report()}")


def test_a_worker_whose_disk_is_full_stops_and_its_successor_loses_nothing(
    rig: Rig, server: WebhookServer
) -> None:
    """Test 8. No file of the worker may become larger than 60 kB; three thousand rows need more."""
    (who,) = rig.names(1)
    server.behaviour[who] = status(503)
    rig.register(who)
    rig.send((who,), 3_000)
    worker = rig.start(launcher=("prlimit", "--fsize=60000"))
    rig.wait_for(lambda: worker.poll() is not None, "the worker stops", dying=True)
    assert worker.returncode > 0, rig.log()
    server.behaviour[who] = well
    rig.start()
    rig.wait_for(lambda: len(server.taken(who)) == 3_000, "everything is delivered", within_s=180)
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.wait_for(lambda: not rig.parked(), "nothing waits any more")
    rig.check_ledger(exact=False)


def test_a_worker_that_sleeps_past_its_session_and_wakes_up_only_repeats(
    rig: Rig, server: WebhookServer
) -> None:
    """Test 10: frozen with calls under way, while another takes over; what it settles afterwards counts for nothing."""
    healthy, slow, fickle = rig.names(3)
    server.slow_s = 0.5
    server.behaviour.update({slow: slowly, fickle: status(503)})
    rig.register(healthy, slow, fickle, messages_max=5)
    first = rig.start(instance="0")
    rig.send((healthy, slow, fickle), 100)
    rig.wait_for(lambda: server.posts[slow] > 0, "calls are under way")
    rig.start(instance="1", state_dir=str(rig.folder / "state-1"))
    for _ in range(2):
        rig.send((healthy, slow, fickle), 100)
        zombie(first, seconds=20)
    server.behaviour[fickle] = well
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled", within_s=180)
    rig.wait_for(lambda: not rig.parked(), "nothing waits any more", within_s=180)
    rig.check_ledger(exact=False)
    delivered = rig.delivered()
    assert set(delivered) == {one.delivery_id for one in rig.sent}
    print(f"{sum(delivered.values()) - len(delivered)} of {len(delivered)} copies were delivered twice")
