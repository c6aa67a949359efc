"""How cost grows: with partitions and workers, with recipients, with dead endpoints.

    .venv/bin/python -m benchmarks.growth workers|recipients|dead [--json] [--rate 100] [--seconds 20]

`workers` runs `dip bench path` with 1, 2, 4 and 8 partitions and as many routers and delivery workers, at one rate: CPU a
message of each kind of process. `recipients` and `dead` ask the delivery worker alone, as `benchmarks.copies` does (IF-021
of 4.5 kB, signed, mTLS): CPU a delivered copy with 10 and 2,000 recipients, and with 1 % and 20 % of 200 endpoints
refusing connections. What growing MPANs cost is asked by `benchmarks.appointments`, what time costs by `benchmarks.soak`.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import copies_steps
from benchmarks.copies import WARM_COPIES_EACH, Load, Receivers, Sender, measure, receivers
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from tests.integration.delivery.rig import Rig

WORKERS: Final = (1, 2, 4, 8)
RECIPIENTS: Final = (10, 2_000)
ENDPOINTS: Final = 200
DEAD_PERCENT: Final = (0, 1, 20)
COPIES: Final = 6_000
ROUNDS: Final = 3
PATIENCE_S: Final = 600


def main() -> None:
    """Measure one part and print its rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("workers", "recipients", "dead"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rate", type=float, default=100, help="workers: messages a second")
    parser.add_argument("--seconds", type=int, default=20, help="workers: how long")
    chosen = parser.parse_args()
    rows: Iterator[dict[str, Any]]
    if chosen.part == "workers":
        rows = (at_workers(count, rate=chosen.rate, seconds=chosen.seconds) for count in WORKERS)
    else:
        rows = at_delivery(chosen.part)
    found = []
    for row in rows:
        found.append(row)
        if not chosen.json:
            print("  ".join(f"{name} {value:,}" for name, value in row.items()), flush=True)
    if chosen.json:
        print(json.dumps(found))


def at_workers(count: int, *, rate: float, seconds: int) -> dict[str, Any]:
    """Run the whole product in a process of its own; return CPU us a message by kind of process."""
    command = [sys.executable, "-m", "pipeline.operate.main", "bench", "path", "--json", "--rate", str(rate),
               "--seconds", str(seconds), "--partitions", str(count), "--workers", str(count)]  # fmt: skip
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    step = json.loads(answer)["steps"][0]
    kinds: dict[str, int] = {}
    for name, used in step["cpu_us_per_message"].items():
        kind = name.partition("-")[0]
        kinds[kind] = kinds.get(kind, 0) + used
    return {
        "workers": count, **kinds, "messages": step["messages"], "lost": step["lost"], "phantom": step["phantom"],
        "p90_s": step["latency_s"]["p90"],
    }  # fmt: skip


def at_delivery(part: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one part, on one broker."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack_settings = Settings.load(state_dir=str(folder / "stack"))
        with (
            LocalStack(options_from(stack_settings), fresh=True) as stack,
            receivers(folder / "hooks", max(RECIPIENTS)) as hooks,
        ):
            rig = Rig(folder, stack.bootstrap, stack.registry_url, hooks)  # type: ignore[arg-type]  # what it uses
            try:
                if part == "recipients":
                    for count in RECIPIENTS:
                        row = measure(rig, hooks, Load(recipients=count, batch=10, copies=COPIES), ROUNDS)
                        yield {name: round(value, 1) for name, value in row.items()}
                else:
                    yield from with_dead(rig, hooks)
            finally:
                rig.stop()


def with_dead(rig: Rig, hooks: Receivers) -> Iterator[dict[str, Any]]:
    """Yield CPU us a delivered copy, with more and more endpoints that refuse connections."""
    alive = hooks.url
    with refusing_port() as port:
        for percent in DEAD_PERCENT:
            hooks.begin_anew()
            names = [f"24{len(rig.sent):06d}{one:04d}"[:12] for one in range(ENDPOINTS)]
            dead = set(names[: ENDPOINTS * percent // 100])
            hooks.url = lambda who, dead=dead: (  # type: ignore[method-assign,misc]  # a rig asks it for addresses
                f"https://127.0.0.1:{port}/{who}" if who in dead else alive(who)
            )
            yield {"endpoints": ENDPOINTS, "dead_percent": percent, **one_load(rig, hooks, names, dead)}
            hooks.url = alive  # type: ignore[method-assign]


def one_load(rig: Rig, hooks: Receivers, names: Sequence[str], dead: set[str]) -> dict[str, float]:
    """Start a worker, send to all, and return what a copy to the living cost while the dead have their share, too."""
    rig.register(*names, messages_max=10)
    folder = Path(hooks.ca_file).parent
    worker = rig.start(
        webhook_certificate=str(folder / "client.pem"), webhook_key=str(folder / "client.key"),
        webhook_timeout_s="30",
    )  # fmt: skip
    healthy = [one for one in names if one not in dead]
    sender = Sender(
        rig=rig,
        hooks=hooks,
        names=healthy,
        batch=10,
        bodies=cycle(copies_steps.bodies()),
        patience_s=PATIENCE_S,
    )
    sender.send(len(healthy) * WARM_COPIES_EACH)
    process = psutil.Process(worker.pid)  # as a whole: threads of a worker that meets refusals come and go
    costs, to_dead = [], 0
    for _ in range(ROUNDS):
        before, started = process.cpu_times(), time.perf_counter()
        for number in range(COPIES * len(dead) // ENDPOINTS):
            rig.send_soon(sorted(dead)[number % len(dead)], body=next(sender.bodies))
            to_dead += 1
        sender.send(COPIES * len(healthy) // ENDPOINTS)
        after, seconds = process.cpu_times(), time.perf_counter() - started
        costs.append((after.user + after.system - before.user - before.system) / COPIES * 1e6)
    worker.terminate()
    worker.wait(60)
    return {
        "cpu_us_a_copy": round(statistics.median(costs), 1),
        "copies_to_the_dead": to_dead,
        "seconds_of_last_round": round(seconds, 1),
    }


@contextmanager
def refusing_port() -> Iterator[int]:
    """Lend a port on which nobody listens: a connection to it is refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


if __name__ == "__main__":
    main()
