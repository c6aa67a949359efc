"""A recipient of everything goes away, a million copies wait for it, it comes back: on real Kafka, the others beside it.

    .venv/bin/python -m benchmarks.parked_kafka [--rows 1000000] [--rate 1500] [--json] [--alone 20]

The real worker, signed, over mutual TLS. Ten others get two copies a second each all the while, and every phase has their
p50, p90 and longest wait, so that phases of one run are compared under one load:

    alone      nobody is away
    parking    the big recipient takes calls and never answers; `--rate` copies a second come for it
    restart    kill -9 in the middle of it, until a new worker has caught up; what was under way at the kill counts here
    parked     all rows wait; its probes go on
    draining   it answers again; kill -9 at half, and on
    drained    nothing waits any more

Its channel keeps the order of an MPAN (50,000 of them, twenty copies each). What arrived is the recipients' own log: every
copy once at least, repeats counted, per MPAN in order at first arrival; the table's changelog has to end empty, and every
offset committed.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.parked_book import MPANS, Book
from benchmarks.parked_receivers import AWAY, LOG
from benchmarks.parked_stage import BIG, OTHERS, Others, Stage, receivers, wait
from pipeline import topics
from pipeline.domain.fanout import outbound_partitions
from pipeline.domain.identifiers import Mpan
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from tests.integration.delivery.rig import PARTITIONS, Rig

ALONE_S: Final = 20.0


def fill(stage: Stage, until: int, rate: float) -> float:
    """Send copies to the big recipient at a rate, never a second's worth ahead of the worker; return the seconds."""
    producer = Producer({**stage.rig.client, "linger.ms": 5, "partitioner": "murmur2_random"})
    began, chunk = time.monotonic(), max(1, int(rate / 20))
    with stage.lags() as lags:
        looked_s = 0.0
        while stage.sent < until:
            for _ in range(min(chunk, until - stage.sent)):
                mpan = Mpan(f"20{stage.sent % MPANS:011d}")
                stage.produce(producer, stage.sent, BIG, mpan)
                stage.sent += 1
            time.sleep(chunk / rate)
            if time.monotonic() - looked_s > 0.5:  # twice a second
                looked_s = time.monotonic()
                while lags() > rate:
                    time.sleep(0.1)
                stage.look()
    assert producer.flush(60) == 0
    return time.monotonic() - began


def restart(stage: Stage, others: Others, then: str) -> float:
    """Kill the worker and start another; return how long the others were without deliveries."""
    stage.enter("restart")
    stage.kill()
    stage.book.read()
    began, before = time.monotonic(), len(stage.book.others)
    others.caught_by("restart", stage.book)
    stage.start()
    wait(stage, lambda: len(stage.book.others) > before, "others are served again", within_s=120)
    silent_s = time.monotonic() - began
    with stage.lags() as lags:
        wait(stage, lambda: lags() < 2_000, "the new worker has caught up", within_s=300)  # a moment's
    stage.enter(then)
    return silent_s


