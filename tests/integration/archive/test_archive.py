"""The archive on real Kafka: killed and complete, then restored into an empty broker and replayed to the same copies."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from pipeline import topics
from pipeline.adapters.registry import connect
from pipeline.adapters.storage import open_storage
from pipeline.adapters.topic_keeping import BrokerTopics
from pipeline.adapters.topics import check_topics, ensure_topics
from pipeline.archive.reading import manifests, rows_in
from pipeline.domain.envelope import Stage
from pipeline.errors import RouterError
from pipeline.operate.main import dip
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.chaos import faults
from tests.support.reading import drain
from tests.support.router_rig import MPANS, PARTITIONS, ROOT, RouterRig

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

COUNT = 120


@dataclass
class Site:
    """One broker with its registry and a place for state."""

    bootstrap: str
    registry_url: str
    directory: Path
    archive: Path

    @property
    def settings(self) -> Settings:
        return Settings.load({}, kafka_bootstrap=self.bootstrap, schema_registry_url=self.registry_url)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "SCHEMA_REGISTRY_URL": self.registry_url,
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
            "DIP_STATE_DIR": str(self.directory),
            "DIP_ARCHIVE_URL": str(self.archive),
            "DIP_ARCHIVE_SIGNING_KEY": str(self.archive.with_name("key.pem")),
            "DIP_ARCHIVE_SEAL_S": "0.3",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.operate.main", *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def dip(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command in this process: a start of Python costs more than most of them."""
        result = CliRunner().invoke(dip, arguments, env=self.environment())
        told = str(result.exception) if isinstance(result.exception, RouterError) else result.stderr
        assert result.exit_code == exit_code, (arguments, result.output[-3000:], result.exception)
        return told if exit_code else result.stdout

    def read(self, topic: str) -> list[Any]:
        return drain(self.bootstrap, topic, 1 if topic in {topics.PARTICIPANTS, topics.LANES} else PARTITIONS)


@pytest.fixture
def origin(
    stack: Any, private_broker: Callable[..., Any], tmp_path: Path
) -> Iterator[tuple[RouterRig, Site]]:
    """Return a router that has worked, with everything it did on its topics."""
    rig = RouterRig(private_broker("origin").bootstrap, stack.registry_url, tmp_path / "router")
    rig.start_worker()
    rig.put_raw(topics.INBOUND, b"nothing that anybody could read")
    rig.feed(COUNT)
    rig.settle(within_s=180)
    site = Site(rig.settings.kafka_bootstrap, stack.registry_url, tmp_path / "origin", tmp_path / "archive")
    site.dip("archive", "key", str(tmp_path / "key.pem"))
    yield rig, site
    rig.close()


def places(messages: list[Any]) -> list[tuple[int, int, bytes | None, bytes | None, Any]]:
    return sorted(
        ((one.partition(), one.offset(), one.key(), one.value(), one.headers()) for one in messages),
        key=lambda one: one[:2],
    )


def test_killed_complete_restored_and_replayed_to_the_same_copies(
    origin: tuple[RouterRig, Site], private_broker: Callable[..., Any], tmp_path: Path
) -> None:
    rig, site = origin
    archive_killed_in_the_middle(site)
    holds_every_record_once(site)
    report_and_search_are_the_same_from_topic_and_archive(rig, site)
    there = restored_and_replayed(site, private_broker("target").bootstrap, tmp_path)

    copies = {one.delivery_id: one for one in map(rig.codec.decode_copy, values(site, topics.OUTBOUND))}
    again = [rig.codec.decode_copy(one) for one in values(there, topics.OUTBOUND)]
    assert len(again) == len(copies) == len(rig.expected)
    for one in again:
        assert replace(one, routed_at=copies[one.delivery_id].routed_at) == copies[one.delivery_id]

    the_broker_does_what_keeping_asks(site)


def values(site: Site, topic: str) -> list[bytes]:
    return [one.value() for one in site.read(topic)]


def archive_killed_in_the_middle(site: Site) -> None:
    running = site.start("archive")
    faults.until(lambda: len(list(site.archive.glob("log/*/*.json"))) > 3, within_s=120, what="segments")
    running.kill()
    running.communicate()
    until_end(site)
    assert "as it was sealed" in site.dip("archive", "verify")


def until_end(site: Site) -> None:
    process = site.start("archive", "--until-end")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]


