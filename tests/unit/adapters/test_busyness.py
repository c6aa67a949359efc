"""How busy a thread is follows from what it used between two looks."""

from pipeline.adapters.busyness import ThreadBusyness
from pipeline.limits import BUSY_LOOK_EVERY_S


class Times:
    """A clock and a processor's clock, set by the test."""

    def __init__(self) -> None:
        self.now_s = self.cpu_s = 100.0

    def pass_on(self, seconds: float, *, share: float) -> None:
        self.now_s += seconds
        self.cpu_s += seconds * share


def test_the_share_follows_the_load_and_forgets_it() -> None:
    times = Times()
    busy = ThreadBusyness(cpu_s=lambda: times.cpu_s, now_s=lambda: times.now_s)
    assert busy() == 0
    for _ in range(10):
        times.pass_on(BUSY_LOOK_EVERY_S, share=0.8)
        last = busy()
    assert 0.79 < last <= 0.8
    for _ in range(10):
        times.pass_on(BUSY_LOOK_EVERY_S, share=0.0)
        last = busy()
    assert last < 0.01


def test_one_look_more_changes_nothing() -> None:
    """It is asked for every arrival of copies: between two looks it is a comparison."""
    times = Times()
    busy = ThreadBusyness(cpu_s=lambda: times.cpu_s, now_s=lambda: times.now_s)
    busy()
    times.pass_on(BUSY_LOOK_EVERY_S, share=1.0)
    first = busy()
    times.pass_on(BUSY_LOOK_EVERY_S / 2, share=0.0)
    assert busy() == first == 0.5


def test_clocks_that_disagree_make_no_share_above_one() -> None:
    times = Times()
    busy = ThreadBusyness(cpu_s=lambda: times.cpu_s, now_s=lambda: times.now_s)
    busy()
    times.pass_on(BUSY_LOOK_EVERY_S, share=3.0)
    assert busy() == 0.5
