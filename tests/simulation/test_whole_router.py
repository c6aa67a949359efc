"""The whole router from one seed; `make sim` runs thousands of these. A failing seed is named, and cut down."""

from datetime import timedelta

import pytest

from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from tests.simulation.campaign import Runs
from tests.simulation.whole import KINDS, Event, script, shrunk
from tests.support.market_world import NOW

FOUND = (740, 12_751)
"""What failed once."""


@pytest.mark.parametrize("seed", [*range(12), *FOUND])
def test_every_accepted_message_is_accounted_for_whatever_happens(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    runs = Runs(catalogue=catalogue, codec=codec)
    problems = runs.problems(seed, script(seed))
    assert not problems, runs.told(seed, problems)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("router_h", "delivery_h"), [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, 1), (1, -1)], ids=str
)
def test_nothing_is_lost_or_misaddressed_by_workers_whose_clocks_are_an_hour_off(
    seed: int, router_h: int, delivery_h: int, catalogue: Catalogue, codec: Codec
) -> None:
    """Bridge and callers have the right time. docs/RUNBOOK.md says what else such a clock does."""
    runs = Runs(
        catalogue=catalogue,
        codec=codec,
        router_at=NOW + timedelta(hours=router_h),
        delivery_at=NOW + timedelta(hours=delivery_h),
    )
    problems = runs.problems(seed, script(seed))
    assert not problems, runs.told(seed, problems)


def test_a_run_is_the_same_every_time(catalogue: Catalogue, codec: Codec) -> None:
    """Or a seed would be worth nothing."""
    runs = Runs(catalogue=catalogue, codec=codec)
    assert runs.trace(7) == runs.trace(7)


def test_every_kind_of_event_is_drawn() -> None:
    assert {event.kind for seed in range(12) for event in script(seed)} == KINDS.keys()


def test_a_router_that_loses_a_copy_is_found_and_the_script_cut_down(
    catalogue: Catalogue, codec: Codec
) -> None:
    """The judge is judged: with one copy taken off the bus the run fails, and one message is enough for it."""
    runs = Runs(catalogue=catalogue, codec=codec, sabotage=True)
    seed = next(seed for seed in range(50) if runs.problems(seed, script(seed)))
    short = shrunk(script(seed), lambda events: bool(runs.problems(seed, events)))
    assert [event.kind for event in short] == ["consumption"]
    assert any("lost" in one for one in runs.problems(seed, short))


def test_cutting_down_keeps_what_is_needed_together() -> None:
    events = [Event("consumption", number) for number in range(20)]
    needed = {3, 11, 17}
    short = shrunk(events, lambda some: needed <= {one.figure for one in some})
    assert {one.figure for one in short} == needed
