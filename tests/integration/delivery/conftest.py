"""A broker of its own for these tests: the worker uses the product's fixed topic names.

The tests share it one after the other; each has its own recipients and leaves nothing parked.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.localstack import Broker, BrokerProfile, LocalStack, default_cache, kafka_home
from pipeline.settings import Settings
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer


@pytest.fixture(scope="module")
def broker(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start a broker besides the session's; `stack` comes first, for it skips where there can be none."""
    folder = tmp_path_factory.mktemp("delivery-broker")
    home = kafka_home(default_cache(Settings.load()))
    made = Broker(home, directory=folder / "data", log=folder / "broker.log", profile=BrokerProfile.SMALL)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    with WebhookServer(tmp_path / "webhooks") as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, stack: LocalStack, broker: Broker, server: WebhookServer) -> Iterator[Rig]:
    made = Rig(tmp_path, broker.bootstrap, stack.registry_url, server)
    yield made
    made.stop()
    print(made.log())
