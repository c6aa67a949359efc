"""The operator's tools for appointments on real Kafka: load with kill -9, export, drift, repair, explain."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline import topics
from pipeline.domain.identifiers import Mpan
from tests.chaos import faults
from tests.support.router_rig import (
    CENTRAL,
    DISTRIBUTOR,
    MPANS,
    OTHER_SUPPLIER,
    PARTITIONS,
    ROOT,
    SUPPLIER,
    RouterRig,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

COUNT = 21_000  # more than one checkpoint of the load
HEADER = "mpan,slot,holder,valid_from,valid_to\n"
SINCE = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def rig(stack: Any, private_broker: Callable[..., Any], tmp_path: Path) -> Iterator[RouterRig]:
    made = RouterRig(private_broker().bootstrap, stack.registry_url, tmp_path / "router")
    yield made
    made.close()


def start(rig: RouterRig, *arguments: str) -> "subprocess.Popen[str]":
    environment = {
        "KAFKA_BOOTSTRAP": rig.settings.kafka_bootstrap,
        "SCHEMA_REGISTRY_URL": rig.settings.schema_registry_url,
        "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        "DIP_STATE_DIR": str(rig.directory / "operator"),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.operate.main", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def dip(rig: RouterRig, *arguments: str, exit_code: int | None = 0) -> str:
    process = start(rig, *arguments)
    output, errors = process.communicate(timeout=240)
    assert exit_code is None or process.returncode == exit_code, (output[-2000:], errors[-3000:])
    return output


def rows(number: int, supplier: str = SUPPLIER) -> str:
    mpan = f"30{number:011d}"
    return f"{mpan},SUP,{supplier},{SINCE},\n{mpan},LDSO,{DISTRIBUTOR},{SINCE},\n"


def exported(rig: RouterRig) -> str:
    """Return what the table holds of the MPANs loaded here."""
    text = dip(rig, "appointments", "export")
    return HEADER + "".join(line for line in text.splitlines(keepends=True) if line.startswith("30"))


def test_a_load_killed_in_the_middle_ends_in_the_table_of_its_file(rig: RouterRig) -> None:
    """Kill -9 of the load and of the router: the next try goes on, and table = file. Then drift and repair."""
    file = rig.directory / "market.csv"
    text = HEADER + "".join(rows(number) for number in range(COUNT))
    file.write_text(text)
    progress = file.with_name(file.name + ".progress.json")
    worker = rig.start_worker()
    load = start(rig, "appointments", "load", str(file))
    faults.until(progress.exists, within_s=240, what="the load writes its first checkpoint")
    load.kill()
    load.communicate()
    worker.kill()
    worker.wait()
    rig.start_worker()

    result = json.loads(dip(rig, "appointments", "load", str(file), "--json"))
    assert result["refused"] == 0
    assert result["loaded"] == COUNT
    assert result["resumed_at_line"] is not None
    assert not progress.exists()
    faults.until(lambda: exported(rig) == text, within_s=300, what="the table is as the file")

    # Loading it again changes nothing: not one more row of the changelog with other bytes.
    assert json.loads(dip(rig, "appointments", "load", str(file), "--json"))["loaded"] == COUNT

    extract, repair = rig.directory / "extract.csv", rig.directory / "repair.csv"
    theirs = [rows(number) for number in range(COUNT - 1)]
    theirs[7] = rows(7, OTHER_SUPPLIER)
    extract.write_text(HEADER + "".join(theirs))
    found = json.loads(
        dip(rig, "appointments", "drift", str(extract), "--repair", str(repair), "--json", exit_code=1)
    )
    kept = len(MPANS)  # loaded by the rig, unknown to the extract
    assert (found["holder"], found["missing"], found["dates"]) == (1, 0, 0)
    assert found["differing"] == 1 + 1 + kept
    before = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    time.sleep(1.1)  # the question below is in whole seconds
    dip(rig, "appointments", "load", str(repair))
    mpan = f"30{7:011d}"

    def suppliers(*options: str) -> list[str]:
        asked = ("explain", "--mpan", mpan, "--channel", "IF-021", "--event", "ActivePower", "--json")
        answer = json.loads(dip(rig, *asked, *options))
        return [one["id"] for one in answer["recipients"] if one["reasons"][0]["role"] == "SUP"]

    faults.until(lambda: suppliers() == [OTHER_SUPPLIER], within_s=120, what="the repair arrives")
    assert suppliers("--as-known-at", before) == [SUPPLIER]
    again = json.loads(dip(rig, "appointments", "drift", str(extract), "--json", exit_code=1))
    assert again["holder"] == 0
    rig.stop()
    rig._verify_table("appointments")


def test_a_copy_that_was_sent_is_explained_from_the_audit(rig: RouterRig) -> None:
    """Why did the distributor get this one? By which row, and when was it recorded."""
    rig.start_worker()
    rig.feed(12)
    rig.settle(within_s=120)
    message = next(one for one in rig.messages if one.interface == "IF-021")
    asked = ("explain", "--transaction", message.transaction_id)
    answer = orjson.loads(dip(rig, *asked, "--recipient", DISTRIBUTOR, "--json"))
    (recipient,) = answer["recipients"]
    assert recipient["id"] == DISTRIBUTOR
    (reason,) = recipient["reasons"]
    assert (reason["kind"], reason["role"], reason["source"]) == ("Secondary", "LDSO", "load-1")
    assert reason["recordedAt"].startswith("20")
    text = dip(rig, *asked)
    assert DISTRIBUTOR in text
    assert "got no copy" in _error(rig, *asked, "--recipient", "9999999999")
    assert Mpan(answer["mpan"]) in MPANS


def _error(rig: RouterRig, *arguments: str) -> str:
    process = start(rig, *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors
    return errors


def test_what_could_not_be_addressed_is_routed_by_its_repair_once(rig: RouterRig) -> None:
    """The real table, the real transaction, and a worker that is killed after its commit in between."""
    rig.start_worker()
    rig.feed(10)
    rig.settle(within_s=120)
    body = orjson.loads(next(one for one in rig.messages if one.interface == "IF-021").body)
    common = body["payload"]["CommonBlock"]
    common["M0"]["MPANCore"] = "9900000000001"
    common["S1"]["senderUniqueReference"] += "x"
    stray = rig._taken(body, "IF-021")
    rig.put_raw(topics.INBOUND, rig.codec.encode_message(stray), b"z")
    rig.start_worker(crash_at="committed", crash_on=1)
    faults.until(lambda: rig.workers[-1].poll() is not None, within_s=120, what="the worker is killed")
    rig.start_worker()
    faults.until(lambda: bool(rig.read(topics.STATUS)), within_s=120, what="the sender is told")
    assert not [one for one in rig.copies() if one[0] == stray.transaction_id]

    file = rig.directory / "repair.csv"
    file.write_text(
        HEADER + f"9900000000001,SUP,{SUPPLIER},{SINCE},\n" + f"9900000000001,LDSO,{DISTRIBUTOR},{SINCE},\n"
    )
    dip(rig, "appointments", "load", str(file))
    expected = {SUPPLIER, DISTRIBUTOR, *CENTRAL}

    def reached() -> list[str]:
        return sorted(recipient for one, recipient in rig.copies() if one == stray.transaction_id)

    faults.until(lambda: reached() == sorted(expected), within_s=120, what="the repair routes it")
    dip(rig, "appointments", "load", str(file), "--source", "again")
    dip(rig, "appointments", "export", "--output", str(rig.directory / "after.csv"))
    answer = orjson.loads(dip(rig, "explain", "--transaction", stray.transaction_id, "--json"))
    assert answer["reason"].startswith("routed again after load-")
    rig.stop()
    assert reached() == sorted(expected)
    rig._verify_table("quarantine")
