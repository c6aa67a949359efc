"""Workers and brokers die at any moment: nothing is lost, nothing is doubled (two of each; `make chaos` has the counts)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos import faults

pytestmark = pytest.mark.kafka


def test_a_worker_killed_at_any_point_of_a_round_loses_and_doubles_nothing(rig, stack):
    """One application for each point, side by side: most of the time is waiting for sessions to expire."""
    rigs = {point: rig(stack.bootstrap, max_records=50) for point in faults.POINTS}

    def run(point):
        faults.kill_at_point(rigs[point], point, times=2, records=900, per_s=100)

    with ThreadPoolExecutor(len(rigs)) as threads:
        outcomes = {point: threads.submit(run, point) for point in rigs}
    for point, outcome in outcomes.items():
        assert outcome.exception() is None, f"killed at {point}: {outcome.exception()}"


def test_a_worker_killed_at_random_times_loses_and_doubles_nothing(rig, stack):
    faults.kill_at_random(rig(stack.bootstrap), times=2, records=1500, per_s=300, seed=7)


def test_records_held_in_a_window_survive_a_kill_while_completions_come_out_of_order(rig, stack):
    """Offsets never pass an unsettled record: what was not settled is met again by the next process."""
    faults.kill_at_random(rig(stack.bootstrap, stages=["held"]), times=2, records=1500, per_s=300, seed=3)


def test_a_second_worker_that_joins_leaves_and_dies_loses_and_doubles_nothing(rig, stack):
    faults.join_and_leave(rig(stack.bootstrap), cycles=1, records=3000, per_s=150)


def test_a_broker_frozen_for_eight_and_twelve_seconds_loses_and_doubles_nothing(rig, private_broker):
    """Twelve seconds outlast the broker's own session: leaders move, and the client's calls get stuck."""
    broker = private_broker()
    for seconds in (8, 12):
        faults.freeze_broker(rig(broker.bootstrap), broker, seconds=seconds)


def test_a_broker_killed_and_restarted_loses_and_doubles_nothing(rig, private_broker):
    broker = private_broker()
    for down_s in (1, 4):
        faults.kill_broker(rig(broker.bootstrap), broker, down_s=down_s)
