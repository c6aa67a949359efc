"""The product's router as a System under faults: a broker of its own, real workers, a feed, and its ledger."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from confluent_kafka import Producer

from agents.app import ROUTER
from pipeline import topics
from pipeline.adapters.bulk import send_all
from pipeline.adapters.registry import connect
from pipeline.adapters.topics import ensure_topics
from pipeline.catalogue import load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.domain.envelope import Holding, Message, Registration, Stage
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, reference_key
from pipeline.domain.participants import Participants
from pipeline.engine import changelog_topic
from pipeline.engine.store import Shard
from pipeline.intake import Gate, take_bytes
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.support.builders import (
    DATA_SERVICE,
    DISTRIBUTOR,
    LOAD_SHAPING,
    MARKET_DATA,
    OTHER_SUPPLIER,
    REGISTRATION,
    ROLES,
    SUPPLIER,
    participant,
)
from tests.support.evidence import traces
from tests.support.reading import drain, fold_into

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
MPANS = tuple(Mpan(f"20000000{number:05d}") for number in range(40))
RECEIVED = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
"""Today: the workers have the real clock, and forget a reference once its message is RETENTION_DAYS old."""
CHANGE = RECEIVED - timedelta(days=30)
START = RECEIVED - timedelta(days=150)
SHARD_SECRET = "a secret of the tests, long enough"
CHANGES_EVERY = 10  # every tenth message is a change of data service: the table moves under load
ENQUIRY = "2600000001"
EVERYBODY = {**ROLES, ENQUIRY: "EES"}
CENTRAL = (MARKET_DATA, LOAD_SHAPING)


class RouterRig:
    """One router with its topics, workers and feed. `bootstrap` must be a broker of its own."""

    def __init__(self, bootstrap: str, registry_url: str, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings = Settings.load(
            {}, kafka_bootstrap=bootstrap, schema_registry_url=registry_url, topic_partitions=PARTITIONS
        )
        self.codec = connect(registry_url, wait_s=30)
        self.catalogue = load_catalogue()
        self.expected: set[tuple[str, str]] = set()
        self.messages: list[Message] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._feeding: threading.Thread | None = None
        ensure_topics(self.settings.kafka(), topic_specs(partitions=PARTITIONS))
        people = [participant(one, role) for one, role in EVERYBODY.items()]
        self.gate = Gate(participants=Participants(people))
        rows = ((one.id.encode(), self.codec.encode_participant(one)) for one in people)
        send_all(self.settings, topics.PARTICIPANTS, rows)
        loads = ((one.mpan.encode(), self.codec.encode_registration(one)) for one in _loads())
        send_all(self.settings, topics.REGISTRATION, loads)

    def log(self, instance: str = "0") -> str:
        return (self.directory / f"worker-{instance}.log").read_text(errors="replace")

    # --- System ---

    def start_worker(
        self, instance: str = "0", *, crash_at: str = "", crash_on: int = 1
    ) -> subprocess.Popen[bytes]:
        environment = {
            "KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "SCHEMA_REGISTRY_URL": self.settings.schema_registry_url,
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
            "DIP_STATE_DIR": str(self.directory),
            "DIP_INSTANCE": instance,
            "DIP_CRASH_AT": f"{crash_at}:{crash_on}" if crash_at else "",
            "DIP_ROUND_RECORDS_MAX": "50",
            "DIP_SHARD_SECRET": SHARD_SECRET,
        }
        with (self.directory / f"worker-{instance}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "pipeline.operate.main", "worker", "router"],
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
            )
        self.workers.append(worker)
        return worker

    def feed(self, count: int, *, per_s: float = 0) -> None:
        """Send messages as the bridge would, in the background; each is sent twice now and then."""
        self._feeding = threading.Thread(target=self._send, args=(count, per_s), daemon=True)
        self._feeding.start()

    def _send(self, count: int, per_s: float) -> None:
        producer = self._producer()
        rng, started = Random(11), time.monotonic()
        for number in range(count):
            if per_s and (wait := started + number / per_s - time.monotonic()) > 0:
                producer.poll(0)
                time.sleep(wait)
            message, recipients = self._message(rng, number)
            self.messages.append(message)
            self.expected |= {(message.transaction_id, one) for one in recipients}
            for _ in range(2 if number % 7 == 0 else 1):  # a sender that lost its 201 sends again
                self._put(producer, self.codec.encode_message(message), message)
            producer.poll(0)
        assert producer.flush(300) == 0, "the feed could not be written"

    def _message(self, rng: Random, number: int) -> tuple[Message, tuple[str, ...]]:
        mpan = rng.choice(MPANS)
        if number % CHANGES_EVERY == 0:
            return self._change(rng, number, mpan), (OTHER_SUPPLIER, DISTRIBUTOR, MARKET_DATA, ENQUIRY)
        late = rng.random() < 0.3
        day = CHANGE - timedelta(days=9) if late else CHANGE + timedelta(days=9)
        body = self._sample(
            rng, number, "IF-021", "ActivePower", DATA_SERVICE, "SDS", mpan, days=(day.date(),)
        )
        supplier = SUPPLIER if late else OTHER_SUPPLIER
        return self._taken(body, "IF-021"), (supplier, DISTRIBUTOR, *CENTRAL)

    def _change(self, rng: Random, number: int, mpan: Mpan) -> Message:
        """Appoint the data service anew, far ahead: the table moves, the recipients stay."""
        day = (RECEIVED + timedelta(days=30 + number)).date()
        at = datetime.combine(day, time_of_day.min, ZoneInfo("Europe/London")).isoformat()
        body = self._sample(
            rng,
            number,
            "IF-036",
            "DSAppActive",
            REGISTRATION,
            "REGS",
            mpan,
            **{
                "CustomBlock.B015.incomingDataServiceDIPID": DATA_SERVICE,
                "CustomBlock.B015.incomingDataServiceEffectiveFromDate": at,
            },
        )
        return self._taken(body, "IF-036")

    def _sample(  # noqa: PLR0917  # a test's shorthand
        self,
        rng: Random,
        number: int,
        interface: str,
        event: str,
        sender: str,
        role: str,
        mpan: Mpan,
        days: tuple[Any, ...] = (),
        **more: object,
    ) -> dict[str, Any]:
        return sample(
            self.catalogue,
            InterfaceId(interface),
            EventCode(event),
            rng,
            sent_at=RECEIVED,
            days=days,
            optional_share=0.0,
            overrides={
                "CommonBlock.M0.MPANCore": mpan,
                "CommonBlock.M0.distributorDIPID": DISTRIBUTOR,
                "CommonBlock.S1.senderDIPID": sender,
                "CommonBlock.S1.senderRoleID": role,
                "CommonBlock.S1.DIPConnectionProviderID": None,
                "CommonBlock.S1.senderUniqueReference": f"S-{interface}-{sender}-{role}-{RECEIVED:%Y%m%d}-{number}",
                **more,
            },
        )

    def _taken(self, body: dict[str, Any], interface: str) -> Message:
        taken = take_bytes(
            self.catalogue,
            orjson.dumps(body),
            channel=InterfaceId(interface),
            received_at=RECEIVED,
            gate=self.gate,
        )
        assert isinstance(taken, Message), taken
        return taken

    def _producer(self) -> Producer:
        return Producer(
            {
                **self.settings.kafka(),
                "enable.idempotence": True,
                "partitioner": "murmur2",
                "linger.ms": 2,
                "message.timeout.ms": 300_000,
                "log_level": 2,
            }
        )

    def _put(self, producer: Producer, value: bytes, message: Message) -> None:
        key = reference_key(message.sender_id, message.sender_reference)
        producer.produce(topics.INBOUND, value, key)

    def put_raw(self, topic: str, value: bytes, key: bytes = b"x") -> None:
        """Write bytes to a topic, as something other than the bridge may do."""
        producer = self._producer()
        producer.produce(topic, value, key)
        assert producer.flush(60) == 0

    def fed(self) -> bool:
        return self._feeding is None or not self._feeding.is_alive()

    def outputs(self) -> int:
        return len(self.read(topics.OUTBOUND))

    def read(self, topic: str) -> list[Any]:
        return drain(self.settings.kafka_bootstrap, topic, PARTITIONS)

    def copies(self) -> list[tuple[str, str]]:
        read = (self.codec.decode_copy(record.value()) for record in self.read(topics.OUTBOUND))
        return [(one.transaction_id, one.recipient) for one in read]

    def settle(self, *, within_s: float) -> None:
        end = time.monotonic() + within_s
        while not self.fed() or not self.expected <= set(self.copies()):
            if time.monotonic() > end:
                missing = self.expected - set(self.copies())
                self.stop()
                letters = [dict(one.headers()) for one in self.read(topics.DEAD_LETTER_ADDRESSING)][:3]
                raise AssertionError(
                    f"{len(missing)} of {len(self.expected)} copies missing after {within_s:.0f} s; "
                    f"dead letters {letters}\n{self.log()[-3000:]}"
                )
            assert any(one.poll() is None for one in self.workers), "no worker runs:\n" + self.log()[-3000:]
            time.sleep(0.5)
        self.stop()

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(40)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def verify(self) -> None:
        """Assert the router's ledger: each copy once, each stage audited once, tables = changelogs."""
        found = Counter(self.copies())
        assert not self.expected - found.keys(), f"missing: {sorted(self.expected - found.keys())[:5]}"
        assert not found.keys() - self.expected, f"phantom: {sorted(found.keys() - self.expected)[:5]}"
        doubled = [key for key, count in found.items() if count > 1]
        assert not doubled, f"doubled: {doubled[:5]}\n{self._traces({one for one, _ in doubled})}"
        self._verify_audit()
        for table in ("seen", "appointments"):
            self._verify_table(table)

    def _traces(self, transactions: set[str]) -> str:
        """Tell where the records of some messages are, and what the workers said."""
        message, copy, audit = self.codec.decode_message, self.codec.decode_copy, self.codec.decode_audit
        looked = {
            topics.INBOUND: lambda one: message(one.value()).transaction_id in transactions,
            topics.VALIDATED: lambda one: message(one.value()).transaction_id in transactions,
            topics.OUTBOUND: lambda one: copy(one.value()).transaction_id in transactions,
            topics.AUDIT: lambda one: audit(one.value()).transaction_id in transactions,
        }
        told = traces(self.settings.kafka_bootstrap, ROUTER, looked, partitions=PARTITIONS)
        logs = [f"--- {one.name}\n{one.read_text()[-9000:]}" for one in self.directory.glob("worker-*.log")]
        return "\n".join([told, *logs])

    def _verify_audit(self) -> None:
        said = [self.codec.decode_audit(record.value()) for record in self.read(topics.AUDIT)]
        fed = {one.transaction_id for one in self.messages}
        for stage in (Stage.INBOUND, Stage.ADDRESSING):
            told = Counter(one.transaction_id for one in said if one.stage is stage and not one.duplicate)
            assert told == Counter(fed), f"{stage}: not one audit record for each message"

    def _verify_table(self, table: str) -> None:
        """Every store equals its part of the changelog; one killed after a commit may be behind."""
        changelog = changelog_topic(ROUTER, table)
        messages = self.read(changelog)
        stores = sorted(self.directory.glob(f"{ROUTER}-*/**/tables/{table}-*"))
        assert len(stores) >= PARTITIONS, f"only {stores}"
        for path in stores:
            number = int(path.name.rsplit("-", 1)[1])
            shard = Shard(table=table, changelog=changelog, partition=number, path=path)
            found, offset = dict(shard.scan(b"")), shard.mark.offset
            shard.close()
            expected: dict[int, dict[bytes, bytes]] = {number: {}}
            fold_into(
                expected, [one for one in messages if one.partition() == number and one.offset() < offset]
            )
            assert found == expected[number], f"{path.name}: store at {offset} and changelog differ"


def _loads() -> Iterator[Registration]:
    for mpan in MPANS:
        yield Registration(
            mpan=mpan,
            source="load-1",
            recorded_at=START,
            holdings=(
                Holding(slot="SUP", holder=SUPPLIER, valid_from=START, valid_to=CHANGE),
                Holding(slot="SUP", holder=OTHER_SUPPLIER, valid_from=CHANGE),
                Holding(slot="LDSO", holder=DISTRIBUTOR, valid_from=START),
                Holding(slot="DS", holder=DATA_SERVICE, valid_from=START),
            ),
        )
