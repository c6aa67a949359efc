"""Memory of every process under a light, steady load: the whole product, sampled all the time.

    .venv/bin/python -m benchmarks.soak [--minutes 60] [--rate 20] [--csv FILE]

The first third fills caches, pools and stores; what counts is how memory rises after it, in bytes a message: a process
that kept something of every message would show it there. `simulator` is the load itself, which does keep what it
expects of every message.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression, median
from typing import Any, Final

import psutil

from pipeline.localstack.waiting import monotonic_s
from pipeline.operate.bench_path import open_peak, play
from pipeline.operate.scene import PARTITIONS, Stage
from pipeline.simulator.peak_run import Step
from pipeline.simulator.progress import Progress

EVERY_S: Final = 30
SETTLING_SHARE: Final = 1 / 3
"""Of the run: what is sampled before counts for no slope."""


def main() -> None:
    """Run, and print what each process had at the start, at the end, and how it rose."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20, help="messages a second")
    parser.add_argument("--csv", type=Path, help="every sample, as they come")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    watch = Watch(minutes=chosen.minutes, file=chosen.csv)
    with (
        Progress(now_s=monotonic_s, quiet=chosen.json) as progress,
        open_peak(
            array=10, seconds=EVERY_S, mpans=20_000, progress=progress, partitions=PARTITIONS, workers=1
        ) as (peak, stage),
    ):
        watch.stage = stage
        play(stage, peak.repeat(chosen.rate, watch.look))
    found = watch.figures()
    print(json.dumps(found) if chosen.json else table(found))
    if found["lost"] or found["phantom"]:
        sys.exit("copies were lost or misaddressed")


class Watch:
    """Samples after each step, and the time at which to stop."""

    stage: Stage

    def __init__(self, *, minutes: float, file: Path | None) -> None:
        self._minutes, self._file = minutes, file
        self._started_s = 0.0
        self._messages = self._lost = self._phantom = self._copies = 0
        self.samples: list[dict[str, float]] = []

    def look(self, step: Step) -> bool:
        """Take a sample; tell whether to go on."""
        now_s = time.monotonic()
        self._started_s = self._started_s or now_s
        self._messages += step.messages
        self._copies += step.copies
        self._lost += step.lost
        self._phantom += step.phantom
        minutes = (now_s - self._started_s) / 60
        self.samples.append({"minutes": minutes, "messages": self._messages, **memory_mb(self.stage)})
        if self._file is not None:
            with self._file.open("a", newline="") as stream:
                writer = csv.DictWriter(stream, self.samples[0])
                if len(self.samples) == 1:
                    writer.writeheader()
                writer.writerow({name: round(value, 2) for name, value in self.samples[-1].items()})
        return minutes < self._minutes

    def figures(self) -> dict[str, Any]:
        """Return the account of the run, and a row for each process."""
        names = [name for name in self.samples[0] if name not in {"minutes", "messages"}]
        return {
            "minutes": round(self.samples[-1]["minutes"], 1),
            "messages": self._messages,
            "copies": self._copies,
            "lost": self._lost,
            "phantom": self._phantom,
            "processes": {name: trend(self.samples, name) for name in names},
        }


def memory_mb(stage: Stage) -> dict[str, float]:
    """Return the resident memory of every process."""
    return {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in stage.pids().items()}


def trend(samples: Sequence[dict[str, float]], name: str) -> dict[str, float]:
    """Return what a process had at first, in the middle third and in the last, and its rise after settling. Pure."""
    settled = samples[int(len(samples) * SETTLING_SHARE) :]
    half = len(settled) // 2
    slope = linear_regression([one["messages"] for one in settled], [one[name] for one in settled]).slope
    return {
        "first_mb": round(samples[0][name], 1),
        "middle_mb": round(median(one[name] for one in settled[:half]), 1),
        "last_mb": round(median(one[name] for one in settled[half:]), 1),
        "bytes_per_message": round(slope * 1e6),
    }


def table(found: dict[str, Any]) -> str:
    """Return a line for each process."""
    lines = [
        f"{found['minutes']} minutes, {found['messages']:,} messages, {found['copies']:,} copies",
        f"lost {found['lost']}, phantom {found['phantom']}",
        f"{'MB':<12}{'first':>10}{'middle':>10}{'last':>10}{'bytes a message':>18}",
    ]
    for name, row in found["processes"].items():
        first, middle, last, slope = row.values()
        lines.append(f"{name:<12}{first:>10,}{middle:>10,}{last:>10,}{slope:>18,}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
