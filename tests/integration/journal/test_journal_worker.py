"""The journal worker on real Kafka: killed while it requeues, it tells and sends all the same."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from pipeline import topics
from pipeline.adapters.bulk import send_all
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.registry import connect
from pipeline.adapters.shard_client import Answered, ShardClient
from pipeline.adapters.shard_feed import ShardFeed
from pipeline.adapters.topics import ensure_topics
from pipeline.domain.continuation import Continuation, read_token
from pipeline.domain.copy_index import Wanted
from pipeline.domain.envelope import Addressee, AuditRecord, Kind, Message, Reason, Stage, Status
from pipeline.domain.fanout import outbound_key, recipient_key
from pipeline.domain.identifiers import DIP, DIP_ROLE, InterfaceId, ParticipantId
from pipeline.domain.shards import COPIES
from pipeline.ingress.calls import Reply
from pipeline.ingress.delivery_status import DeliveryStatus
from pipeline.ingress.replaying import CONTINUATION, Replay
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.chaos import faults
from tests.support.builders import message
from tests.support.journal_rig import copy_of, reference, transaction
from tests.support.reading import drain

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[3]
PARTITIONS, SECRET = 4, "a secret of the tests, long enough"
ME, OTHER, SENDER = ParticipantId("2300000001"), ParticipantId("2300000002"), ParticipantId("1400000001")
GAINS = ParticipantId("1100000001")
COUNT = 330


class Rig:
    """Topics with what router and delivery have written, and a journal worker that dies and comes back."""

    def __init__(self, bootstrap: str, registry_url: str, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.settings = Settings.load(
            {}, kafka_bootstrap=bootstrap, schema_registry_url=registry_url, topic_partitions=PARTITIONS
        )
        self.codec = connect(registry_url, wait_s=30)
        ensure_topics(self.settings.kafka(), topic_specs(partitions=PARTITIONS))
        self.at = datetime.now(UTC) - timedelta(hours=1)
        self.owners = ShardFeed(self.settings, self.codec)
        self.owners.start()
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "SCHEMA_REGISTRY_URL": self.settings.schema_registry_url,
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
            "DIP_STATE_DIR": str(self.directory),
            "DIP_SHARD_SECRET": SECRET,
            "DIP_ROUND_RECORDS_MAX": "100",
        }
        with (self.directory / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "pipeline.operate.main", "worker", "journal"],
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
            )

    def kill(self) -> None:
        assert self.worker is not None
        self.worker.send_signal(signal.SIGKILL)
        self.worker.wait(30)

    def close(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            self.kill()
        self.owners.stop()

    def write(self, count: int) -> None:
        """Write copies to two recipients, and of each message its receipt and its routing."""
        copies = [
            copy_of(number, one, at=self.at + timedelta(seconds=number % 60))
            for number in range(count)
            for one in (ME, OTHER)
        ]
        rows = ((outbound_key(one), self.codec.encode_copy(one)) for one in copies)
        send_all(self.settings, topics.OUTBOUND, rows)
        said = [
            self._said(number, stage)
            for number in range(count)
            for stage in (Stage.INBOUND, Stage.ADDRESSING)
        ]
        records = (((one.transaction_id or "").encode(), self.codec.encode_audit(one)) for one in said)
        send_all(self.settings, topics.AUDIT, records)

    def _said(self, number: int, stage: Stage) -> AuditRecord:
        return AuditRecord(
            at=self.at, stage=stage, status=Status.GOOD_TO_GO if stage is Stage.INBOUND else Status.SENT_TO_TOPIC,
            transaction_id=transaction(number), received_at=self.at, interface=InterfaceId("IF-021"),
            sender_id=SENDER, sender_reference=reference(number),
        )  # fmt: skip

    def order(self) -> None:
        """Write two messages of the MPAN and a request that was let in, as the router has written them."""
        for number in (1, 2):
            self._routed(read_message_of("IF-021", "ActivePower", SENDER, number, at=self.at), ())
        reason = Reason(kind=Kind.PRIMARY, role=DIP_ROLE, days=(self.at - timedelta(days=900),))
        asked = read_message_of("IF-015", "ConsumptionReplay", GAINS, 3, at=datetime.now(UTC))
        self._routed(asked, (Addressee(recipient=DIP, reasons=(reason,)),))

    def _routed(self, message: Message, addressees: tuple[Addressee, ...]) -> None:
        """Write a message and its audit, where it lies included."""
        producer = Producer(self.settings.kafka())
        places: list[Any] = []
        producer.produce(
            topics.VALIDATED,
            self.codec.encode_message(message),
            on_delivery=lambda _, one: places.append(one),
        )
        assert not producer.flush(30)
        said = AuditRecord(
            at=message.received_at, stage=Stage.INBOUND, status=Status.GOOD_TO_GO,
            transaction_id=message.transaction_id, received_at=message.received_at, interface=message.interface,
            event=message.event, sender_id=message.sender_id, sender_reference=message.sender_reference,
            mpan=message.mpan,
        )  # fmt: skip
        routed = replace(
            said, stage=Stage.ADDRESSING, status=Status.SENT_TO_TOPIC, addressees=addressees,
            topic=topics.VALIDATED, partition=places[0].partition(), offset=places[0].offset(),
        )  # fmt: skip
        rows = ((message.transaction_id.encode(), self.codec.encode_audit(one)) for one in (said, routed))
        send_all(self.settings, topics.AUDIT, rows)

    def answered(self) -> list[Message]:
        """Return what the router sent itself."""
        read = drain(self.settings.kafka_bootstrap, topics.VALIDATED, PARTITIONS)
        found = (self.codec.decode_message(one.value()) for one in read)
        return [one for one in found if one.sender_id == DIP]

    def client(self) -> ShardClient:
        return ShardClient(self.owners, secret=SECRET, partitions=PARTITIONS, clock=SystemClock())

    def pushed(self) -> Counter[str]:
        """Return how often each message was pushed again."""
        read = drain(self.settings.kafka_bootstrap, topics.OUTBOUND, PARTITIONS)
        found = (self.codec.decode_copy(one.value()) for one in read)
        return Counter(one.transaction_id for one in found if one.replay)


def read_message_of(interface: str, event: str, sender: str, number: int, *, at: datetime) -> Message:
    name = f"S-{interface}-{sender}-SDS-20260105-{number}"
    return message(
        interface=interface, event=event, received_at=at, senderDIPID=sender, senderUniqueReference=name
    )


@pytest.fixture
def rig(stack: Any, private_broker: Callable[..., Any], tmp_path: Path) -> Iterator[Rig]:
    made = Rig(private_broker().bootstrap, stack.registry_url, tmp_path / "journal")
    yield made
    made.close()


async def replayed(rig: Rig, wanted: Wanted) -> list[str] | None:
    """Return what a replay gives, page by page; None while it is not answered."""
    client, replay, at = rig.client(), Replay(SECRET), None
    found: list[str] = []
    try:
        while True:
            outcome = await replay._page(wanted, at, datetime.now(UTC), client)
            if not isinstance(outcome, Reply):
                return None
            page = orjson.loads(orjson.dumps(outcome.value))
            found += [one["payload"]["CommonBlock"]["D0"]["transactionID"] for one in page]
            if CONTINUATION not in outcome.headers:
                return found
            read = read_token(SECRET.encode(), outcome.headers[CONTINUATION], wanted, now=datetime.now(UTC))
            assert isinstance(read, Continuation)
            at = read
    finally:
        await client.close()


async def told(rig: Rig, number: int) -> Any:
    client = rig.client()
    try:
        outcome = await DeliveryStatus(rig.codec)._ask(
            SENDER, InterfaceId("IF-021"), reference(number), client
        )
    finally:
        await client.close()
    return outcome.value if isinstance(outcome, Reply) else None


async def asked(rig: Rig, question: dict[str, Any]) -> Any:
    client = rig.client()
    try:
        answer = await client.ask(COPIES, recipient_key(ME), question)
    finally:
        await client.close()
    return answer.value if isinstance(answer, Answered) else None


def test_a_journal_that_dies_tells_and_requeues_everything_once(rig: Rig) -> None:
    """Killed with -9 in the middle of a requeue."""
    rig.write(COUNT)
    wanted = Wanted(recipient=ME, channel=InterfaceId("IF-021"))
    everything = Counter(transaction(number) for number in range(COUNT))
    rig.start()

    def complete() -> bool:
        found = asyncio.run(replayed(rig, wanted))
        assert found is None or max(Counter(found).values(), default=1) == 1, "a page repeats"
        return found is not None and Counter(found) == everything

    faults.until(complete, within_s=90, what="a replay gives every message once")
    journal: Any = None

    def journalled() -> bool:
        nonlocal journal
        journal = asyncio.run(told(rig, COUNT - 1))
        return journal is not None and len(journal["JournalEntries"]) == 2

    faults.until(journalled, within_s=30, what="the journal has both stages of the last message")
    assert journal["DIPTransactionID"] == transaction(COUNT - 1)

    begun = asyncio.run(asked(rig, {"what": "requeue", "wanted": wanted.plain()}))
    assert begun["id"]
    faults.until(lambda: 0 < len(rig.pushed()) < COUNT, within_s=30, what="a requeue is under way")
    rig.kill()
    rig.start()
    question = {"what": "requeues", "recipient": ME, "channel": "IF-021", "id": begun["id"]}

    def ended() -> bool:
        rows = asyncio.run(asked(rig, question))
        return bool(rows) and rows[0]["status"] == "Completed"

    faults.until(ended, within_s=90, what="the requeue goes on after the restart")
    assert rig.pushed() == everything
    assert Counter(asyncio.run(replayed(rig, wanted)) or ()) == everything, (
        "what was pushed again is no new copy"
    )
    rig.order()
    faults.until(lambda: len(rig.answered()) == 2, within_s=60, what="a consumption replay is answered")
    assert {one.primary for one in rig.answered()} == {(GAINS,)}
    assert {one.interface for one in rig.answered()} == {"IF-016"}
