"""Looks at the processes every so often, and turns two looks into rates and ages: what the page of stages shows."""

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from pipeline import limits, topics
from pipeline.console.ports import Figures, Lags, Process, Processes, Trouble
from pipeline.ports import Clock

log = logging.getLogger(__name__)

_LETTERS: Final = (
    topics.DEAD_LETTER_VALIDATION,
    topics.DEAD_LETTER_ADDRESSING,
    topics.DEAD_LETTER_DELIVERY,
)
ROUTER: Final = "dip-router"
DELIVERY: Final = "dip-delivery"
JOURNAL: Final = "dip-journal"
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    ROUTER: (topics.INBOUND, topics.VALIDATED, topics.REGISTRATION, *_LETTERS),
    DELIVERY: (topics.OUTBOUND, topics.STATUS),
    JOURNAL: (topics.AUDIT, topics.OUTBOUND, topics.STATUS),
}
"""The consumer groups of the workers, and what each reads."""


COMMIT_AGE: Final = "dip_last_commit_age_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as the page shows it: whose counter says how fast it goes, and what lies before it."""

    name: str
    does: str
    process: str
    counter: str
    labels: tuple[str, ...] = ()
    """Only series whose first label is one of these; none named: all."""
    group: str | None = None
    topics: tuple[str, ...] = ()
    age: str | None = None
    """A histogram; its 90th percentile of the last minutes."""
    age_of: str = ""
    oldest: str | None = None
    """A gauge in seconds; the largest counts."""


STAGES: Final = (
    Stage(name="entrance", does="messages accepted with 201", process="bridge", counter="dip_bridge_accepted_total",
          age="dip_bridge_request_seconds", age_of="of a request's answer"),
    Stage(name="validation", does="messages checked", process="router", counter="dip_records_read_total",
          labels=(topics.INBOUND,), group=ROUTER, topics=(topics.INBOUND,), oldest=COMMIT_AGE),
    Stage(name="addressing", does="messages addressed", process="router", counter="dip_records_read_total",
          labels=(topics.VALIDATED,), group=ROUTER, topics=(topics.VALIDATED, topics.REGISTRATION),
          oldest=COMMIT_AGE),
    Stage(name="reporting", does="refusals reported to senders", process="router", counter="dip_records_read_total",
          labels=_LETTERS, group=ROUTER, topics=_LETTERS, oldest=COMMIT_AGE),
    Stage(name="delivery", does="copies settled", process="delivery", counter="dip_copies_total", group=DELIVERY,
          topics=(topics.OUTBOUND, topics.STATUS), age="dip_delivery_age_seconds",
          age_of="from acceptance to delivery", oldest="dip_unsettled_oldest_seconds"),
    Stage(name="journal", does="records indexed", process="journal", counter="dip_records_read_total", group=JOURNAL,
          topics=GROUPS[JOURNAL], oldest=COMMIT_AGE),
    Stage(name="archive", does="records archived", process="archive", counter="dip_archive_records_total",
          oldest="dip_archive_oldest_seconds"),
)  # fmt: skip
_PERCENT: Final = 0.9
_SHARE_LOOKS: Final = 30
"""Ages are of so many looks: five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one moment."""

    at: datetime
    processes: tuple[Process, ...]
    lags: Mapping[tuple[str, str], int] | Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """A stage's figures; None where nobody says it."""

    stage: Stage
    running: int
    per_s: float | None
    history: tuple[float, ...]
    """Rates, the latest last."""
    lag: int | None
    lag_at_most: bool
    """Whether the lag is the broker's, which counts the marks of transactions, too: no worker says it."""
    age_s: float | None
    oldest_s: float | None


