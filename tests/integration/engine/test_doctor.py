"""`dip doctor transactions` names what holds a partition back, and closes it only in the one safe direction."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Producer

from pipeline import limits
from pipeline.engine.verdicts import Verdict
from pipeline.engine.wire import coordinated, describe_producers, first_address
from pipeline.operate.doctor import diagnose
from pipeline.settings import Settings
from tests.chaos.faults import until
from tests.support.engine_rig import create_topics
from tests.support.hanging_transaction import batch, unguard, write
from tests.support.reading import drain

pytestmark = pytest.mark.kafka


@dataclass
class Scene:
    """A broker with a producer of ours whose transactions can be left hanging in topic `b`."""

    bootstrap: str
    own_id: str
    producer: Producer
    written: Counter[int] = field(default_factory=Counter)

    def begin(self) -> int:
        """Begin a transaction with one record; return a time before it."""
        before = int(time.time() * 1000)
        self.producer.begin_transaction()
        self.producer.produce("a", b"seen", b"k", 0)
        assert self.producer.flush(30) == 0
        return before

    def hang(self, value: bytes, partition: int, *, at_ms: int) -> None:
        """Write a record of the running transaction that no marker will reach."""
        (one,) = describe_producers(first_address(self.bootstrap), "a", [0], timeout_s=10)
        self.write(value, partition, one.producer_id, one.epoch, at_ms)

    def hang_alone(self, value: bytes, partition: int) -> None:
        """Write a record of a transaction of which nothing else is anywhere, well after everything else."""
        (one,) = [
            c
            for c in coordinated(first_address(self.bootstrap), timeout_s=10)
            if c.transactional_id == self.own_id
        ]
        self.write(value, partition, one.producer_id, one.epoch, int(time.time() * 1000) + 20_000)

    def write(self, value: bytes, partition: int, producer_id: int, epoch: int, at_ms: int) -> None:
        sequence = self.written[partition]
        self.written[partition] += 1
        data = batch(value, producer_id=producer_id, epoch=epoch, at_ms=at_ms, sequence=sequence)
        write(self.bootstrap, "b", partition, data, transactional_id=self.own_id)

    def look(self, *, heal: bool = False, own: tuple[str, ...] = ("dip-",)) -> list:
        return diagnose(Settings.load({}, kafka_bootstrap=self.bootstrap), own_ids=own, heal=heal)

    def visible(self, topic: str) -> list[bytes]:
        return sorted(message.value() for message in drain(self.bootstrap, topic, 2))


@pytest.fixture
def scene(private_broker: Callable) -> Scene:
    broker = private_broker()
    create_topics(broker.bootstrap, {"a": 2, "b": 2})
    unguard(broker.bootstrap)
    own_id = "dip-router-0"
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": own_id, "transaction.timeout.ms": 60_000}
    )
    producer.init_transactions(30)
    return Scene(broker.bootstrap, own_id, producer)


def test_the_doctor_names_waits_for_commits_and_aborts(scene):
    """One broker for the whole story: its start is what takes the time."""
    assert scene.look() == []

    # An open transaction that its coordinator knows: wait.
    begin_ms = scene.begin()
    (one,) = scene.look(heal=True)
    assert (one.verdict, one.healed) == (Verdict.WAIT, False)
    assert one.finding.owner.transactional_id == scene.own_id
    assert one.finding.place == ("a", 0)

    # A part that its marker never reached, while the other part is committed and visible: commit.
    scene.hang(b"half", 0, at_ms=begin_ms)
    scene.producer.commit_transaction(30)
    until(lambda: scene.visible("a") == [b"seen"], within_s=30, what="the known part is visible")
    (one,) = scene.look(own=("someone-else",))
    assert one.verdict is Verdict.ASK, "never close what is not ours"
    (one,) = scene.look()
    assert (one.finding.place, one.finding.hanging, one.verdict) == (("b", 0), True, Verdict.COMMIT)
    assert not one.healed

    # From the command line: one JSON object a line, and the exit code says that something is open.
    command = [sys.executable, "-m", "pipeline.operate.main", "doctor", "transactions", "--json"]
    done = subprocess.run(
        command,
        env={"KAFKA_BOOTSTRAP": scene.bootstrap},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert (report["topic"], report["partition"], report["verdict"]) == ("b", 0, "commit")
    assert (report["transactional_id"], report["hanging"], report["healed"]) == (scene.own_id, True, False)
    assert report["last_stable_offset"] < report["high_watermark"]

    (one,) = scene.look(heal=True)
    assert one.healed
    until(lambda: scene.visible("b") == [b"half"], within_s=30, what="the rest is visible")
    assert scene.look() == []

    # A part that was aborted, a part that was forgotten: abort.
    time.sleep(
        1 + limits.DOCTOR_CLOCKS_APART_MS / 1000
    )  # else it cannot be told from the one before, and it asks
    begin_ms = scene.begin()
    scene.hang(b"other half", 0, at_ms=begin_ms)
    scene.producer.abort_transaction(30)
    (one,) = scene.look(heal=True)
    assert (one.finding.place, one.verdict, one.healed) == (("b", 0), Verdict.ABORT, True)
    until(lambda: scene.look() == [], within_s=30, what="nothing is open")
    assert (scene.visible("a"), scene.visible("b")) == ([b"seen"], [b"half"])

    # A transaction of which nothing is visible anywhere: abort.
    scene.hang_alone(b"ghost", 1)
    (one,) = scene.look(heal=True)
    assert (one.finding.place, one.verdict, one.healed) == (("b", 1), Verdict.ABORT, True)
    until(lambda: scene.look() == [], within_s=30, what="nothing is open")
    assert scene.visible("b") == [b"half"]


def test_the_doctor_without_a_broker_says_so_in_one_line(free_port):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.operate.main", "doctor", "transactions"],
        env={"KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "no Kafka broker answered" in done.stderr
    assert "Traceback" not in done.stderr
