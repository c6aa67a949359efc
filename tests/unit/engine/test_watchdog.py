"""The watchdog sees what a claim has not read, whatever an earlier claim of the same partition had."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engine.assignment import Assignment
from pipeline.engine.errors import Reset
from pipeline.engine.settling import Desk
from pipeline.engine.values import TopicPartition
from pipeline.engine.watchdog import Watchdog
from pipeline.limits import STALL_S_MAX

PLACE = TopicPartition("in", 0)
KEY = ("in", 0)
END = 750


class Membership:
    """As much of a membership as is looked at: one partition, claimed anew at will."""

    def __init__(self) -> None:
        self.assignment = Assignment({"in": "in"})
        self.desk = Desk(holds=self.assignment.holds)
        self.failed: Exception | None = None

    def claim_of(self, place: tuple[str, int]) -> Any:
        return self.assignment.claim_of(TopicPartition(*place))

    def claim(self, offset: int) -> None:
        for ended in self.assignment.revoke([PLACE]).lost:
            self.desk.end(tuple(place) for place in self.assignment.places(ended))  # type: ignore[misc]  # pairs
        (claim,) = self.assignment.assign([PLACE]).opened
        self.assignment.recovered(claim)
        self.desk.begin(KEY, offset)


@pytest.fixture
def watched() -> Any:
    topics = SimpleNamespace(
        last_stable=lambda places: dict.fromkeys(places, END),
        high_watermarks=lambda places: dict.fromkeys(places, END),
    )
    return SimpleNamespace(membership=Membership(), topics=topics, delivery=SimpleNamespace(started_s=None))


async def test_an_end_that_an_earlier_claim_saw_hides_no_lag(watched: Any) -> None:
    """CI, 26 November 2026: a reset, a consumer that brought nothing, and a watchdog that saw no lag for 110 s."""
    watchdog = Watchdog(watched)
    watched.membership.claim(700)
    watched.membership.desk.advance(KEY, END - 1)
    watched.membership.desk.saw_end(KEY, END)
    await watchdog._look()
    assert watchdog.lag == {KEY: 0}, "a marker at the end is not a record to read"

    watched.membership.claim(END - 4)
    await watchdog._look()
    assert watchdog.lag == {KEY: 4}


async def test_a_claim_that_is_brought_nothing_ends_in_a_reset(watched: Any) -> None:
    watchdog = Watchdog(watched)
    watched.membership.claim(END - 4)
    await watchdog._look()
    began = watchdog.answered_s
    assert began is not None
    watchdog._judge(began + STALL_S_MAX, {KEY: END - 4})
    assert watched.membership.failed is None
    watchdog._judge(began + STALL_S_MAX + 1, {KEY: END - 4})
    assert isinstance(watched.membership.failed, Reset)
    assert "4 records to read" in str(watched.membership.failed)