class Watch:
    """The looks of the last half hour. Only the figures that stages are made of are kept of old ones."""

    def __init__(self, processes: Processes, lags: Lags, clock: Clock) -> None:
        self._processes = processes
        self._lags = lags
        self._clock = clock
        self._looks: deque[Look] = deque(maxlen=limits.CONSOLE_LOOKS_KEPT)

    async def follow(self) -> None:
        """Look every so often, for ever."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("the processes could not be looked at; the next look tries again")
            await asyncio.sleep(limits.CONSOLE_LOOK_S)

    async def look(self) -> None:
        """Look once, now."""
        processes, lags = await asyncio.gather(self._processes.look(), self._lags.lags())
        if self._looks:
            last = self._looks.pop()
            self._looks.append(Look(at=last.at, processes=tuple(_reduced(last.processes)), lags=last.lags))
        self._looks.append(Look(at=self._clock.now(), processes=processes, lags=lags))

    @property
    def last(self) -> Look | None:
        return self._looks[-1] if self._looks else None

    def rows(self) -> tuple[StageRow, ...]:
        """Return how every stage stands."""
        return tuple(self._row(stage) for stage in STAGES)

    def _row(self, stage: Stage) -> StageRow:
        last = self._looks[-1] if self._looks else None
        running = [] if last is None else [one for one in last.processes if kind_of(one) == stage.process]
        history = tuple(self._rates(stage))
        lag, at_most = (None, False) if last is None else _lag(stage, last, running)
        return StageRow(
            stage=stage,
            running=len(running),
            per_s=history[-1] if history and running else None,
            history=history,
            lag=lag,
            lag_at_most=at_most,
            age_s=self._age(stage),
            # A worker that has nothing to do commits nothing, for as long as that may be.
            oldest_s=None if stage.oldest == COMMIT_AGE and not lag else _largest(running, stage.oldest),
        )

    def _rates(self, stage: Stage) -> Iterator[float]:
        looks = list(self._looks)
        for former, later in pairwise(looks):
            seconds = (later.at - former.at).total_seconds()
            before, after = _counts(stage, former), _counts(stage, later)
            # A process that is new, or began anew, counts from nought: what it did before is not this time's work.
            grown = sum(
                max(value - before[name], 0) if value >= before[name] else value
                for name, value in after.items()
                if name in before
            )
            yield grown / seconds if seconds > 0 else 0.0

    def _age(self, stage: Stage) -> float | None:
        looks = list(self._looks)[-_SHARE_LOOKS:]
        if stage.age is None or not looks:
            return None
        after, before = _buckets(stage, looks[-1]), _buckets(stage, looks[0])
        counts = {bound: value - before.get(bound, 0.0) for bound, value in after.items()}
        if any(value < 0 for value in counts.values()) or len(looks) == 1:
            counts = after  # a process began anew, or there is one look only: all that it says
        return quantile(counts, _PERCENT)


def kind_of(process: Process) -> str | None:
    """Return what a process says that it is: bridge, router, delivery, journal, archive."""
    labels = next(iter(process.figures.get("dip_info", ())), None)
    return None if labels is None else labels[1]


def quantile(counts: Mapping[float, float], share: float) -> float | None:
    """Return the bound under which a share of all values lies, by cumulated counts; infinity: beyond the last."""
    bounds = sorted(counts)
    if not bounds or counts[bounds[-1]] <= 0:
        return None
    reached = [counts[bound] for bound in bounds]
    return bounds[bisect_left(reached, share * reached[-1])]


def _reduced(processes: Iterable[Process]) -> Iterator[Process]:
    kept = {one.counter for one in STAGES} | {f"{one.age}_bucket" for one in STAGES if one.age}
    for one in processes:
        figures = {name: values for name, values in one.figures.items() if name in kept | {"dip_info"}}
        yield Process(address=one.address, figures=figures, trouble=one.trouble)


def _counts(stage: Stage, look: Look) -> dict[str, float]:
    return {
        one.address: sum(
            value
            for labels, value in one.figures.get(stage.counter, {}).items()
            if not stage.labels or labels[0] in stage.labels
        )
        for one in look.processes
        if kind_of(one) == stage.process
    }


def _buckets(stage: Stage, look: Look) -> dict[float, float]:
    found: dict[float, float] = {}
    for one in look.processes:
        for labels, value in one.figures.get(f"{stage.age}_bucket", {}).items():
            bound = float(labels[-1])
            found[bound] = found.get(bound, 0.0) + value
    return found


def _values(process: Process, name: str | None) -> Iterable[float]:
    figures: Figures = process.figures
    return () if name is None else figures.get(name, {}).values()


def _largest(processes: Iterable[Process], name: str | None) -> float | None:
    return max((value for one in processes for value in _values(one, name)), default=None)


def _lag(stage: Stage, look: Look, running: Iterable[Process]) -> tuple[int | None, bool]:
    """Return the lag as the workers say it; where none does, what the broker knows, and that it may be less."""
    if stage.process == "archive":
        found = [value for one in running for value in _values(one, "dip_archive_lag_records")]
        return (int(sum(found)) if found else None), False
    told = [
        value
        for one in running
        for labels, value in one.figures.get("dip_consumer_lag_records", {}).items()
        if labels[0] in stage.topics
    ]
    if told:
        return int(sum(told)), False
    if stage.group is None or isinstance(look.lags, Trouble):
        return None, False
    return sum(look.lags.get((stage.group, topic), 0) for topic in stage.topics), True
