"""A registration extract of 10 GB on 1 GB of memory: `dip appointments load --dry-run`, and the comparison of `drift`.

    .venv/bin/python -m benchmarks.extract FILE [--gb 10] [--seconds 1200] [--of load|drift] [--bad] [--json]

The file is written first, if it is not there: six rows for each MPAN in the order of MPANs, valid check digits. A child
process with an address space of 1 GB (RLIMIT_AS) then reads it through the product's own code; `drift` compares it with
a table made up as it is walked, in which every thousandth MPAN differs. Peak memory is sampled against the rows read.
With `--bad` no row of the file can be taken. After `--seconds` the reading stops: what counts is that memory is flat.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from pipeline.adapters.histories import encode
from pipeline.domain.appointments import UNKNOWN
from pipeline.domain.changes import apply, changes_in
from pipeline.domain.envelope import Registration
from pipeline.domain.identifiers import Mpan
from pipeline.operate.appointments_drift import Report, compare
from pipeline.operate.extracts import BadLine, Judge, read_groups
from tests.support.builders import day

MEMORY_BYTES: Final = 1 << 30
HEADER: Final = "mpan,slot,holder,valid_from,valid_to\n"
ROWS: Final = (
    "SUP,2300000001,2026-04-01T00:00:00+01:00,2026-07-01T00:00:00+01:00",
    "SUP,2300000002,2026-07-01T00:00:00+01:00,",
    "LDSO,2500000001,2026-04-01T00:00:00+01:00,",
    "MSS,1200000001,2026-04-01T00:00:00+01:00,",
    "SDS,1400000001,2026-04-01T00:00:00+01:00,",
    "GSP,_A,2026-04-01T00:00:00+01:00,",
)
WEIGHTS: Final = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)
TAIL_DIGITS, HEAD_DIGITS = 4, 8
SAMPLE_S: Final = 1.0


def main() -> None:
    """Write the file, read it in a child, print what the child needed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--gb", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--of", choices=("load", "drift"), default="load")
    parser.add_argument("--bad", action="store_true", help="a file of which no row can be taken")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        read(chosen.file, drift=chosen.of == "drift")
        return
    if not chosen.file.exists():
        write(chosen.file, size=int(chosen.gb * 1e9), bad=chosen.bad)
    found = watch(chosen)
    print(json.dumps(found) if chosen.json else "\n".join(f"{key:<22}{one}" for key, one in found.items()))


def write(file: Path, *, size: int, bad: bool) -> None:
    """Write a sorted extract of about `size` bytes: blocks that differ in the leading digits of their MPANs only."""
    heads = range(10 ** (HEAD_DIGITS - 1), 10**HEAD_DIGITS)
    blocks = [block(remainder, bad=bad) for remainder in range(11)]
    written = 0
    with file.open("wb") as stream:
        stream.write(HEADER.encode())
        for head in heads:
            digits = str(head)
            part = blocks[weighed(digits, 0) % 11].replace(b"HHHHHHHH", digits.encode())
            stream.write(part)
            written += len(part)
            if written >= size:
                return


def weighed(digits: str, start: int) -> int:
    """Return what digits from a place on add to the sum of the check digit."""
    return sum(int(one) * weight for one, weight in zip(digits, WEIGHTS[start:], strict=False))


def block(remainder: int, *, bad: bool) -> bytes:
    """Return the rows of 10,000 MPANs whose leading digits weigh `remainder` modulo 11."""
    lines = []
    for number in range(10**TAIL_DIGITS):
        tail = f"{number:0{TAIL_DIGITS}d}"
        check = (remainder + weighed(tail, HEAD_DIGITS)) % 11 % 10
        lines += [f"HHHHHHHH{tail}{check},{'X' if bad else ''}{row}\n" for row in ROWS]
    return "".join(lines).encode()


def watch(chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the child under its limit; return its peak, its memory at each tenth, and how far it came."""
    own = [sys.executable, "-m", "pipeline.operate.main", "appointments", "load", "--dry-run"]
    errors = chosen.file.with_suffix(".refused.csv")
    command = (
        [*own, "--allow-unknown-holders", "--errors", str(errors), "--json", str(chosen.file)]
        if chosen.of == "load"
        else [sys.executable, "-m", "benchmarks.extract", str(chosen.file), "--of", "drift", "--child"]
    )
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    resource.prlimit(child.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    process, samples, cpu_s = psutil.Process(child.pid), [], 0.0
    try:
        while child.poll() is None and time.monotonic() - started < chosen.seconds:
            time.sleep(SAMPLE_S)
            try:
                samples.append(process.memory_info().rss / 1e6)
                times = process.cpu_times()
                cpu_s, read_bytes = times.user + times.system, place_of(process, chosen.file)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                break
    finally:
        finished = child.poll()
        if finished is None:
            child.kill()
        answer = child.communicate()[0].decode().strip().splitlines()
        errors.unlink(missing_ok=True)
    size = chosen.file.stat().st_size
    if finished is not None:
        read_bytes = size
    step = max(1, len(samples) // 10)
    return {
        "exit": "stopped" if finished is None else finished,
        "file_gb": round(size / 1e9, 2),
        "read_gb": round(read_bytes / 1e9, 2),
        "mb_per_cpu_s": round(read_bytes / 1e6 / max(cpu_s, 0.01), 1),
        "peak_mb": round(max(samples), 1),
        "mb_by_tenth": [round(one, 1) for one in samples[::step]],
        "answer": answer[-1] if answer else None,
    }


def place_of(process: psutil.Process, file: Path) -> int:
    """Return how far a process has read a file."""
    return max((one.position for one in process.open_files() if one.path == str(file.absolute())), default=0)


def read(file: Path, *, drift: bool) -> None:
    """Do in this process what is measured."""
    assert drift
    refused = 0

    def bad(_line: BadLine) -> None:
        nonlocal refused
        refused += 1

    with Report(repair=None, differences=None) as report:
        compare(file, made_up(file), report=report, judge=Judge(), bad=bad)
    print(json.dumps({**report.counts(), "refused": refused}))


def made_up(file: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield a table's rows in order: what the file's first MPAN has, for every MPAN; each thousandth has nothing."""
    group = next(read_groups(good_twin(file), bad=lambda _: None, judge=Judge()))
    told = Registration(mpan=Mpan(group.mpan), source="made up", recorded_at=day(5), holdings=group.holdings)
    history = apply(UNKNOWN, changes_in(told), recorded_at=day(5), source="made up").history
    whole, empty = encode(history), encode(UNKNOWN)
    with file.open("rb") as stream:
        stream.readline()
        for number, row in enumerate(stream):
            if number % len(ROWS) == 0:
                yield row[:13], empty if number // len(ROWS) % 1000 == 0 else whole


def good_twin(file: Path) -> Path:
    """Return a file with the first MPAN's rows as they are when they are not bad."""
    twin = file.with_suffix(".first.csv")
    twin.write_text(HEADER + "".join(f"1000000000000,{row}\n" for row in ROWS))
    return twin


if __name__ == "__main__":
    main()
