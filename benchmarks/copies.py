"""CPU of the delivery worker per copy: the real process on a real broker, IF-021 of 4.5 kB, signed, over mTLS.

    .venv/bin/python -m benchmarks.copies [--steps] [--rounds N] [--json] [--only 4x10]

Recipients are ports of another process, so that only the worker is measured: CPU time of its process by thread, from
the first copy of a load to the commit of its last offset, over the copies. The sender keeps a bounded number of
copies under way: the worker is busy, and no copy is parked. `--steps` adds what each step inside costs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from benchmarks import copies_steps
from benchmarks.bridge import THREADS, Cpu, Running
from benchmarks.copies_receivers import COUNTS, counted
from benchmarks.recipients_tls import write_certificates
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from tests.integration.delivery.rig import Rig

UNDER_WAY_MAX: Final = 3_000  # copies, and far from what is parked
ARRAYS_UNDER_WAY: Final = (
    64  # of a recipient: as many as a lane may have; with 8 the worker waits for its own transactions
)
WARM_COPIES_EACH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One row of the table."""

    recipients: int
    batch: int
    copies: int


LOADS: Final = (
    Load(recipients=4, batch=1, copies=2_000),
    Load(recipients=4, batch=10, copies=10_000),
    Load(recipients=4, batch=50, copies=15_000),
    Load(recipients=400, batch=1, copies=2_000),
    Load(recipients=400, batch=10, copies=12_000),
    Load(recipients=400, batch=50, copies=40_000),
)


class Receivers:
    """The recipients' process. Has what a rig asks of a webhook server."""

    def __init__(self, folder: Path, ports: list[int], counts: Any) -> None:
        self.ca_file = str(folder / "ca.pem")
        self._ports, self._counts = ports, counts
        self._given: dict[str, int] = {}

    def url(self, who: str) -> str:
        """Return the address of a recipient; each new one has the next port."""
        port = self._given.setdefault(who, self._ports[len(self._given) % len(self._ports)])
        return f"https://127.0.0.1:{port}/{who}"

    def begin_anew(self) -> None:
        """Give the ports out again, to other recipients."""
        self._given.clear()

    @property
    def counts(self) -> tuple[int, int]:
        """Return copies taken and POSTs answered so far."""
        taken, posts = COUNTS.unpack(self._counts[:])
        return taken, posts


@contextmanager
def receivers(folder: Path, count: int) -> Iterator[Receivers]:
    """Run the recipients' process, with a client certificate for the worker beside its own."""
    write_certificates(folder)
    command = [sys.executable, "-m", "benchmarks.copies_receivers", str(folder), str(count)]
    with counted(folder / "counts") as counts:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            yield Receivers(folder, json.loads(process.stdout.readline()), counts)
        finally:
            process.kill()
            process.wait(30)


def main() -> None:
    """Measure each load, print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--steps", action="store_true", help="what each step inside the worker costs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="one load, as 4x10: recipients, messages of an array")
    chosen = parser.parse_args()
    loads = [one for one in LOADS if chosen.only in {None, f"{one.recipients}x{one.batch}"}]
    if not loads:
        parser.error(f"--only {chosen.only}: there is no such load")
    steps = copies_steps.measure() if chosen.steps else None
    figures = run(loads, chosen.rounds, quiet=chosen.json)
    if chosen.json:
        print(json.dumps({"process": figures, "steps": steps}))
    elif steps is not None:
        copies_steps.print_table(steps)


def run(loads: list[Load], rounds: int, *, quiet: bool) -> list[dict[str, float]]:
    """Start everything; return one row of medians for each load."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack_settings = Settings.load(state_dir=str(folder / "stack"))
        with (
            LocalStack(options_from(stack_settings), fresh=True) as stack,
            receivers(folder / "hooks", max(one.recipients for one in loads)) as hooks,
        ):
            rig = Rig(folder, stack.bootstrap, stack.registry_url, hooks)  # type: ignore[arg-type]  # what it uses
            try:
                for load in loads:
                    rows.append(measure(rig, hooks, load, rounds))
                    if not quiet:
                        print_row(rows[-1], heading=len(rows) == 1)
            finally:
                rig.stop()
    return rows


@dataclass(slots=True, kw_only=True)
class Sender:
    """Sends copies of a load to its recipients."""

    rig: Rig
    hooks: Receivers
    names: list[str]
    batch: int
    bodies: Iterator[bytes]
    patience_s: float = 90

    def send(self, count: int) -> None:
        """Send round about, no more under way than fill some arrays each, and wait until all are settled."""
        under_way_max = min(UNDER_WAY_MAX, len(self.names) * self.batch * ARRAYS_UNDER_WAY)
        base = self.hooks.counts[0]
        for number in range(count):
            while number % 50 == 0 and number - (self.hooks.counts[0] - base) > under_way_max:
                time.sleep(0.002)
            self.rig.send_soon(self.names[number // self.batch % len(self.names)], body=next(self.bodies))
        self.rig.flush()
        self.rig.wait_for(
            lambda: self.hooks.counts[0] - base >= count, "all copies arrived", within_s=self.patience_s
        )
        self.rig.wait_for(
            lambda: self.rig.unsettled() == 0, "all copies are settled", within_s=self.patience_s
        )


def measure(rig: Rig, hooks: Receivers, load: Load, rounds: int) -> dict[str, float]:
    """Start a worker and return the medians of its rounds under one load."""
    hooks.begin_anew()
    names = [f"24{len(rig.sent):06d}{one:04d}" for one in range(load.recipients)]
    rig.register(*names, messages_max=load.batch)
    folder = Path(hooks.ca_file).parent
    process = rig.start(
        webhook_certificate=str(folder / "client.pem"),
        webhook_key=str(folder / "client.key"),
        webhook_timeout_s="30",
    )
    sender = Sender(rig=rig, hooks=hooks, names=names, batch=load.batch, bodies=cycle(copies_steps.bodies()))
    sender.send(load.recipients * WARM_COPIES_EACH)
    found = [one_round(sender, Running(pid=process.pid, origin=""), load.copies) for _ in range(rounds)]
    process.terminate()
    process.wait(30)
    row = {key: statistics.median(one[key] for one in found) for key in found[0]}
    return {"recipients": load.recipients, "batch": load.batch, **row}


def one_round(sender: Sender, running: Running, copies: int) -> Cpu:
    """Send a load; return CPU a copy, arrays as they were, and the rate."""
    before, (_, posts), started = running.cpu_ns(), sender.hooks.counts, time.perf_counter()
    sender.send(copies)
    after, (_, posted), seconds = running.cpu_ns(), sender.hooks.counts, time.perf_counter() - started
    used = {kind: (after[kind] - before[kind]) / copies / 1e3 for kind in THREADS}
    return {
        **used,
        "all": sum(used.values()),
        "array": copies / (posted - posts),
        "rate": copies / seconds,
    }


def print_row(row: dict[str, float], *, heading: bool) -> None:
    """Print one line a load."""
    if heading:
        print("recipients x array      CPU us a copy = loop + python + Kafka    arrays were  copies/s")
    parts = " + ".join(f"{row[kind]:>4.0f}" for kind in THREADS)
    print(
        f"{row['recipients']:>10.0f} x {row['batch']:<5.0f}  {row['all']:>17.0f} = {parts}"
        f"  {row['array']:>11.1f}  {row['rate']:>8.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
