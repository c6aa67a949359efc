"""`make sim`: many seeds of a simulation, until one fails or the number asked for is reached.

    PYTHONPATH=. .venv/bin/python -m tests.simulation.campaign [--of product] [--runs 2000] [--first 0] [--seconds 600]

A failing seed ends it: the problems, the shortest script that still fails, and the command that plays it again.
"""

import argparse
import asyncio
import logging
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import islice
from typing import Any, Final

from pipeline import schemas, topics
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.codec import Codec
from tests.simulation.whole import Event, Whole, script, shrunk
from tests.support.market_world import NOW, NoRegistry
from tests.support.virtual_time import VirtualLoop

_CHUNK: Final = 20
_SHOWN_MAX: Final = 8
_TITLES: Final = {
    "router": "whole router",
    "engine": "engine on a simulated Kafka",
    "product": "product's own workers on a simulated Kafka",
    "forgetful": "engine on a simulated Kafka that forgets markers",  # it may fail: ADR 320
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Plays scripts. `sabotage` takes one copy off the bus: a judge that finds nothing then is none."""

    catalogue: Catalogue
    codec: Codec
    sabotage: bool = False
    router_at: datetime = NOW
    delivery_at: datetime = NOW

    def problems(self, seed: int, events: Sequence[Event]) -> list[str]:
        """Play a script in the world of a seed; return what was wrong, also what it raised."""
        return problems_of(lambda: self._played(seed, events))

    def trace(self, seed: int) -> list[object]:
        """Return what happened in a run, to compare with another run of the same seed."""
        whole = self._played(seed, script(seed))
        engine = whole.delivery.engine
        posts = [(post.recipient, *post.delivery_ids) for post in whole.delivery.webhooks.posts]
        return [posts, whole.delivery.webhooks.arrived, engine.outputs, whole.router.logs]

    def told(self, seed: int, problems: Sequence[str]) -> str:
        """Return what a person needs to know of a failing seed."""
        return told(self, "router", seed, problems)

    def script(self, seed: int) -> list[Event]:
        """Draw what happens in the run of a seed."""
        return script(seed)

    def _played(self, seed: int, events: Sequence[Event]) -> Whole:
        whole = Whole(
            seed=seed,
            catalogue=self.catalogue,
            codec=self.codec,
            router_at=self.router_at,
            delivery_at=self.delivery_at,
        )
        if self.sabotage:
            _steal_one(whole)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(whole.play(events))
        return whole


def problems_of(play: Callable[[], Any]) -> list[str]:
    """Play; return what was wrong, also what it raised."""
    try:
        return play().problems()  # type: ignore[no-any-return]  # of any of the simulations
    except Exception as error:  # noqa: BLE001  # whatever the product raises is what a run looks for
        return [f"{type(error).__name__}: {error}"]


def told(runs: Any, of: str, seed: int, problems: Sequence[str]) -> str:
    """Return what a person needs to know of a failing seed: what, why, the shortest script, how to see it again."""
    short = shrunk(runs.script(seed), lambda events: bool(runs.problems(seed, events)))
    lines = [f"seed {seed}:", *(f"  {one}" for one in problems[:_SHOWN_MAX])]
    lines += [f"the shortest script that still fails, {len(short)} events:", *(f"  {one}" for one in short)]
    lines += ["then:", *(f"  {one}" for one in runs.problems(seed, short)[:_SHOWN_MAX])]
    command = f"-m tests.simulation.campaign --of {of} --first {seed} --runs 1"
    lines.append(f"again: PYTHONHASHSEED=0 PYTHONPATH=. .venv/bin/python {command}")
    return "\n".join(lines)


def first_failing(runs: Any, seeds: range, *, shortest: bool = True) -> tuple[int, list[Any], list[str]]:
    """Return the first seed that fails, its (shortest) script, and what was found. Raises AssertionError if none does."""
    for seed in seeds:
        events = runs.script(seed)
        if problems := runs.problems(seed, events):
            return seed, shrunk(events, partial(_fails, runs, seed)) if shortest else events, problems
    raise AssertionError(f"nobody noticed in {len(seeds)} runs")


def _fails(runs: Any, seed: int, events: Sequence[Any]) -> bool:
    return bool(runs.problems(seed, events))


def _steal_one(whole: Whole) -> None:
    """Let the first copy that fan-out writes never reach its topic."""
    put, stolen = whole.router.put, []

    def leaky(emission: object) -> None:
        if getattr(emission, "topic", None) == topics.OUTBOUND and not stolen:
            stolen.append(emission)
            return
        put(emission)  # type: ignore[arg-type]  # an emission, by its topic

    whole.router.put = leaky  # type: ignore[method-assign]  # the sabotage


@cache
def _runs(of: str) -> Any:
    logging.disable()  # lanes and sessions tell of every failure, and here all of them are meant
    if of in {"engine", "forgetful"}:
        from tests.simulation.engine.runs import EngineRuns  # needs greenlets: only here

        warnings.simplefilter("ignore", RuntimeWarning)  # coroutines of processes that were killed
        return EngineRuns(forgetful=of == "forgetful")
    codec = Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoRegistry())
    if of == "product":
        from tests.simulation.product.runs import ProductRuns  # as above

        asyncio.set_event_loop(asyncio.new_event_loop())  # Faust asks for the thread's
        warnings.simplefilter("ignore", RuntimeWarning)
        return ProductRuns(catalogue=load_catalogue(), codec=codec)
    return Runs(catalogue=load_catalogue(), codec=codec)


def _failing(of: str, seeds: range) -> tuple[int, list[str]] | None:
    """Return the first failing seed of a chunk with its problems."""
    runs = _runs(of)
    for seed in seeds:
        problems = runs.problems(seed, runs.script(seed))
        if problems:
            return seed, problems
    return None


def main() -> int:
    """Run the campaign; return 1 if a seed fails."""
    options = _options()
    started = time.monotonic()
    seeds = range(options.first, options.first + options.runs)
    chunks = (seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK))
    done = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        while batch := list(islice(chunks, options.jobs * 2)):
            for chunk, failing in zip(batch, pool.map(partial(_failing, options.of), batch), strict=True):
                if failing is not None:
                    print(_runs(options.of).told(*failing))
                    return 1
                done += len(chunk)
            took_s = time.monotonic() - started
            print(f"[{took_s:6.0f} s] {done:,} of {len(seeds):,} runs, 0 failed", file=sys.stderr, flush=True)
            if took_s > options.seconds:
                break
    print(
        f"{done:,} runs of the {_TITLES[options.of]} in {time.monotonic() - started:.0f} s "
        f"(seeds {seeds.start} to {seeds.start + done - 1}): nothing lost, doubled, misrouted or out of order"
    )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--of", choices=list(_TITLES), default="router")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=600, help="begin nothing new after so long")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
