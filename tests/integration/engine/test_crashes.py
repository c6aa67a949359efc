"""Workers and brokers die at any moment: nothing is lost, nothing is doubled.

A few of each fault, applications side by side, since most of the time is waiting for sessions and transactions to
expire; `make chaos` has the full counts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos import faults

pytestmark = pytest.mark.kafka


def side_by_side(runs: dict[str, Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(runs)) as threads:
        outcomes = {name: threads.submit(run) for name, run in runs.items()}
    failed = {name: error for name, outcome in outcomes.items() if (error := outcome.exception()) is not None}
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())


def test_a_worker_killed_at_any_point_of_a_round_loses_and_doubles_nothing(rig, stack):
    rigs = {point: rig(stack.bootstrap, max_records=50) for point in faults.POINTS}
    side_by_side(
        {
            point: lambda point=point, one=one: faults.kill_at_point(
                one, point, times=2, records=900, per_s=100
            )
            for point, one in rigs.items()
        }
    )


def test_killed_joining_and_leaving_workers_lose_and_double_nothing(rig, stack):
    """Held records, too: offsets never pass an unsettled one, so what was not settled is met again."""
    rounds, windows, pair = rig(stack.bootstrap), rig(stack.bootstrap, stages=["held"]), rig(stack.bootstrap)
    side_by_side(
        {
            "rounds": lambda: faults.kill_at_random(rounds, times=2, records=1500, per_s=200, seed=7),
            "windows": lambda: faults.kill_at_random(windows, times=2, records=1500, per_s=200, seed=3),
            "second worker": lambda: faults.join_and_leave(pair, cycles=1, records=3000, per_s=150),
        }
    )


def test_a_frozen_or_killed_broker_loses_and_doubles_nothing(rig, private_broker):
    """Twelve seconds outlast the broker's own session: leaders move, and the client's calls get stuck."""
    brokers = {name: private_broker(name) for name in ("freeze-8", "freeze-12", "kill-1", "kill-4")}
    rigs = {name: rig(broker.bootstrap) for name, broker in brokers.items()}

    def run(name):
        kind, seconds = name.split("-")
        if kind == "freeze":
            faults.freeze_broker(rigs[name], brokers[name], seconds=int(seconds))
        else:
            faults.kill_broker(rigs[name], brokers[name], down_s=int(seconds))

    side_by_side({name: lambda name=name: run(name) for name in brokers})
