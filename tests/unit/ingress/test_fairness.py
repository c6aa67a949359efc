"""Turns: whoever sends much waits behind itself. The order is a matter of the queue, never of timing."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingress.counters import DoorCounters
from pipeline.ingress.fairness import FairQueue, LoopTurns, Places
from pipeline.ingress.refusals import Refusal


def _drained(queue: FairQueue[str]) -> list[str]:
    return [queue.take()[1] for _ in range(len(queue))]


def test_a_thousand_waiting_requests_of_one_are_one_turn_of_delay_for_another() -> None:
    queue = FairQueue[str](10)
    for _ in range(1_000):
        queue.put("noisy", 10, "noisy")
    queue.put("quiet", 10, "quiet")
    assert _drained(queue).index("quiet") <= 1


def test_owners_take_turns_in_the_order_in_which_they_came() -> None:
    queue = FairQueue[str](1)
    for owner in ("a", "b", "c"):
        for number in range(3):
            queue.put(owner, 1, f"{owner}{number}")
    assert _drained(queue) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_large_items_take_several_turns_so_that_each_owner_spends_the_same() -> None:
    """Ten arrays of ten kilobytes are as dear as a hundred of one: requests are not what is shared."""
    queue = FairQueue[str](1_000)
    for _ in range(50):
        queue.put("large", 10_000, "large")
    for _ in range(500):
        queue.put("small", 1_000, "small")
    spent = Counter[str]()
    for _ in range(200):
        cost, owner = queue.take()
        spent[owner] += cost
    assert abs(spent["large"] - spent["small"]) <= 10_000


def test_an_owner_that_was_idle_has_saved_nothing_up() -> None:
    queue = FairQueue[str](10)
    queue.put("a", 1, "a")
    assert queue.take() == (1, "a")
    for _ in range(20):
        queue.put("a", 10, "a")
        queue.put("b", 10, "b")
    order = _drained(queue)
    assert all(abs(order[:end].count("a") - order[:end].count("b")) <= 1 for end in range(40))


def test_an_item_far_dearer_than_a_turn_comes_out_without_spinning() -> None:
    queue = FairQueue[str](1)
    queue.put("a", 10**12, "a")
    queue.put("b", 10**12 + 1, "b")
    assert _drained(queue) == ["a", "b"]
    with pytest.raises(LookupError):
        queue.take()


def test_what_is_dropped_does_not_come_out() -> None:
    queue = FairQueue[str](1)
    for item in ("a0", "a1"):
        queue.put("a", 1, item)
    queue.put("b", 1, "b0")
    queue.drop("a", "a0")
    queue.drop("b", "b0")
    queue.drop("nobody", "x")
    assert len(queue) == 1
    assert _drained(queue) == ["a1"]
    assert queue._queues == {}
    assert queue._credit == {}


@given(
    items=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), max_size=60),
    quantum=st.integers(1, 50),
)
def test_everything_comes_out_once_and_in_its_owners_order(
    items: list[tuple[str, int]], quantum: int
) -> None:
    queue = FairQueue[tuple[str, int]](quantum)
    for number, (owner, cost) in enumerate(items):
        queue.put(owner, cost, (owner, number))
    out = [queue.take()[1] for _ in range(len(queue))]
    assert sorted(out, key=lambda one: one[1]) == [(owner, n) for n, (owner, _) in enumerate(items)]
    for owner in "abc":
        own = [number for name, number in out if name == owner]
        assert own == sorted(own)


@given(
    costs=st.lists(st.integers(1, 100), min_size=40, max_size=40),
    others=st.lists(st.integers(1, 100), min_size=40, max_size=40),
)
def test_while_both_wait_neither_spends_much_more_than_the_other(costs: list[int], others: list[int]) -> None:
    """The classic bound of deficit round robin: a turn and the dearest item, however they mix."""
    queue = FairQueue[str](50)
    left = Counter(a=len(costs), b=len(others))
    for cost in costs:
        queue.put("a", cost, "a")
    for cost in others:
        queue.put("b", cost, "b")
    spent = Counter[str]()
    while min(left.values()) > 0:
        cost, owner = queue.take()
        spent[owner] += cost
        left[owner] -= 1
        if min(left.values()) > 0:
            assert abs(spent["a"] - spent["b"]) <= 2 * 50 + 2 * 100


async def test_places_are_given_in_turns_and_never_more_than_there_are() -> None:
    places = Places(2, DoorCounters(), turn_cost=1)
    held, order, most = 0, [], 0

    async def work(owner: str) -> None:
        nonlocal held, most
        assert await places.take(owner, 1_000_000) is None
        held += 1
        most = max(most, held)
        order.append(owner)
        await asyncio.sleep(0)
        held -= 1
        places.give_back()

    noisy = [asyncio.create_task(work("noisy")) for _ in range(50)]
    await asyncio.sleep(0)
    quiet = asyncio.create_task(work("quiet"))
    await asyncio.gather(*noisy, quiet)
    assert most == 2
    assert order.index("quiet") <= 6, "two that were in, and the turns given before it came"
    assert await places.take("a", 1) is None
    assert await places.take("a", 1) is None


async def test_whoever_gets_no_place_in_time_is_told_so_and_is_forgotten() -> None:
    counters = DoorCounters()
    places = Places(1, counters, turn_cost=1, wait_s_max=0.01)
    assert await places.take("a", 1) is None
    refusal = await places.take("b", 1)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug, bool(refusal.retry_after_s)) == (503, "no-turn", True)
    assert counters.waiting == 0
    places.give_back()
    assert await places.take("c", 1) is None, "the place was not given to one who had left"


async def test_a_place_given_to_a_task_that_ends_meanwhile_goes_to_the_next() -> None:
    places = Places(1, DoorCounters(), turn_cost=1)
    assert await places.take("a", 1) is None
    leaving = asyncio.create_task(places.take("b", 1))
    await asyncio.sleep(0)
    places.give_back()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await asyncio.wait_for(places.take("c", 1), 5) is None


async def test_the_loop_is_shared_out_by_rounds() -> None:
    """A hundred requests that are ready in the same round do not run in one go before everybody else."""
    turns = LoopTurns(DoorCounters(), turn_bytes=10, round_bytes=10)
    order: list[str] = []

    async def work(owner: str) -> None:
        assert await turns.take(owner, 10) is None
        order.append(owner)

    noisy = [asyncio.create_task(work("noisy")) for _ in range(100)]
    quiet = [asyncio.create_task(work(f"quiet{number}")) for number in range(10)]
    await asyncio.gather(*noisy, *quiet)
    assert len(order) == 110
    first = order[:25]
    assert all(f"quiet{number}" in first for number in range(10)), first


async def test_alone_nobody_waits_for_a_turn_on_the_loop() -> None:
    counters = DoorCounters()
    turns = LoopTurns(counters)
    for _ in range(100):
        assert await asyncio.wait_for(turns.take("a", 10**9), 5) is None
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert counters.waiting == 0
