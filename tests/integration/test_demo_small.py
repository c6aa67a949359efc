"""A small market through the whole real product: broker, registry, bridge, router, delivery, over signed HTTPS."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.localstack.waiting import wait_until
from pipeline.metrics import METRICS
from pipeline.openapi.topic_users import USERS
from tests.support.metrics_page import figures

pytestmark = pytest.mark.kafka

DEMO = (sys.executable, "-m", "pipeline.operate.main", "demo", "--mpans", "400", "--messages", "700")


def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "DIP_STATE_DIR": str(state)}


def processes_of(state: Path) -> list[str]:
    """Return the command lines of everything alive that was told to work in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            if str(state).encode() in told and entry.name != str(os.getpid()):
                found.append((entry / "cmdline").read_bytes().decode().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.timeout(240)
def test_a_small_day_closes_its_ledger_and_leaves_nothing_running(tmp_path):
    done = subprocess.run(DEMO, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert report["lost"] == report["phantom"] == 0
    assert report["differences"] == []
    assert report["submitted"] == report["accepted"] + report["rejected"] >= 600
    assert report["copies"] == report["delivered"] + report["parked"] + report["dead_lettered"]
    # A day in which nothing went wrong would show little.
    assert min(report[name] for name in ("rejected", "parked", "dead_lettered", "repeated")) > 0
    assert report["status_messages"]["delivered"] == report["status_messages"]["expected"] > 0
    assert set(report["latency_s"]) == {"p50", "p90", "p99", "max"}
    assert processes_of(tmp_path) == []
    metrics_equal(report, tmp_path / "demo" / "metrics")


def metrics_equal(report: dict, folder: Path) -> None:
    """Hold what the processes said of themselves against the ledger of a market that knows nothing of them.

    Before its day the market sends a message or two to see whether the router understands it already; they are no part
    of its ledger, and have one copy each.
    """
    bridge, router, delivery = (figures(folder / f"{one}.prom") for one in ("bridge", "router", "delivery"))
    early = bridge["dip_bridge_accepted_total",] - report["accepted"]
    copies = report["copies"] + early
    assert 0 <= early <= 5
    assert router["dip_records_written_total", "dip.outbound"] == copies
    assert delivery["dip_records_read_total", "dip.outbound"] == copies
    told = report["status_messages"]["delivered"]
    assert delivery["dip_copies_total", "Delivered"] == report["delivered"] + told + early
    assert delivery["dip_copies_parked",] == report["parked"]
    assert delivery["dip_copies_total", "RejectedByRecipient"] == report["dead_lettered"]
    ages = sum(value for name, value in delivery.items() if name[0] == "dip_delivery_age_seconds_count")
    assert ages == delivery["dip_copies_total", "Delivered"]
    shown = {name[0].removesuffix("_count") for page in folder.glob("*.prom") for name in figures(page)}
    # No archive runs in a demo, and nobody sends it broken HTTP or holds a connection.
    absent = {one.name for one in METRICS} - shown
    assert {
        one
        for one in absent
        if not one.startswith(("dip_archive_", "dip_bridge_broken", "dip_bridge_connections_closed"))
    } == set()
    for kind, page in (("router", router), ("delivery", delivery)):
        written = {name[1] for name in page if name[0] == "dip_records_written_total"}
        assert written <= set(USERS[kind].writes), "the document and the chart's rights leave a topic out"
    lags = [value for name, value in (router | delivery).items() if name[0] == "dip_consumer_lag_records"]
    assert lags
    assert all(page["dip_ready",] == 1 for page in (bridge, router, delivery))


@pytest.mark.timeout(240)
def test_ctrl_c_stops_everything(tmp_path):
    demo = subprocess.Popen(
        DEMO,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert wait_until(lambda: len(processes_of(tmp_path)) >= 3, timeout_s_max=120)
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=90)
    finally:
        demo.kill()
    assert demo.returncode not in {0, None}
    assert "Traceback" not in output, output[-3000:]
    assert wait_until(lambda: processes_of(tmp_path) == [], timeout_s_max=30), processes_of(tmp_path)
