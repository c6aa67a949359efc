"""A broker of its own for each test: the worker uses the product's fixed topic names."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.localstack import Broker, LocalStack
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    with WebhookServer(tmp_path / "webhooks") as running:
        yield running


@pytest.fixture
def rig(
    tmp_path: Path, stack: LocalStack, private_broker: Callable[..., Broker], server: WebhookServer
) -> Iterator[Rig]:
    made = Rig(tmp_path, private_broker().bootstrap, stack.registry_url, server)
    yield made
    made.stop()
    print(made.log())
