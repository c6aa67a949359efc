"""The full fault counts on the engine's toy (`make chaos`)."""

import pytest

from tests.chaos import faults

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(1800)]

BROKER_FAULTS = 10


@pytest.mark.parametrize("point", faults.POINTS)
def test_a_worker_killed_ten_times_at_every_point_of_a_round(point, rig, stack):
    faults.kill_at_point(rig(stack.bootstrap, max_records=50), point, times=10, records=3000, per_s=100)


@pytest.mark.parametrize("stages", [["first", "second"], ["held"]])
def test_a_worker_killed_at_twenty_random_times(stages, rig, stack):
    faults.kill_at_random(rig(stack.bootstrap, stages=stages), times=20, records=16_000, per_s=150, seed=20)


@pytest.mark.parametrize("stages", [["first", "second"], ["held"]])
def test_a_second_worker_joins_leaves_and_dies_five_times(stages, rig, stack):
    faults.join_and_leave(rig(stack.bootstrap, stages=stages), cycles=5, records=12_000, per_s=150)


@pytest.mark.parametrize("stages", [["first", "second"], ["held"]])
@pytest.mark.parametrize("seconds", [8, 12])
def test_a_broker_frozen_ten_times(seconds, stages, rig, private_broker):
    broker = private_broker()
    for _ in range(BROKER_FAULTS // 2):
        faults.freeze_broker(rig(broker.bootstrap, stages=stages), broker, seconds=seconds)


@pytest.mark.parametrize("stages", [["first", "second"], ["held"]])
def test_a_broker_killed_ten_times(stages, rig, private_broker):
    broker = private_broker()
    for number in range(BROKER_FAULTS // 2):
        faults.kill_broker(rig(broker.bootstrap, stages=stages), broker, down_s=1 + number)


def test_a_zombie_worker_that_wakes_up_after_its_session_doubles_nothing(rig, stack):
    """Frozen past its session, its partitions are taken over; what it had open must not count."""
    one = rig(stack.bootstrap)
    first = one.start_worker("0")
    one.feed(6000, per_s=150)
    faults.until(lambda: one.outputs() > 0, within_s=60, what="outputs flow")
    one.start_worker("1")
    for _ in range(2):
        faults.zombie(first, seconds=15)
    one.settle(within_s=180)
    one.verify()
