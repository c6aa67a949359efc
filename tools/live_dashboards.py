"""Ask a real Prometheus every query of the dashboards and alerts, while a whole router has a day: `make dashboards`.

Starts the demo's stack and an archive, has Prometheus scrape every process, plays a market day, sends the bridge what is no
HTTP, and then asks each query over the whole run. Prints the queries without data; exit code 1 for one that is not expected.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import promql_parser
import yaml
from dashboards import dashboards
from fetch_helm import Unavailable
from fetch_promtool import fetch

from pipeline.localstack import BrokerProfile, options_from
from pipeline.localstack.ports import free_ports
from pipeline.localstack.registry import responds
from pipeline.localstack.waiting import monotonic_s, wait_until
from pipeline.operate.market_day import run_day
from pipeline.operate.scene import Scene, Stage
from pipeline.settings import Settings
from pipeline.simulator.profile import Profile
from pipeline.simulator.progress import Progress
from pipeline.simulator.run import run_market
from tests.chart.queries import selectors

ROOT: Final = Path(__file__).parents[1]
_SCRAPE_S: Final = 2
_READY_S_MAX: Final = 60
_OPEN_REQUESTS: Final = Settings().participant_requests_open_max
_DIP: Final = (sys.executable, "-m", "pipeline.operate.main")

NOT_ON_A_GOOD_DAY: Final[Mapping[str, str]] = {
    'code="exception"': "no step fails",
    'reason="not-durable"': "Kafka is there",
    'status="500"': "the bridge does not fail",
    'status="503"': "nobody is turned away",
    'error_class="ours"': "no fault is ours",
}
"""Series that exist only after what the alert is about; by a part of the selector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query, where it stands, and how many series it gave with a number in them."""

    where: str
    query: str
    series: int
    excuse: str | None = None


def main() -> int:
    """Play, ask, tell."""
    state = Path(os.environ.get("DIP_STATE_DIR", "var")).absolute() / "dashboards"
    profile = Profile(meters=400, messages=700)
    with Progress(now_s=monotonic_s) as progress:
        scene = Scene(state=state, profile=profile, progress=progress)
        began_s = time.time()
        with (
            scene.open(options_from(scene.local_settings(), profile=BrokerProfile.SMALL)) as stage,
            archiving(scene) as archive,
            prometheus(state, {**stage.metrics, "archive": archive}) as url,
        ):
            _play(stage, scene, progress)
            _disturb(stage)
            time.sleep(5 * _SCRAPE_S)
            found = [*asked(url, began_s), *alerted(url, began_s)]
    return _tell(found)


def _play(stage: Stage, scene: Scene, progress: Progress) -> None:
    run_day(
        run_market(
            stage.market,
            scene.profile,
            sandbox=stage.sandbox,
            catalogue=stage.catalogue,
            outside=stage.outside,
            progress=progress,
        )
    )


def _disturb(stage: Stage) -> None:
    """Send the bridge what no participant of the market does: what is no HTTP, half a head, too much at a time."""
    pen = next(iter(stage.sandbox.pens(stage.market.cast).values()))
    begun = (
        b"POST /dip-channel/IF-021 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        + f"X-API-Key: {pen.api_key}\r\n\r\n".encode()
    )
    with ExitStack() as open_:
        wires = [open_.enter_context(_connected(stage)) for _ in range(_OPEN_REQUESTS + 2)]
        for wire in wires:
            wire.sendall(begun)
        wires[-1].recv(1_000)
    for text in (b"no http at all\r\n\r\n", b"POST / HT"):
        with suppress(OSError), _connected(stage) as wire:
            wire.sendall(text)
            wire.recv(1_000)  # the answer, or the end of its patience


def _connected(stage: Stage) -> ssl.SSLSocket:
    bridge = urlsplit(stage.outside.bridge_url)
    plain = socket.create_connection((bridge.hostname or "", bridge.port or 0), timeout=_READY_S_MAX)
    return stage.sandbox.client_tls().wrap_socket(plain, server_hostname=bridge.hostname)


@contextmanager
def archiving(scene: Scene) -> Iterator[str]:
    """Run an archive beside the demo; yield where its metrics are."""
    key, (port,) = scene.folder / "archive.pem", free_ports(1)
    place = scene.folder / "archive"
    shutil.rmtree(place, ignore_errors=True)  # the topics are new, and an archive refuses to mix them
    subprocess.run([*_DIP, "archive", "key", str(key)], check=not key.exists(), capture_output=True)
    environment = {
        **os.environ,
        "DIP_ARCHIVE_SIGNING_KEY": str(key),
        "DIP_WORKER_PORT": str(port),
        "DIP_ARCHIVE_URL": str(place),
        "DIP_ARCHIVE_SEAL_S": "5",
    }
    with (scene.logs / "archive.log").open("wb") as log:
        process = subprocess.Popen([*_DIP, "archive"], env=environment, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}/metrics"
        finally:
            process.terminate()
            process.wait(_READY_S_MAX)


@contextmanager
def prometheus(state: Path, pages: Mapping[str, str]) -> Iterator[str]:
    """Run Prometheus over the pages, each with the labels that a cluster would give it; yield its address."""
    folder, (port,) = state / "prometheus", free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        {
            "job_name": name,
            "static_configs": [{"targets": [urlsplit(page).netloc], "labels": {"pod": f"{name}-0"}}],
        }
        for name, page in pages.items()
    ]
    config = {
        "global": {"scrape_interval": f"{_SCRAPE_S}s", "scrape_timeout": f"{_SCRAPE_S}s"},
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    command = [
        str(fetch("prometheus")),
        "--config.file=prometheus.yml",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path=data-{os.getpid()}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            if not wait_until(lambda: responds(f"{url}/-/ready"), timeout_s_max=_READY_S_MAX):
                raise Unavailable(f"Prometheus is not ready; its log is {folder / 'log'}")
            yield url
        finally:
            process.terminate()
            process.wait(_READY_S_MAX)


def asked(url: str, began_s: float) -> Iterator[Asked]:
    """Ask every query of every panel."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", f"{10 * _SCRAPE_S}s")
                yield Asked(
                    where=f"{name}: {panel['title']}", query=query, series=series(url, query, began_s)
                )


