"""What the journal can do under load: a day replayed beside live traffic, its answers' times, its size, its restore.

    .venv/bin/python -m benchmarks.replay [--messages 100000] [--rate 200] [--json]

The whole product on this machine, as `dip bench path` runs it. First the day is sent, then live traffic goes on at
`--rate`, in turn with nothing beside it and with one recipient that pulls its whole day, page after page; delivery
statuses are asked for all the time. Then a part of the day is requeued beside the traffic. At the end the journal worker is
killed, once with its folder kept and once with it deleted. Load, webhooks and the recipient share one process.
"""

import argparse
import asyncio
import json
import math
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from benchmarks.replay_client import Asking, Timed, meanwhile
from pipeline.client.transport import Transport
from pipeline.localstack.registry import responds
from pipeline.localstack.waiting import monotonic_s, wait_until
from pipeline.operate.bench_path import open_peak, play
from pipeline.operate.scene import PARTITIONS, Stage
from pipeline.settings import Settings
from pipeline.simulator.model import Reaches
from pipeline.simulator.peak import Supply
from pipeline.simulator.peak_run import Measure, Peak, Step
from pipeline.simulator.progress import Progress

ASKED_A_SECOND: Final = 5.0
TURNS: Final = 2
"""How often live traffic is measured alone and with a replay, in turn."""
FILL_S: Final = 10
ALONE_S: Final = 15.0
ANY_RATE: Final = 1_500
"""What a replay reaches about where nothing holds it back."""
REQUEUED_S: Final = 15
"""How much work a requeue gets, at the 200 copies a second that a worker pushes."""
REQUEUE_RATE: Final = 200
WAIT_S: Final = 240.0
RECOVERED: Final = re.compile(r"recovered \d+ shards, (\d+) records in ([0-9.]+) s")
TABLE_BYTES: Final = re.compile(r'^dip_store_bytes\{table="([^"]+)"\} (\S+)$', re.MULTILINE)
LAG: Final = re.compile(r"^dip_consumer_lag_records\{[^}]*\} (\S+)$", re.MULTILINE)


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=100_000, help="of the day that is replayed")
    parser.add_argument("--fill", type=float, default=1_000, help="messages a second while the day is sent")
    parser.add_argument("--rate", type=float, default=200, help="live messages a second")
    parser.add_argument("--seconds", type=int, default=20, help="of each measurement of live traffic")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with (
        Progress(now_s=monotonic_s, quiet=chosen.json) as progress,
        open_peak(
            array=10, seconds=chosen.seconds, mpans=5_000, progress=progress, partitions=PARTITIONS, workers=1
        ) as (peak, stage),
    ):
        day = Day(peak=peak, stage=stage, messages=chosen.messages, fill=chosen.fill, rate=chosen.rate)
        play(stage, day.run())
        day.found["restart"] = [restarted(stage, wipe=wipe) for wipe in (False, True)]
    print(json.dumps(day.found) if chosen.json else text(day.found))
    if any(step.lost or step.phantom for step in day.steps):
        sys.exit("copies were lost or misaddressed")


