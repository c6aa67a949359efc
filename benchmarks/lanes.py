"""The lane scenario of delivery.md 2 on the real delivery worker: what the healthy feel of a black hole.

    .venv/bin/python -m benchmarks.lanes [--json] [--seconds 30]

500 recipients over TLS, 300 copies a second. First all are healthy. Then a fifth of the traffic goes to one that
accepts and never answers (10 s timeout), and 24 small ones do the same. Latency is from the moment a copy is handed to
the Kafka client to its arrival at a healthy recipient; sender, broker, worker and recipients share the machine.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from statistics import quantiles

from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer, hole

RECIPIENTS, COPIES_PER_S, TIMEOUT_S = 500, 300, 10
BLACK_HOLE_SHARE, SMALL_HOLES = 0.2, 24


class Timed(WebhookServer):
    """Notes when a copy arrived."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.arrived: dict[str, float] = {}

    def took(self, who, request, messages):  # noqa: ANN001, ANN201  # as its base class
        """Keep the first arrival of each copy."""
        now = time.time()
        for one in messages:
            self.arrived.setdefault(one["transactionID"], now)
        super().took(who, request, messages)


def main() -> None:
    """Run both loads and print them beside each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    figures = {}
    for name, holes in (("clean", False), ("black hole", True)):
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = run(Path(folder), seconds=options.seconds, holes=holes)
        if not options.json:
            print(
                f"{name:<10} " + "  ".join(f"{key} {value}" for key, value in figures[name].items()),
                flush=True,
            )
    if options.json:
        print(json.dumps(figures))


def run(folder: Path, *, seconds: int, holes: bool) -> dict[str, float]:
    """Return the latencies of the healthy in seconds, and what became of every copy."""
    stack_settings = Settings.load(state_dir=str(folder / "stack"))
    with LocalStack(options_from(stack_settings), fresh=True) as stack, Timed(folder / "hooks") as server:
        rig = Rig(folder, stack.bootstrap, stack.registry_url, server)
        try:
            return _run(rig, server, seconds=seconds, holes=holes)
        finally:
            rig.stop()


def _run(rig: Rig, server: Timed, *, seconds: int, holes: bool) -> dict[str, float]:
    dice = random.Random(13)
    names = rig.names(RECIPIENTS)
    dead = names[: 1 + SMALL_HOLES] if holes else ()
    healthy = names[1 + SMALL_HOLES :]
    rig.register(*names)
    rig.start(webhook_timeout_s=str(TIMEOUT_S), retry_delays_s="0,1,2,4,8,15,60")
    rig.send(names, 1)  # connections are opened, code is warm
    rig.wait_for(lambda: len(server.arrived) == RECIPIENTS, "the first copies arrived")
    for name in dead:
        server.behaviour[name] = hole
    began = len(rig.sent)
    _send(rig, dice, names, seconds=seconds)
    wanted = [one for one in rig.sent[began:] if one.recipient in healthy]
    rig.wait_for(lambda: all(one.transaction_id in server.arrived for one in wanted), "the healthy have all")
    waits = sorted(server.arrived[one.transaction_id] - one.received_at.timestamp() for one in wanted)
    cuts = quantiles(waits, n=100)
    rig.wait_for(lambda: rig.unsettled() == 0, "everything is delivered or parked")
    return {
        "p50": round(cuts[49], 3), "p90": round(cuts[89], 3), "p99": round(cuts[98], 3), "max": round(waits[-1], 3),
        "sent": len(rig.sent), "delivered": len(rig.delivered()), "parked": len(rig.parked()),
    }  # fmt: skip


def _send(rig: Rig, dice: random.Random, names: tuple[str, ...], *, seconds: int) -> None:
    """Send at a steady rate from a thread, as other processes would."""

    def feed() -> None:
        started = time.monotonic()
        for number in range(seconds * COPIES_PER_S):
            wait = started + number / COPIES_PER_S - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            to = names[0] if dice.random() < BLACK_HOLE_SHARE else dice.choice(names[1:])
            rig.send_soon(to, shard=number)

    thread = threading.Thread(target=feed)
    thread.start()
    thread.join()
    rig.flush()


if __name__ == "__main__":
    main()
