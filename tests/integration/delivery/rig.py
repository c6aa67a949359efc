"""The delivery worker as a real process on a real broker, and the ledger of what became of every copy."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from pipeline import topics
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.registry import connect
from pipeline.adapters.topics import ensure_topics
from pipeline.domain.envelope import AuditRecord, Copy
from pipeline.domain.gaps import GAPS_PREFIX
from pipeline.domain.identifiers import DeliveryId, EventCode, InterfaceId, ParticipantId, TransactionId
from pipeline.domain.participants import ANY_CHANNEL, Participant, Webhook
from pipeline.settings_text import variable
from tables import parked
from tests.support.webhooks import WebhookServer

PARTITIONS = 4
RECIPIENTS = 3
DIP = Path(sys.executable).with_name("dip")
TRANSACTION = "T-0000000000"
SMALL_BODY = b'{"transactionID":"%s","filler":"%s"}' % (TRANSACTION.encode(), b"x" * 400)


class Rig:
    """Topics, participants, copies, worker processes, and the truth afterwards."""

    def __init__(self, folder: Path, bootstrap: str, registry_url: str, server: WebhookServer) -> None:
        self.folder, self.bootstrap, self.registry_url, self.server = folder, bootstrap, registry_url, server
        self.codec = connect(registry_url, wait_s=30)
        self.client = {"bootstrap.servers": bootstrap}
        self.sent: list[Copy] = []
        self.workers: list[subprocess.Popen] = []
        self._first = uuid.uuid4().int % 10**9
        self._producer = Producer({**self.client, "partitioner": "murmur2_random", "linger.ms": 5})
        signing = CertificateAuthority.create("signers of a test").issue("router", usage="signing")
        (folder / "signing.pem").write_bytes(signing.certificate_pem)
        (folder / "signing.key").write_bytes(signing.key_pem)
        ensure_topics(self.client, topics.topic_specs(partitions=PARTITIONS))

    def names(self, count: int = RECIPIENTS) -> tuple[str, ...]:
        """Return recipients that no other test has."""
        return tuple(f"23{(self._first + one) % 10**8:08d}" for one in range(count))

    def register(self, *names: str, query: str = "", **limits: object) -> None:
        for name in names:
            one = Participant(
                id=ParticipantId(name),
                name=name,
                webhooks=(Webhook(channel=ANY_CHANNEL, url=self.server.url(name) + query, **limits),),
            )
            self.put(one)

    def put(self, one: Participant) -> None:
        """Write a participant as it is given."""
        self._producer.produce(topics.PARTICIPANTS, self.codec.encode_participant(one), one.id.encode())
        self._producer.flush(30)

    def send(self, recipients: Iterable[str], count: int) -> list[Copy]:
        made = [
            self.send_soon(recipient, shard=number) for number in range(count) for recipient in recipients
        ]
        self.flush()
        return made

    def send_soon(self, recipient: str, *, shard: int = 0, body: bytes | None = None) -> Copy:
        """Send one copy without waiting for the broker; in its body TRANSACTION becomes its own id."""
        copy = self._copy(self._first + len(self.sent), recipient, body)
        self.sent.append(copy)
        # Several partitions per recipient, as the fan-out keys them.
        self._producer.produce(
            topics.OUTBOUND, self.codec.encode_copy(copy), f"{recipient}|{shard % 8}".encode()
        )
        self._producer.poll(0)
        return copy

    def send_raw(self, topic: str, *, key: bytes, value: bytes) -> None:
        """Send a record that need not be a copy."""
        self._producer.produce(topic, value, key)
        self.flush()

    def flush(self) -> None:
        """Wait until the broker has everything that was sent."""
        assert self._producer.flush(60) == 0

    def _copy(self, number: int, recipient: str, body: bytes | None = None) -> Copy:
        now = datetime.now(UTC)
        transaction = TransactionId(f"T-{number:010d}")
        return Copy(
            delivery_id=DeliveryId(f"{transaction}>{recipient}"),
            recipient=ParticipantId(recipient),
            channel=InterfaceId("IF-021"),
            transaction_id=transaction,
            sender_id=ParticipantId("2200000001"),
            sender_reference=None,
            interface=InterfaceId("IF-021"),
            event=EventCode("ActivePower"),
            mpan=None,
            received_at=now,
            routed_at=now,
            body=(body or SMALL_BODY).replace(TRANSACTION.encode(), transaction.encode()),
        )

    def start(
        self, kind: str = "delivery", *, launcher: tuple[str, ...] = (), **settings: str
    ) -> subprocess.Popen:
        """Start a worker; `launcher` is a command that runs it under some limit."""
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        environ = self.environment(**settings)
        worker = subprocess.Popen([*launcher, DIP, "worker", kind], env=environ, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def environment(self, **settings: str) -> dict[str, str]:
        """Return what a process of this installation is started with; settings come last."""
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "SCHEMA_REGISTRY_URL": self.registry_url,
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
            "DIP_STATE_DIR": str(self.folder / "state"),
            "DIP_SIGNING_CERTIFICATE": str(self.folder / "signing.pem"),
            "DIP_SIGNING_KEY": str(self.folder / "signing.key"),
            "DIP_WEBHOOK_CA": self.server.ca_file,
            "DIP_WEBHOOK_NETWORKS_ALLOWED": "127.0.0.0/8",
            "DIP_WEBHOOK_TIMEOUT_S": "3",
            "DIP_RETRY_DELAYS_S": "0,0.3,0.5,1",
            **{variable(name): value for name, value in settings.items()},
        }

    def wait_for(
        self, condition: Callable[[], bool], what: str, *, within_s: float = 90, dying: bool = False
    ) -> None:
        """Wait for a condition; fail at once, with its last words, where the newest worker is gone."""
        end = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end, f"not within {within_s:.0f} s: {what}\n{self.log()}"
            code = self.workers[-1].poll()
            assert code is None or dying, f"the worker exited with {code}:\n{self.log()}"
            time.sleep(0.1)

    def kill(self, worker: subprocess.Popen) -> None:
        worker.send_signal(signal.SIGKILL)
        worker.wait(30)

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                self.kill(worker)

    def log(self) -> str:
        return "\n".join(
            one.read_text(errors="replace")[-4_000:] for one in sorted(self.folder.glob("worker-*.log"))
        )

    # --- the truth ---

    def read(self, topic: str, partitions: int = PARTITIONS) -> list:
        """Read what is committed on a topic, to its present end."""
        consumer = Consumer(
            {
                **self.client,
                "group.id": "ledger",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer.assign([TopicPartition(topic, one, 0) for one in range(partitions)])
            found, ended, limit = [], set(), time.monotonic() + 60
            while len(ended) < partitions:
                assert time.monotonic() < limit, f"{topic} could not be read to its end"
                for message in consumer.consume(1_000, 0.3):
                    if message.error() is None:
                        found.append(message)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
            return found
        finally:
            consumer.close()

    def parked(self) -> dict[bytes, DeliveryId]:
        """Return the table, as the fold of its changelog."""
        rows: dict[bytes, DeliveryId] = {}
        for message in self.read(topics.PARKED_CHANGELOG):
            if message.key().startswith(GAPS_PREFIX):
                continue
            if message.value() is None:
                rows.pop(message.key(), None)
            else:
                rows[message.key()] = parked.decode(message.value()).delivery_id
        return rows

    def health(self) -> dict[str, int]:
        """Return how often recipients have failed in a row, as workers tell one another."""
        last = {message.key(): message.value() for message in self.read(topics.ENDPOINT_HEALTH, 1)}
        failing = [self.codec.decode_endpoint_failing(value) for value in last.values() if value is not None]
        return {one.recipient: one.failures for one in failing}

    def dead(self) -> Counter[DeliveryId]:
        # What is no copy is no letter of ours.
        letters = [one.value() for one in self.read(topics.DEAD_LETTER_DELIVERY) if one.value()[:1] == b"\0"]
        ids = Counter(self.codec.decode_copy(one).delivery_id for one in letters)
        return Counter({one: ids[one] for one in self._mine() if ids[one]})

    def audits(self) -> list[AuditRecord]:
        """Return the audit of this rig's recipients."""
        records = [self.codec.decode_audit(one.value()) for one in self.read(topics.AUDIT)]
        mine = {copy.recipient for copy in self.sent}
        return [one for one in records if one.recipient in mine]

    def _mine(self) -> list[DeliveryId]:
        return [copy.delivery_id for copy in self.sent]

    def delivered(self) -> Counter[DeliveryId]:
        return Counter(
            one.delivery_id
            for record in self.audits()
            if record.status == "Delivered"
            for one in record.copies
        )

    def unsettled(self) -> int:
        """Return how many copies lie above the group's committed offsets."""
        consumer = Consumer({**self.client, "group.id": "dip-delivery", "enable.auto.commit": False})
        try:
            places = [TopicPartition(topics.OUTBOUND, one) for one in range(PARTITIONS)]
            committed = consumer.committed(places, timeout=30)
            ends = [consumer.get_watermark_offsets(one, timeout=30)[1] for one in places]
            return sum(end - max(one.offset, 0) for one, end in zip(committed, ends, strict=True))
        finally:
            consumer.close()

    def check_ledger(self, *, exact: bool = True) -> None:
        """Check that every copy is delivered, parked or dead-lettered, and that repeats have the same id.

        After a crash a worker meets again what was settled above the committed offset: then (`exact` False) a
        copy that was delivered may be in a second place for a while.
        """
        delivered, waiting, dead = self.delivered(), Counter(self.parked().values()), self.dead()
        for copy in self.sent:
            one = copy.delivery_id
            places = (min(delivered[one], 1), waiting[one], min(dead[one], 1))
            text = f"{one}: delivered {delivered[one]}, parked {waiting[one]}, dead {dead[one]}"
            assert (sum(places) == 1) if exact else (sum(places) >= 1 and waiting[one] <= 1), text
            assert not exact or delivered[one] <= 1, text
            if delivered[one]:
                assert self.server.taken(copy.recipient)[copy.transaction_id] >= 1, (
                    f"{one} was never received"
                )
                assert self.server.ids(copy.recipient, copy.transaction_id) <= {one}
        strangers = {one for who in self.names() for one in self.server.taken(who)}
        assert strangers <= {copy.transaction_id for copy in self.sent}, "something nobody sent"
