"""Fifty kills of the delivery worker on real Kafka (`make chaos`): every crash point of delivery.md 5, at random."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.localstack import Broker
from tests.integration.delivery.rig import Rig
from tests.support.delivery_campaign import Campaign
from tests.support.webhooks import WebhookServer

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
KILLS = 50


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
    dice.shuffle(kinds)
    campaign = Campaign(rig, server, seed=seed, per_s=40, broker=broker)
    try:
        campaign.run(tuple(kinds))
        campaign.verify()
    finally:
        print(f"seed {seed}\n{campaign.report()}")