def holds_every_record_once(site: Site) -> None:
    storage = open_storage(str(site.archive))
    for topic in topics.ARCHIVED:
        found = [
            row.record
            for manifest in manifests(storage)
            if manifest.topic == topic
            for row in rows_in(storage, manifest)
        ]
        archived = sorted((one.partition, one.offset, one.key, one.value) for one in found)
        assert archived == [one[:4] for one in places(site.read(topic))], topic
    assert any(topic in str(path) for topic in (topics.OUTBOUND,) for path in site.archive.glob("data/*/*/*"))


def report_and_search_are_the_same_from_topic_and_archive(rig: RouterRig, site: Site) -> None:
    rows = [json.loads(site.dip("report", "--json", "--from", one)) for one in ("topic", "archive")]
    assert rows[0] == rows[1]
    accepted = sum(one["accepted"] for one in rows[0]["rows"] if one["part"] == "sender")
    assert accepted == len(rig.messages)
    wanted = rig.messages[0].transaction_id
    asked = ("audit", "export", "--format", "csv", "--transaction", wanted, "--from")
    tables = [list(csv.DictReader(io.StringIO(site.dip(*asked, one)))) for one in ("topic", "archive")]
    assert tables[0] == tables[1]
    assert {"Inbound", "Addressing"} <= {one["stage"] for one in tables[0]}
    assert "is in the archive" in site.dip("audit", "verify", "--record", tables[0][0]["record"])
    assert "is not in the archive" in site.dip(
        "audit", "verify", "--record", "dip.audit[0]@999999", exit_code=1
    )


def restored_and_replayed(site: Site, bootstrap: str, tmp_path: Path) -> Site:
    there = Site(bootstrap, site.registry_url, tmp_path / "target", site.archive)
    specs = topic_specs(partitions=PARTITIONS)
    ensure_topics(there.settings.kafka(), specs)
    there.dip("archive", "restore", "--topic", topics.PARTICIPANTS, "--topic", topics.REGISTRATION)
    codec = connect(site.registry_url, wait_s=30)

    def loaded() -> bool:
        said = map(codec.decode_audit, values(there, topics.AUDIT))
        return sum(one.stage is Stage.MPAN_UPDATE_QUEUE for one in said) >= len(MPANS)

    router = there.start("worker", "router")
    try:
        faults.until(loaded, within_s=120, what="the appointments are loaded")
    finally:
        router.terminate()
        router.communicate(timeout=60)
    restored = json.loads(there.dip("archive", "restore", "--topic", topics.VALIDATED, "--json"))
    assert restored["behind"] == ["dip-router"]
    assert [one[2:] for one in places(there.read(topics.VALIDATED))] == [
        one[2:] for one in places(site.read(topics.VALIDATED))
    ]
    assert "empty topics" in there.dip("archive", "restore", "--topic", topics.VALIDATED, exit_code=1)

    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    asked = ("replay", "--since", since, "--untouched", "--into", "delivery", "--rate", "2000", "--json")
    dry = json.loads(there.dip(*asked))
    assert (dry["put"], dry["going"]) == (0, COUNT)
    assert there.read(topics.OUTBOUND) == []
    assert json.loads(there.dip(*asked, "--go"))["put"] == COUNT
    again = json.loads(there.dip(*asked, "--go"))
    assert (again["put"], again["going"]) == (0, 0)
    return there


def the_broker_does_what_keeping_asks(site: Site) -> None:
    broker = BrokerTopics(site.settings)
    try:
        now = datetime.now(UTC)
        ends = broker.offsets_at(topics.AUDIT, now + timedelta(hours=1))
        starts = broker.offsets_at(topics.AUDIT, now - timedelta(hours=1))
        assert set(starts.values()) == {0}
        assert sum(ends.values()) > COUNT
        broker.delete_before(dict.fromkeys(ends, 1))
        assert broker.lows(topics.AUDIT) == dict.fromkeys(ends, 1)
        spec = [one for one in topic_specs(partitions=PARTITIONS) if one.name == topics.OUTBOUND]
        broker.hold(topics.OUTBOUND)
        assert broker.hold(topics.OUTBOUND) is None  # twice is once
        assert check_topics(site.settings.kafka(), spec) == ()  # keeping longer is not wrong
        broker.release(topics.OUTBOUND)
        assert check_topics(site.settings.kafka(), spec) == ()
    finally:
        broker.close()
    until_end(site)  # what was deleted is archived: it goes on
