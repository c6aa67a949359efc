"""The appointments table at size, on real Kafka: load, bytes, restart warm and wiped, and what a look-up costs.

    .venv/bin/python -m benchmarks.appointments [--mpans 2000000] [--loaded 200000] [--json]

`dip appointments load` reads an extract with six rows for each of the first `--loaded` MPANs and a router takes it in:
wall time, and CPU of both processes, since the machine may have other work. The rest of the table is written into the
changelog directly, with the bytes that the router would write. Then the router starts without a store and restores
all of it, and starts once more with it; the worker's own log gives the times. Last, the addressing step runs here on
those stores, with random MPANs of the whole table and of its first 10,000.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from agents.addressing import Addressing
from agents.quarantine import Quarantine
from pipeline import schemas, topics
from pipeline.adapters.bulk import send_all
from pipeline.adapters.histories import decode, encode
from pipeline.adapters.registry import connect
from pipeline.adapters.topics import ensure_topics
from pipeline.catalogue import load_catalogue
from pipeline.codec import Codec
from pipeline.domain.changes import apply, changes_in
from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.identifiers import Mpan, Role
from pipeline.domain.participants import Participants
from pipeline.domain.routing import SLOT_OF_ROLE, Slot
from pipeline.domain.shards import partition_of
from pipeline.engine.store import Shard
from pipeline.localstack import LocalStack, options_from
from pipeline.settings import Settings
from pipeline.topics import topic_specs
from tests.support.builders import day, message, participant

PARTITIONS = 12
PEOPLE = {"SUP": "23", "LDSO": "25", "MSS": "12", "SDS": "14", "MDR": "17"}
OF_EACH = 20
SMALL = 10_000
LOOKUPS = 10_000
VALUES = 5_000  # different rows, too far apart in the log for its compression to see them twice
TURNS = 4
HEADER = "mpan,slot,holder,valid_from,valid_to\n"
RECOVERED = re.compile(r"recovered (\d+) shards, (\d+) records in ([0-9.]+) s")


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpans", type=int, default=2_000_000)
    parser.add_argument("--loaded", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dip-appointments-") as folder:
        found = Bench(Path(folder), options.mpans, min(options.loaded, options.mpans)).run()
    print(
        json.dumps(found)
        if options.json
        else "\n".join(f"{name:<32}{value}" for name, value in found.items())
    )


class Bench:
    """One run, with a broker, a registry and a router of its own."""

    def __init__(self, folder: Path, mpans: int, loaded: int) -> None:
        self.folder = folder
        self.mpans = mpans
        self.loaded = loaded
        self.started = time.monotonic()
        self.found: dict[str, Any] = {"mpans": mpans, "loaded": loaded}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:6.0f} s] {text}", file=sys.stderr, flush=True)

    def run(self) -> dict[str, Any]:
        local = Settings.load({}, state_dir=str(self.folder / "stack"))
        with LocalStack(options_from(local), fresh=True) as stack:
            settings = Settings.load(
                {},
                kafka_bootstrap=stack.bootstrap,
                schema_registry_url=stack.registry_url,
                topic_partitions=PARTITIONS,
                state_dir=str(self.folder / "state"),
            )
            ensure_topics(settings.kafka(), topic_specs(partitions=PARTITIONS))
            codec = connect(stack.registry_url, wait_s=60)
            rows = ((one.id.encode(), codec.encode_participant(one)) for one in people())
            send_all(settings, topics.PARTICIPANTS, rows)
            self._load(settings)
            self._fill(settings)
            self._restarts(settings)
        self._lookups()
        return self.found

    def _load(self, settings: Settings) -> None:
        file = self.folder / "extract.csv"
        self.say(f"writing an extract of {self.loaded:,} MPANs")
        with file.open("w") as stream:
            stream.write(HEADER)
            stream.writelines(extract(self.loaded))
        worker = self._worker(settings)
        until(self._recovered, partial(alive, worker))
        idle = cpu_s(worker.pid)
        began = time.monotonic()
        load = self._dip(settings, "appointments", "load", str(file), "--json")
        reading, used = 0.0, 0.0
        while (rows := self._rows(settings)) < self.loaded:
            if load.poll() is None:
                used = cpu_s(load.pid)
            elif not reading:
                reading = time.monotonic() - began
                if load.returncode:
                    raise SystemExit(load.communicate()[0])
                self.say(f"the extract is on the topic after {reading:.0f} s; the table has {rows:,}")
            assert worker.poll() is None, (self.folder / "worker.log").read_text()[-3000:]
            time.sleep(0.5)
        whole = time.monotonic() - began
        self.found |= {
            "loaded_mpans_per_s": round(self.loaded / whole),
            "load_cpu_us_per_mpan": round(used / self.loaded * 1e6, 1),
            "router_cpu_us_per_mpan": round((cpu_s(worker.pid) - idle) / self.loaded * 1e6, 1),
        }
        load.communicate()
        file.unlink()
        self.say(f"loaded in {whole:.0f} s")
        stop(worker)

    def _fill(self, settings: Settings) -> None:
        """Write the other MPANs into the changelog as the router would have."""
        values = [value_of(number) for number in range(VALUES)]
        rows = (
            (mpan_of(number).encode(), values[number % VALUES]) for number in range(self.loaded, self.mpans)
        )
        count = send_all(settings, topics.APPOINTMENTS_CHANGELOG, rows)
        self.say(f"{count:,} more rows written into the changelog")
        size = self._size("dip-router-appointments-changelog-*")
        self.found["changelog_bytes_per_mpan"] = round(size / self.mpans, 1)
        self.found["value_bytes_per_mpan"] = len(values[0])

    def _restarts(self, settings: Settings) -> None:
        shutil.rmtree(self.folder / "state")
        for name in ("wiped", "warm"):
            (self.folder / "worker.log").write_text("")
            worker = self._worker(settings)
            records, seconds = until(self._recovered, partial(alive, worker))
            used = cpu_s(worker.pid)
            stop(worker)
            self.say(f"restart {name}: {records:,} records in {seconds:.1f} s")
            self.found[f"restart_{name}_s"] = round(seconds, 2)
            if name == "wiped":
                self.found["restored_keys_per_s"] = round(records / max(seconds, 0.001))
                self.found["restore_cpu_us_per_key"] = round(used / records * 1e6, 1)
                self.found["store_bytes_per_mpan"] = round(self._stores() / self.mpans, 1)

    def _recovered(self) -> tuple[int, float] | None:
        """Return what the worker logged of its recoveries, once the table's shards are among them."""
        found = RECOVERED.findall((self.folder / "worker.log").read_text(errors="replace"))
        if sum(int(shards) for shards, _, _ in found) < 3 * PARTITIONS:  # appointments, quarantine, seen
            return None
        return sum(int(records) for _, records, _ in found), max(float(seconds) for _, _, seconds in found)

    def _lookups(self) -> None:
        """Address messages on the stores that the router made: of the first MPANs, and of all."""
        base = next((self.folder / "state").glob("dip-router-0/**/tables"))
        shards = [
            Shard(table="appointments", changelog="", partition=number, path=base / f"appointments-{number}")
            for number in range(PARTITIONS)
        ]
        step = Step(shards)
        costs = [(step.cost(min(SMALL, self.mpans)), step.cost(self.mpans)) for _ in range(TURNS)]
        small, large = (min(some) for some in zip(*costs, strict=True))  # the least disturbed turn of each
        for shard in shards:
            shard.close()
        self.found |= {
            f"cpu_us_at_{SMALL}": round(small, 1),
            f"cpu_us_at_{self.mpans}": round(large, 1),
            "lookup_ratio": round(large / small, 3),
        }

    def _worker(self, settings: Settings) -> "subprocess.Popen[bytes]":
        with (self.folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pipeline.operate.main", "worker", "router"],
                env=environment(settings),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _dip(self, settings: Settings, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.operate.main", *arguments],
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _rows(self, settings: Settings) -> int:
        """Return how many records of the load the router has committed."""
        consumer = Consumer({**settings.kafka(), "group.id": "dip-router", "enable.auto.commit": False})
        try:
            places = [TopicPartition(topics.REGISTRATION, number) for number in range(PARTITIONS)]
            return sum(max(0, one.offset) for one in consumer.committed(places, timeout=30))
        except KafkaException as error:  # a coordinator that is still being elected
            self.say(str(error))
            return 0
        finally:
            consumer.close()

    def _size(self, pattern: str) -> int:
        return sum(
            one.stat().st_size
            for folder in (self.folder / "stack").rglob(pattern)
            for one in folder.rglob("*.log")
        )

    def _stores(self) -> int:
        tables = (self.folder / "state").glob("dip-router-0/**/tables/appointments-*")
        return sum(one.stat().st_size for table in tables for one in table.rglob("*") if one.is_file())


class Step:
    """The addressing step on stores of a router, without Kafka around it."""

    def __init__(self, shards: list[Shard]) -> None:
        self._codec = Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoRegistry())
        self._catalogue = load_catalogue()
        outside = Outside(Participants(people()))
        self._step = Addressing(
            codec=self._codec,
            catalogue=self._catalogue,
            participants=outside,
            clock=outside,
            appointments=Stored(shards),
            quarantine=Quarantine(rows={}),
        )

    def cost(self, among: int) -> float:
        """Return the CPU microseconds of one message about a random MPAN among the first so many."""
        records = [self._record(number) for number in Random(among).choices(range(among), k=LOOKUPS)]
        for record in records[: LOOKUPS // 4]:
            list(self._step(record))
        before = time.process_time()
        copies = 0
        for record in records:
            copies += sum(one.topic == topics.OUTBOUND for one in self._step(record))
        assert copies >= 2 * LOOKUPS, f"only {copies} copies: the table was not found"
        return (time.process_time() - before) / LOOKUPS * 1e6

    def _record(self, number: int) -> "Record":
        sent = message(
            mpan=mpan_of(number),
            applicable=(datetime(2026, 6, 1, tzinfo=UTC),),
            senderDIPID=holder("SDS", 0),
        )
        return Record(self._codec.encode_message(sent))


class Stored(dict[bytes, Any]):
    """The table as a step sees it, on the stores themselves."""

    def __init__(self, shards: list[Shard]) -> None:
        super().__init__()
        self._shards = shards

    def get(self, key: bytes, default: Any = None) -> Any:
        raw = self._shards[partition_of(key, PARTITIONS)].committed(key)
        return default if raw is None else decode(raw)


class Outside:
    """A clock that stands, and participants that do not change."""

    def __init__(self, everybody: Participants) -> None:
        self._everybody = everybody

    def now(self) -> datetime:
        return day(200)

    def current(self) -> Participants:
        return self._everybody


class NoRegistry:
    """No schema but ours."""

    def schema(self, schema_id: int) -> str:
        raise KeyError(schema_id)


class Record:
    """A record as steps read it."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes:
        return b""

    def headers(self) -> None:
        return None

    def topic(self) -> str:
        return topics.VALIDATED

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return (0, 0)


def mpan_of(number: int) -> str:
    """Return the MPAN of a number."""
    return f"20{number:011d}"


def holder(role: str, number: int) -> str:
    """Return one of the holders of a role."""
    return f"{PEOPLE[role]}{number % OF_EACH + 1:08d}"


def people() -> list[Any]:
    """Return everybody."""
    cast = [participant(holder(role, number), role) for role in PEOPLE for number in range(OF_EACH)]
    return [*cast, participant("1800000001", "MDS"), participant("1900000001", "LSS")]


def extract(mpans: int) -> Iterator[str]:
    """Yield the rows of an extract: five holders and a GSP group for each MPAN."""
    for number in range(mpans):
        yield from extract_of(number)


def extract_of(number: int) -> Iterator[str]:
    """Yield the rows of one MPAN."""
    mpan = mpan_of(number)
    for index, role in enumerate(PEOPLE):
        yield f"{mpan},{role},{holder(role, number // (index + 1))},2026-04-01,\n"
    yield f"{mpan},GSP,_{'ABCDEFGH'[number % 8]},2026-04-01,\n"


def environment(settings: Settings) -> dict[str, str]:
    """Return what a child needs to find the stack."""
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
        "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        "DIP_STATE_DIR": settings.state_dir,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }


def stop(worker: "subprocess.Popen[bytes]") -> None:
    """End a worker in order."""
    worker.terminate()
    try:
        worker.wait(60)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def registration_of(number: int) -> Registration:
    """Return what the extract says of an MPAN."""
    rows = [row.split(",") for row in extract_of(number)]
    holdings = tuple(
        Holding(slot=SLOT_OF_ROLE.get(Role(row[1]), Slot.GSP_GROUP).value, holder=row[2], valid_from=day(90))
        for row in rows
    )
    return Registration(mpan=Mpan(mpan_of(number)), source="load", recorded_at=day(100), holdings=holdings)


def value_of(number: int) -> bytes:
    """Return the row of an MPAN as the router stores it."""
    changes = changes_in(registration_of(number))
    return encode(apply(None, changes, recorded_at=day(100), source="load-abcdef012345").history)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def alive(worker: "subprocess.Popen[bytes]") -> bool:
    """Tell whether a process runs."""
    return worker.poll() is None


def until(look: Callable[[], Any], running: Callable[[], bool], *, within_s: float = 900) -> Any:
    """Wait until a look finds something."""
    end = time.monotonic() + within_s
    while (found := look()) is None:
        if time.monotonic() > end or not running():
            raise SystemExit("the worker does not recover: see its log")
        time.sleep(0.2)
    return found


if __name__ == "__main__":
    main()
