"""A storage that fails, tears and dies on order, topics in memory, and keys: what an archive meets outside."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline import schemas
from pipeline.adapters.archive_keys import FileSigner, KeyRing
from pipeline.archive.archiver import Archiver
from pipeline.archive.book import Book
from pipeline.archive.buffer import Buffer, SealRule
from pipeline.archive.files import Container
from pipeline.archive.keeping import Keeping
from pipeline.codec import Codec
from pipeline.domain.archive import Archived, Extent, Place
from pipeline.domain.archive_channels import channel_of
from pipeline.errors import AlreadyThere, ObjectMissing, StorageUnavailable

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


class Crash(BaseException):
    """The process dies here."""


@dataclass
class MemoryStorage:
    """Objects in a dict. `faults` decides at each write what happens: None, 'before', 'after', 'crash'."""

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: Iterable[str | None] = ()

    def __post_init__(self) -> None:
        self._faults = iter(self.faults)

    def _write(self, path: str, data: bytes) -> None:
        match next(self._faults, None):
            case "before":
                raise StorageUnavailable("no space left")
            case "after":  # the answer is lost, the object is not
                self.objects[path] = data
                raise StorageUnavailable("timed out")
            case "crash":
                raise Crash
            case "crash-after":
                self.objects[path] = data
                raise Crash
            case _:
                self.objects[path] = data

    def create(self, path: str, data: bytes) -> None:
        if path in self.objects:
            raise AlreadyThere(path)
        self._write(path, data)

    def put(self, path: str, data: bytes) -> None:
        self._write(path, data)

    def read(self, path: str) -> bytes:
        if path not in self.objects:
            raise ObjectMissing(path)
        return self.objects[path]

    def names(self, folder: str) -> list[str]:
        inside = f"{folder}/"
        return sorted({one[len(inside) :].split("/")[0] for one in self.objects if one.startswith(inside)})

    def delete(self, path: str) -> None:
        self.objects.pop(path, None)


@dataclass
class MemoryTopics:
    """Logs of partitions with gaps; a source that reads them a few records at a time, and the broker's orders."""

    logs: dict[Place, list[Archived]] = field(default_factory=dict)
    ends_by: dict[Place, int] = field(default_factory=dict)
    rng: Random = field(default_factory=lambda: Random(1))
    lows_by: dict[Place, int] = field(default_factory=dict)
    at: dict[Place, int] = field(default_factory=dict)
    told: dict[Place, int] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def put(self, record: Archived) -> None:
        place = (record.topic, record.partition)
        self.logs.setdefault(place, []).append(record)
        self.ends_by[place] = record.offset + 2  # a transaction's marker behind it

    def extents(self) -> dict[Place, Extent]:
        return {place: Extent(low=self.low(place), high=end) for place, end in self.ends_by.items()}

    def low(self, place: Place) -> int:
        return self.lows_by.get(place, 0)

    def start(self, positions: Mapping[Place, int]) -> None:
        self.at = dict(positions)

    def poll(self) -> list[Archived]:
        place = self.rng.choice(sorted(self.at))
        rest = [one for one in self.logs[place] if one.offset >= self.at[place]]
        taken = rest[: self.rng.randint(0, 40)]
        self.at[place] = taken[-1].offset + 1 if len(taken) < len(rest) and taken else self.at[place]
        if len(taken) == len(rest):
            self.at[place] = self.ends_by[place]
        return taken

    def positions(self) -> dict[Place, int]:
        return dict(self.at)

    def ends(self) -> dict[Place, int]:
        return dict(self.ends_by)

    def archived(self, positions: Mapping[Place, int]) -> None:
        self.told = dict(positions)

    def close(self) -> None: ...

    def caught_up(self) -> bool:
        return self.at == self.ends_by

    # What a broker is asked

    def offsets_at(self, topic: str, at: datetime) -> dict[Place, int]:
        stamp = at.timestamp() * 1000
        return {
            place: next((one.offset for one in log if one.timestamp_ms >= stamp), self.ends_by[place])
            for place, log in self.logs.items()
            if place[0] == topic
        }

    def lows(self, topic: str) -> dict[Place, int]:
        return {place: self.low(place) for place in self.logs if place[0] == topic}

    def delete_before(self, offsets: Mapping[Place, int]) -> None:
        for place, end in offsets.items():
            self.lows_by[place] = end
            self.logs[place] = [one for one in self.logs[place] if one.offset >= end]

    def hold(self, topic: str) -> None:
        self.held.append(topic)

    def release(self, topic: str) -> None:
        self.released.append(topic)


@dataclass
class Time:
    """A clock that is moved by hand."""

    at: datetime = START
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.seconds


class Schemas:
    """The registry of these tests: every schema of ours under a number."""

    def __init__(self) -> None:
        self.ids = {name: number for number, name in enumerate(schemas.SUBJECTS, 1)}
        self._names = {number: name for name, number in self.ids.items()}

    def schema(self, schema_id: int) -> str:
        return schemas.text(self._names[schema_id])


def codec() -> Codec:
    source = Schemas()
    return Codec(source.ids, source)


def signer(seed: bytes = b"an archive of tests") -> FileSigner:
    return FileSigner(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest()))


def ring(*signers: FileSigner) -> KeyRing:
    return KeyRing([one.public for one in signers or (signer(),)])


def opened(storage: MemoryStorage) -> Book:
    return Book.open(storage, Container(Schemas(), channel_of), signer())


def archiver(storage: MemoryStorage, topics: MemoryTopics, time: Time, **rule: float) -> Archiver:
    """Return a started archiver; segments are small."""
    limits = {"segment_bytes": 6_000, "age_s": 100.0, "buffer_bytes": 60_000, **rule}
    made = Archiver(
        source=topics,
        book=opened(storage),
        buffer=Buffer(rule=SealRule(**limits)),
        keeping=Keeping(
            topics=topics,
            deleted_by_us=("dip.audit",),
            aged=("dip.outbound",),
            online=_days(14),
            retention=_days(15),
        ),
        clock=time,
        monotonic_s=time.monotonic_s,
    )
    made.start()
    return made


def _days(count: int):
    from datetime import timedelta

    return timedelta(days=count)


def archived_records(storage: MemoryStorage) -> list[Archived]:
    """Return everything that the archive gives back, by partition and in the order of the log."""
    from pipeline.archive.reading import manifests, rows_in

    found = [row.record for manifest in manifests(storage) for row in rows_in(storage, manifest)]
    return sorted(found, key=lambda one: (one.topic, one.partition))  # stable: the order inside stays