@dataclass(slots=True, kw_only=True)
class Day:
    """One run. `found` has what `--json` prints."""

    peak: Peak
    stage: Stage
    messages: int
    fill: float
    rate: float
    found: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    async def run(self) -> None:
        """Send the day, then measure everything that asks for a living router."""
        async with (
            self.peak.warmed() as measure,
            Transport(
                self.stage.outside.bridge_url, tls=self.stage.sandbox.client_tls(), now=self.stage.outside.now
            ) as transport,
        ):
            recipient, share = self._busiest()
            asking = Asking(
                transport=transport,
                author=self.stage.sandbox.pens(self.stage.market.cast)[recipient],
                recipient=recipient,
            )
            before = table_bytes(self.stage)
            began = await self._send_day(measure)
            grown = {name: size - before.get(name, 0.0) for name, size in table_bytes(self.stage).items()}
            self.found |= {
                "index_bytes_a_message": {
                    name: round(size / self.found["messages"], 1) for name, size in grown.items() if size
                },
                "recipient_gets": round(share, 2),
            }
            await asking.pull_page()  # so that there are references to ask for
            await self._live(measure, asking)
            await self._alone(asking)
            await self._requeue(measure, asking, began, share)

    def _busiest(self) -> tuple[str, float]:
        """Return the recipient of most messages, and its share of all."""
        drafts = Supply.parcels(self.stage.market.plan.stream)
        gets = Counter(
            one
            for draft in drafts
            if isinstance(draft.expectation, Reaches)
            for one in draft.expectation.recipients
        )
        ((recipient, count),) = gets.most_common(1)
        return recipient, count / len(drafts)

    async def _send_day(self, measure: Measure) -> datetime:
        began, sent = datetime.now(UTC), 0
        while sent < self.messages:
            self.steps.append(await measure(self.fill, seconds=FILL_S))
            sent += self.steps[-1].messages
        await asyncio.to_thread(wait_until, lambda: not self._lag(), timeout_s_max=WAIT_S)
        self.found["messages"] = sum(one.messages for one in self.steps)
        return began

    async def _live(self, measure: Measure, asking: Asking) -> None:
        """Measure live traffic in turn alone and beside a replay of the day; statuses are asked for in both."""
        rows: dict[str, list[dict[str, Any]]] = {"alone": [], "beside a replay": []}
        rate = Settings.load().replay_messages_per_s or ANY_RATE
        whole_s = max(self.peak.seconds, math.ceil(self.messages / rate / TURNS))
        for turn in range(2 * TURNS):
            name = ("alone", "beside a replay")[turn % 2]
            asking.pages, asking.statuses = Timed(), Timed()
            works = [asking.ask(a_second=ASKED_A_SECOND), *([asking.pull()] if turn % 2 else [])]
            before, started = asking.pulled, time.perf_counter()
            async with meanwhile(*works):
                step = await measure(self.rate, seconds=whole_s if turn % 2 else self.peak.seconds)
            rows[name].append(
                {
                    "live": step.latency_s,
                    "in_per_s": step.in_per_s,
                    "cores_busy": step.cores_busy,
                    "cpu_us_per_message": dict(step.cpu_us_per_message),
                    "pulled_a_second": round((asking.pulled - before) / (time.perf_counter() - started)),
                    "statuses": asking.statuses.row(),
                    "pages": asking.pages.row(),
                }
            )
            self.steps.append(step)
        self.found["live"] = rows

    async def _alone(self, asking: Asking) -> None:
        """Pull for some seconds with nothing beside it."""
        asking.pages = Timed()
        cpu, before, started = self.stage.cpu_s(), asking.pulled, time.perf_counter()
        while time.perf_counter() - started < ALONE_S:
            await asking.pull_page()
        took_s, pulled, after = time.perf_counter() - started, asking.pulled - before, self.stage.cpu_s()
        self.found["replay_alone"] = {
            "messages": pulled,
            "a_second": round(pulled / took_s),
            "pages": asking.pages.row(),
            "cpu_us_a_message": {name: round((after[name] - cpu[name]) / pulled * 1e6) for name in after},
        }

    async def _requeue(self, measure: Measure, asking: Asking, began: datetime, share: float) -> None:
        """Measure live traffic beside a requeue of as much as it pushes in that time."""
        period_s = REQUEUED_S * REQUEUE_RATE / (self.fill * share)
        name = await asking.requeue(since=began, until=began + timedelta(seconds=math.ceil(period_s)))
        step = await measure(self.rate)
        self.steps.append(step)
        state = await asking.requeue_state(name)
        self.found["beside_a_requeue"] = {"live": step.latency_s, "requeue": state}

    def _lag(self) -> float:
        return sum(map(float, LAG.findall(metrics_page(self.stage))))


def metrics_page(stage: Stage) -> str:
    """Return what the journal worker says of itself."""
    with urlopen(stage.metrics["journal"], timeout=10) as page:
        return bytes(page.read()).decode()


def table_bytes(stage: Stage) -> dict[str, float]:
    """Return the size of each table's files."""
    return {table: float(value) for table, value in TABLE_BYTES.findall(metrics_page(stage))}


def restarted(stage: Stage, *, wipe: bool) -> dict[str, Any]:
    """Kill the journal worker, delete its folder or keep it, and wait until it answers again."""
    folder = Path(Settings.load().state_dir)
    log = folder / "logs" / "journal.log"
    written, killed = log.stat().st_size, stage.pids()["journal"]
    os.killpg(killed, signal.SIGKILL)  # a process group of its own
    wait_until(lambda: stage.outside.stopped() is not None, timeout_s_max=WAIT_S)
    if wipe:
        for store in folder.glob("dip-journal-*"):
            shutil.rmtree(store)
    wait_until(lambda: stage.outside.stopped() is None and "journal" in stage.pids(), timeout_s_max=WAIT_S)
    started = time.monotonic()
    ready = stage.metrics["journal"].replace("/metrics", "/health/ready")
    if not wait_until(lambda: responds(ready), timeout_s_max=WAIT_S):
        raise SystemExit(f"the journal worker was not ready within {WAIT_S:.0f} s")
    took_s = time.monotonic() - started
    said = RECOVERED.findall(log.read_bytes()[written:].decode(errors="replace"))
    keys, recovery_s = (sum(float(one[place]) for one in said) for place in (0, 1))
    return {
        "folder": "deleted" if wipe else "kept",
        "ready_s": round(took_s, 2),
        "keys": int(keys),
        "recovery_s": round(recovery_s, 2),
        "keys_a_second": round(keys / recovery_s) if keys else None,
    }


def text(found: dict[str, Any]) -> str:
    """Return the findings as lines."""
    lines = [f"a day of {found['messages']:,} messages; the recipient gets {found['recipient_gets']} of each"]
    lines += [f"index, bytes a message: {found['index_bytes_a_message']}"]
    for name, rows in found["live"].items():
        lines += [f"live traffic {name}", *(f"  {line}" for row in rows for line in _rows(row))]
    lines += ["a replay with nothing beside it", *(f"  {line}" for line in _rows(found["replay_alone"]))]
    lines += ["live traffic beside a requeue", *(f"  {line}" for line in _rows(found["beside_a_requeue"]))]
    lines += ["the journal worker killed", *(f"  {row}" for row in found["restart"])]
    return "\n".join(lines)


def _rows(row: dict[str, Any]) -> Sequence[str]:
    return [f"{name}: {value}" for name, value in row.items()]


if __name__ == "__main__":
    main()