def alerted(url: str, began_s: float) -> Iterator[Asked]:
    """Ask for what every alert looks at: its expression is silent on a good day, its series must be there."""
    groups = yaml.safe_load((ROOT / "helm" / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in (one for group in groups for one in group["rules"]):
        series(url, rule["expr"], began_s)  # Prometheus takes it
        for selector in sorted({one.prettify() for one in selectors(promql_parser.parse(rule["expr"]))}):
            excuse = next((why for part, why in NOT_ON_A_GOOD_DAY.items() if part in selector), None)
            found = series(url, selector, began_s)
            yield Asked(where=f"alert {rule['alert']}", query=selector, series=found, excuse=excuse)


def series(url: str, query: str, began_s: float) -> int:
    """Return how many series a query gave since the beginning that hold a number at some time."""
    options = urlencode({"query": query, "start": began_s, "end": time.time(), "step": _SCRAPE_S})
    with urlopen(f"{url}/api/v1/query_range?{options}", timeout=_READY_S_MAX) as answer:  # noqa: S310  # on loopback
        rows: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return sum(any(value != "NaN" for _, value in row["values"]) for row in rows)


def _tell(found: list[Asked]) -> int:
    empty = [one for one in found if not one.series]
    for one in empty:
        print(f"no data  {one.where}\n         {one.query}\n         {one.excuse or 'NOT EXPECTED'}")
    wrong = sum(one.excuse is None for one in empty)
    print(f"{len(found)} queries, {len(found) - len(empty)} with data, {wrong} without it unexpectedly")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unavailable as reason:
        sys.exit(f"live_dashboards: {reason}")
