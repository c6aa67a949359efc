"""The full fault counts on the product's router (`make chaos`): every named point, 20 random kills, every broker fault."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import faults
from tests.support.router_rig import RouterRig

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(1800)]

BROKER_FAULTS = 10


@pytest.fixture
def hurt(stack: Any, private_broker: Callable[..., Any], tmp_path: Path) -> Iterator[tuple[RouterRig, Any]]:
    broker = private_broker()
    rig = RouterRig(broker.bootstrap, stack.registry_url, tmp_path / "router")
    yield rig, broker
    rig.close()


@pytest.mark.parametrize("point", faults.POINTS)
def test_a_router_killed_at_every_point_of_a_round(hurt: tuple[RouterRig, Any], point: str) -> None:
    faults.kill_at_point(hurt[0], point, times=4, records=600, per_s=100)


def test_a_router_killed_at_twenty_random_times_under_load(hurt: tuple[RouterRig, Any]) -> None:
    faults.kill_at_random(hurt[0], times=20, records=6000, per_s=60, seed=20)


@pytest.mark.parametrize("run", range(BROKER_FAULTS))
@pytest.mark.parametrize("seconds", [8, 12])
def test_a_broker_frozen_under_the_router(hurt: tuple[RouterRig, Any], seconds: int, run: int) -> None:
    rig, broker = hurt
    faults.freeze_broker(rig, broker, seconds=seconds, records=1200 + run, per_s=80)


@pytest.mark.parametrize("run", range(BROKER_FAULTS))
def test_a_broker_killed_under_the_router(hurt: tuple[RouterRig, Any], run: int) -> None:
    rig, broker = hurt
    faults.kill_broker(rig, broker, down_s=run % 5, records=1200 + run, per_s=80)


def test_routers_that_join_leave_and_die(hurt: tuple[RouterRig, Any]) -> None:
    faults.join_and_leave(hurt[0], cycles=3, records=4000, per_s=60)