def run(stage: Stage, others: Others, rows: int, rate: float, alone_s: float) -> dict[str, Any]:
    """Go through the phases; return the figures."""
    figures: dict[str, Any] = {"rows": rows}
    away, book = stage.folder / "hooks" / AWAY, stage.book
    stage.rig.register(BIG, *OTHERS, messages_max=100)
    stage.start()
    others.start()
    wait(stage, lambda: len(book.others) > 3 * len(OTHERS), "everybody is served", within_s=120)
    stage.enter("alone")
    wait(stage, _after(alone_s), "time passes", within_s=2 * alone_s)
    away.touch()
    stage.enter("parking")
    seconds = fill(stage, rows // 2, rate)
    figures["silent s after the first kill"] = restart(stage, others, "parking")
    seconds += fill(stage, rows, rate)
    with stage.lags() as lags:
        seconds += wait(stage, lambda: lags() < len(OTHERS), "everything is parked", within_s=600)
    figures["parking copies/s"], figures["parking cpu us/copy"] = rows / seconds, _us(stage, "parking", rows)
    assert book.taken == 0, "it was away"
    stage.enter("parked")
    wait(stage, _after(alone_s), "time passes", within_s=2 * alone_s)
    away.unlink()
    stage.enter("draining")
    wait(stage, lambda: book.taken > 0, "the first copy", within_s=120)
    seconds = wait(stage, lambda: book.taken >= rows // 2, "half is drained", within_s=3_600)
    figures["silent s after the second kill"] = restart(stage, others, "draining")
    already = book.taken
    seconds += wait(stage, lambda: book.taken == rows, "all is drained", within_s=3_600)
    drained = rows // 2 + rows - already
    figures["drain copies/s"], figures["drain cpu us/copy"] = (
        drained / seconds,
        _us(stage, "draining", drained),
    )
    stage.enter("drained")
    wait(stage, _after(alone_s), "time passes", within_s=2 * alone_s)
    others.stop()
    with stage.lags() as lags:
        wait(stage, lambda: lags() == 0, "every offset is committed", within_s=120)
    wait(stage, lambda: len(book.others) == len(others.sent), "the others have everything", within_s=60)
    return figures | ledger(stage)


def ledger(stage: Stage) -> dict[str, Any]:
    """Return what the recipients' log and the topics say at the end."""
    book = stage.book
    live: set[bytes] = set()
    for message in stage.rig.read(topics.PARKED_CHANGELOG):
        (live.discard if message.value() is None else live.add)(message.key())
    return {
        "missing": stage.sent - book.taken,
        "repeats": book.repeats,
        "inversions inside an MPAN": book.inversions,
        "overtaken by at most": book.step_back,
        "nobody sent": book.strangers,
        "others' repeats": book.others_repeats,
        "rows left": len(live),
        "dead letters": len(stage.rig.read(topics.DEAD_LETTER_DELIVERY)),
    }


def _us(stage: Stage, phase: str, copies: int) -> float:
    return stage.cpu_s[phase] / copies * 1e6


def _after(seconds: float) -> Any:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def phases(stage: Stage, others: Others) -> dict[str, dict[str, float]]:
    """Return the others' waits and the worker's memory by phase."""
    beside = outbound_partitions(BIG, partitions=PARTITIONS)
    found = {}
    for phase in ("alone", "parking", "restart", "parked", "draining", "drained"):
        waits, near = (others.waits_ms(phase, stage.book, beside=one) for one in (None, beside))
        tenths = quantiles(waits, n=10)
        rss = stage.rss[phase]
        found[phase] = {
            "copies": len(waits), "p50_ms": tenths[4], "p90_ms": tenths[-1], "max_ms": max(waits),
            "p90_ms_same_partition": quantiles(near, n=10)[-1] if len(near) > 1 else 0.0,
            "rss_mb_median": median(rss), "rss_mb_max": max(rss), "rss_mb_last": rss[-1],
        }  # fmt: skip
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=1_500, help="copies a second while it is away, at most")
    parser.add_argument("--alone", type=float, default=ALONE_S, help="seconds of each phase that only waits")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.load(state_dir=str(folder / "stack"))
        with (
            LocalStack(options_from(settings), fresh=True) as stack,
            receivers(folder / "hooks") as hooks,
        ):
            rig = Rig(folder, stack.bootstrap, stack.registry_url, hooks)  # type: ignore[arg-type]  # what it uses
            stage = Stage(rig, folder, Book(folder / "hooks" / LOG, options.rows))
            others = Others(stage)
            try:
                figures = run(stage, others, options.rows, options.rate, options.alone)
                by_phase = phases(stage, others)
            finally:
                rig.stop()
    if options.json:
        print(json.dumps(figures | {"phases": by_phase}))
        return
    print("\n".join(f"{name:<32}{value:>12,.0f}" for name, value in figures.items()))
    for phase, row in by_phase.items():
        print(f"{phase:<10}" + "".join(f"  {name} {value:,.0f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
