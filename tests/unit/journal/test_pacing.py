"""Pages of replays come at the rate, however many ask; what has been quiet for long is answered at once."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from agents.journal_app import replay_rate
from agents.shards import Busy
from pipeline.delivery.pace import Bucket
from pipeline.domain.copy_index import Wanted
from pipeline.domain.fanout import recipient_key
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.shards import partition_of
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings
from tests.support.journal_rig import START, JournalRig, copy_of
from tests.support.shards import PARTITIONS

ME = ParticipantId("2300000001")
PLACE = partition_of(recipient_key(ME), PARTITIONS)
RATE = 500.0
FIRST: dict[str, Any] = {
    "what": "page",
    "wanted": Wanted(recipient=ME, channel=InterfaceId("IF-021")).plain(),
    "before_offset": None,
    "after": None,
}


@dataclass
class Clock:
    """Stands still but for sleeps."""

    at: datetime = START
    slept_s: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pages(clock: Clock) -> Any:
    rig = JournalRig()
    for number in range(1_000):
        rig.sent(copy_of(number, ME, at=START - timedelta(seconds=1_000 - number)))
    return replace(rig.pages, rate=Bucket(per_s=RATE), clock=clock, sleep=clock.sleep)


async def pull(pages: Any) -> int:
    """Pull everything, page by page; return how many messages came."""
    question, count = FIRST, 0
    while True:
        page = await pages(PLACE, question)
        count += len(page["messages"])
        if page["after"] is None:
            return count
        question = FIRST | {"before_offset": page["before_offset"], "after": page["after"]}


async def test_a_long_replay_has_the_rate_and_a_first_page_comes_at_once(pages: Any, clock: Clock) -> None:
    assert await pull(pages) == 1_000
    assert len(clock.slept_s) == 9, "each page waits for those before it, the first for none"
    assert sum(clock.slept_s) == pytest.approx(900 / RATE, rel=0.02)


async def test_those_who_pull_at_the_same_time_share_the_rate(pages: Any, clock: Clock) -> None:
    assert await asyncio.gather(*(pull(pages) for _ in range(3))) == [1_000] * 3
    assert sum(clock.slept_s) == pytest.approx(2_900 / RATE, rel=0.02)


async def test_what_was_not_used_is_not_saved_up(pages: Any, clock: Clock) -> None:
    """A quarter of a second's worth at most: an hour's would be a burst that live messages feel."""
    await pull(pages)
    clock.at += timedelta(hours=1)
    before = sum(clock.slept_s)
    await pull(pages)
    assert sum(clock.slept_s) - before >= (900 - RATE / 4) / RATE


async def test_more_than_a_few_who_wait_are_told_to_come_back(pages: Any) -> None:
    """They would time out at the bridge."""
    answers = await asyncio.gather(*(pages(PLACE, FIRST) for _ in range(6)))
    assert sum(isinstance(one, Busy) for one in answers) == 2


async def test_without_a_rate_nobody_waits(pages: Any, clock: Clock) -> None:
    assert await pull(replace(pages, rate=Bucket())) == 1_000
    assert clock.slept_s == []


@pytest.mark.parametrize("rate", [0, 50, 500])
def test_a_rate_is_a_setting(rate: float) -> None:
    assert replay_rate(Settings.load({}, replay_messages_per_s=rate)) == rate


@pytest.mark.parametrize("rate", [-1, 1, 49])
def test_a_rate_at_which_pages_would_time_out_is_refused(rate: float) -> None:
    with pytest.raises(
        SettingsInvalid, match=r"DIP_REPLAY_MESSAGES_PER_S=-?\d+: expected 0 \(any\) or at least 50"
    ):
        replay_rate(Settings.load({}, replay_messages_per_s=rate))
