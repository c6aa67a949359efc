"""What one variant is told, and how it answers: one JSON object each way."""

import json
import os
import sys
import time
from dataclasses import dataclass

PARTITIONS = 8
KEYS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one variant: read `records` records of `source`, write as many to `target`."""

    bootstrap: str
    name: str  # application id, consumer group and transactional id; new for each run
    source: str
    target: str
    records: int
    table: bool
    directory: str
    rate_per_s: float = 0

    @classmethod
    def from_arguments(cls) -> "Job":
        """Read the job from the first argument."""
        return cls(**json.loads(sys.argv[1]))

    @property
    def changelog(self) -> str:
        """Return the changelog of the run's table."""
        return f"{self.name}-seen-changelog"


class Meter:
    """CPU time of the whole process, client threads included, from the first record to the last commit."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        """Begin, at the first record; later calls change nothing."""
        if not self._wall:
            self._wall, self._cpu = time.perf_counter(), time.process_time()

    def finish(self, records: int, **more: object) -> None:
        """Answer and end the process at once: closing down is not measured."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        answer(records=records, cpu_us=cpu / records * 1e6, per_s=records / wall, **more)


def answer(**figures: object) -> None:
    """Print the result and end the process."""
    assert sys.__stdout__ is not None
    print(
        "RESULT " + json.dumps(figures), flush=True, file=sys.__stdout__
    )  # Faust redirects sys.stdout to its log
    os._exit(0)
