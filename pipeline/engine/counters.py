"""What a worker has done since its process started; only what is committed counts."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter

from pipeline.engine.batch import OutputRow
from pipeline.engine.offsets import Place
from pipeline.engine.writer import RoundWork
from pipeline.metrics import Spread, Tally

EXCEPTION = "exception"
"""The code of a dead letter whose step failed: it has no code of its own."""

_topic, _headers = itemgetter(0), itemgetter(4)


@dataclass(slots=True)
class Counters:
    """Counted once a round, not once a record, but for dead letters."""

    monotonic: Callable[[], float] = time.monotonic
    rounds: int = 0
    records: int = 0
    resets: int = 0
    commits: Spread = field(default_factory=Spread)
    last_commit_s: float | None = None
    last_fetch_s: float | None = None
    last_record_s: dict[Place, float] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    dead_letters: Tally = field(default_factory=Tally)

    def committed(self, work: RoundWork, started_s: float) -> float:
        """Take a committed round in; return how long its commit took, in seconds."""
        now = self.monotonic()
        self.rounds += 1
        self.took_in(work)
        self.last_commit_s = now
        self.commits.note(now - started_s)
        self.written.update(map(_topic, work.outputs))
        for row in filter(_headers, work.outputs):
            self._letter(row)
        return now - started_s

    def took_in(self, work: RoundWork) -> None:
        """Take in what a round read; one that only took records into lanes ends with this."""
        self.records += work.read.total()
        self.read.update(work.read)

    def _letter(self, row: OutputRow) -> None:
        facts = dict(row[4] or ())
        if "dlq.topic" in facts:
            self.dead_letters.add(row[0], facts.get("dlq.code", EXCEPTION.encode()).decode(errors="replace"))
