"""The bridge under a fuzzer that knows its document: no server error, no answer that the document does not name."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from pipeline.ingress.openapi import openapi_document
from tests.fuzz.bare_bridge import RATES
from tests.integration.bridge.conftest import BridgeProcess, Site, entry
from tests.support.bridge import catalogue
from tests.support.fuzzing import Campaign, Findings, parties, row_of

LONG_SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
SECONDS = 10  # of the repeated part, after every call and pair was asked once


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bridge in a process of its own; nobody but the test run knows of it."""
    log = tmp_path_factory.mktemp("fuzz") / "bridge.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.bare_bridge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([row_of(party) for party in parties()]) + "\n")
    process.stdin.flush()
    yield process.stdout.readline().strip()
    process.stdin.close()
    said = log.read_text(encoding="utf-8")
    assert process.wait(60) == 0, said  # it was alive to the end, and ended in order
    assert "Traceback" not in said


def judge(findings: Findings) -> None:
    """Print what was seen, and demand that nothing was wrong and the campaign was one."""
    totals = sum(findings.statuses.values(), Counter[int]())
    print(
        f"{findings.requests} requests, {len(findings.statuses)} calls, statuses {dict(sorted(totals.items()))}"
    )
    assert findings.wrong == []
    assert {
        201,
        400,
        401,
        403,
        404,
    } <= findings.all_statuses  # accepted, refused, unknown, foreign, nothing there


def test_a_short_campaign_finds_no_server_error_and_no_undocumented_answer(origin: str) -> None:
    """Every call and every pair is asked at least once; the longer campaign is `make fuzz`."""
    document = openapi_document(catalogue())
    findings = Campaign(origin, document, number=1, senders=parties()).run(SECONDS)
    judge(findings)
    calls = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert calls <= findings.statuses.keys()


@pytest.mark.fuzz
@pytest.mark.kafka
@pytest.mark.timeout(LONG_SECONDS + 600)
def test_a_long_campaign_against_a_bridge_on_kafka(
    site: Site, start_bridge: Callable[..., BridgeProcess]
) -> None:
    """`make fuzz`; FUZZ_SECONDS and FUZZ_SEED choose how long and what. The bridge is ready at the end as before."""
    file = site.folder / "senders.json"
    file.write_text(json.dumps([entry(party) for party in parties()]), encoding="utf-8")
    loaded = site.dip("participants", "load", str(file), "--json")
    assert loaded.returncode == 0, loaded.stderr
    authority = site.folder / "authority.pem"
    authority.write_bytes(site.authority.certificate_pem)
    bridge = start_bridge(**{f"DIP_{name.upper()}": str(rate) for name, rate in RATES.items()})
    document = openapi_document(catalogue())
    number = int(os.environ.get("FUZZ_SEED", "1"))
    campaign = Campaign(bridge.origin, document, number=number, verify=str(authority), senders=parties())
    judge(campaign.run(LONG_SECONDS))
    assert bridge.process.poll() is None
    assert "Traceback" not in bridge.log.read_text(encoding="utf-8")
