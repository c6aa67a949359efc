"""A stuck call is left behind; whoever comes back from it may not touch anything any more."""

import asyncio
import threading

import pytest

from pipeline.engine.errors import CallLate
from pipeline.engine.hand import Abandoned, Hand


async def test_a_job_returns_its_result_from_another_thread():
    hand = Hand("test")
    assert await hand.run(lambda _, x: (x, threading.current_thread().name), 7, step="s", limit_s=5) == (
        7,
        "test",
    )
    hand.close()


async def test_an_error_reaches_the_caller():
    hand = Hand("test")

    def fail(_):
        raise KeyError("x")

    with pytest.raises(KeyError):
        await hand.run(fail, step="s", limit_s=5)
    hand.close()


async def test_a_stuck_job_is_left_behind_and_the_hand_works_on():
    """librdkafka calls were seen to stay inside for 100 s whatever their timeout."""
    hand, release = Hand("test"), threading.Event()
    with pytest.raises(CallLate, match="stuck step"):
        await hand.run(lambda _: release.wait(60), step="stuck step", limit_s=0.05)
    assert await hand.run(lambda _: "works", step="s", limit_s=5) == "works"
    release.set()
    hand.close()


async def test_a_job_that_was_left_behind_stops_at_its_next_step():
    """Between "offsets sent" and "commit" a late thread must not go on: another producer may be at work."""
    hand, release, outcome = Hand("test"), threading.Event(), asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def job(watch):
        release.wait(60)
        try:
            watch.enter("commit", 5)
            loop.call_soon_threadsafe(outcome.set_result, "went on")
        except Abandoned:
            loop.call_soon_threadsafe(outcome.set_result, "stopped")

    with pytest.raises(CallLate):
        await hand.run(job, step="offsets", limit_s=0.05)
    release.set()
    assert await asyncio.wait_for(outcome, 10) == "stopped"
    hand.close()


async def test_each_step_has_a_limit_of_its_own():
    """Ten steps of 50 ms under a limit of 300 ms each are fine, though together they take longer."""
    hand, pause = Hand("test"), threading.Event()

    def job(watch):
        for number in range(10):
            watch.enter(f"step {number}", 0.3)
            pause.wait(0.05)
        return "done"

    assert await hand.run(job, step="begin", limit_s=0.3) == "done"
    hand.close()
