"""The engine on a simulated Kafka, from one seed; `make sim` runs thousands of these."""

import asyncio
from collections.abc import Iterator
from types import MethodType

import pytest

from tests.simulation.engine.broker import Broker
from tests.simulation.engine.conformance import EXPECTED, simulated
from tests.simulation.engine.disk import SimBatch, SimStore
from tests.simulation.engine.run import KINDS, Event, Play, script
from tests.simulation.engine.runs import EngineRuns
from tests.simulation.whole import shrunk

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # coroutines of processes that were killed


@pytest.fixture(autouse=True)
def loop_of_the_thread() -> Iterator[None]:
    """Faust asks for the thread's loop; an asynchronous test before these in the same process leaves none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.parametrize("seed", range(40))
def test_every_input_counts_once_whatever_happens(seed: int) -> None:
    """Outputs = inputs, tables = folds of their changelogs, what is held is settled once, and all comes to rest."""
    runs = EngineRuns()
    problems = runs.problems(seed, script(seed))
    assert not problems, runs.told(seed, problems)


def test_a_run_is_the_same_every_time() -> None:
    """Or a seed would be worth nothing."""
    runs = EngineRuns()
    assert runs.trace(7) == runs.trace(7)


def test_every_kind_of_event_is_drawn() -> None:
    assert {event.kind for seed in range(40) for event in script(seed)} == KINDS.keys()


# --- the judge is judged: each of these worlds breaks one promise that the engine leans on ---


def found_by(runs: EngineRuns, within: range) -> tuple[int, list[Event], list[str]]:
    """Return the first seed that fails in a broken world, its shortest script, and what was found."""
    for seed in within:
        if problems := runs.problems(seed, script(seed)):
            return (
                seed,
                shrunk(script(seed), lambda some, seed=seed: bool(runs.problems(seed, some))),
                problems,
            )
    raise AssertionError(f"nobody noticed in {len(within)} runs")


def any_member_may_commit(play: Play) -> None:
    """Let the broker take the offsets of a worker that is no member any more, or not yet."""
    real = play.broker.send_offsets

    def lenient(self: Broker, name: str, epoch: int, offsets: object, member: tuple[str, str, int]) -> None:
        ours = self.members.get(member[1]) or next(iter(self.members.values()), None)
        if ours is None:
            raise AssertionError("nobody is left in the group")
        known = next(key for key, one in self.members.items() if one is ours)
        real(name, epoch, offsets, (member[0], known, ours.epoch))  # type: ignore[arg-type]  # passed on

    play.broker.send_offsets = MethodType(lenient, play.broker)  # type: ignore[method-assign]  # the sabotage


def a_record_is_eaten(play: Play) -> None:
    """Let the broker acknowledge one record of a transaction and not write it."""
    real, eaten = play.broker.produce, []

    def hungry(name: str, epoch: int, place: tuple[str, int], rows: list) -> int:
        if len(rows) > 1 and not eaten and place[0] in {"mid", "done"}:
            eaten.append(rows.pop())
        return real(name, epoch, place, rows)

    play.broker.produce = hungry  # type: ignore[method-assign,assignment]  # the sabotage


def writes_are_torn(play: Play) -> None:
    """Let stores write the mark without the rows, now and then."""

    class Torn(SimStore):
        def write(self, batch: SimBatch) -> None:
            rows = [one for one in batch if one[0] == b"\x00"]
            super().write(SimBatch(rows if play.world.dice.random() < 0.3 else batch))

    for disk in play.disks.values():
        disk.store_class = Torn


@pytest.mark.parametrize(
    ("sabotage", "first", "words"),
    [
        (any_member_may_commit, 0, ("doubled",)),
        (a_record_is_eaten, 0, ("lost",)),
        (writes_are_torn, 0, ("is not its changelog", "counts")),
    ],
)
def test_a_broken_world_is_noticed_and_the_script_cut_down(
    sabotage, first: int, words: tuple[str, ...]
) -> None:
    """`first` only saves time: where the search begins."""
    seed, short, problems = found_by(EngineRuns(sabotage), range(first, first + 200))
    assert any(word in one for one in problems for word in words), problems
    assert len(short) <= len(script(seed))
    assert not EngineRuns().problems(seed, short), "the engine itself is fine"


def test_the_simulated_kafka_does_what_a_real_one_does() -> None:
    """The same script runs against a real broker in tests/integration/engine/test_same_script.py."""
    assert simulated() == EXPECTED
