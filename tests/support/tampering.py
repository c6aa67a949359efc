"""Ways to falsify an archive, from a flipped bit to a rewritten record with every hash above it made to fit."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any

import fastavro

from pipeline.archive.files import Container, rows_of
from pipeline.domain.archive import Signed, manifest_from, signed_from
from pipeline.domain.archive_channels import channel_of
from pipeline.domain.archive_log import State, sealed
from tests.support.archive_fakes import MemoryStorage, Schemas, signer


@dataclass(frozen=True)
class Tampering:
    """What was done: to which object, and to which record where it was one."""

    kind: str
    path: str
    record: str | None = None


def _some(storage: MemoryStorage, rng: Random, start: str = "") -> str:
    return rng.choice(sorted(path for path in storage.objects if path.startswith(start)))


def flip_a_bit(storage: MemoryStorage, rng: Random) -> Tampering:
    path = _some(storage, rng)
    data = bytearray(storage.objects[path])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    storage.objects[path] = bytes(data)
    return Tampering("bit", path)


def cut_a_file(storage: MemoryStorage, rng: Random) -> Tampering:
    path = _some(storage, rng)
    data = storage.objects[path]
    storage.objects[path] = data[: rng.randrange(len(data))]
    return Tampering("truncation", path)


def remove_a_file(storage: MemoryStorage, rng: Random) -> Tampering:
    path = _some(storage, rng)
    del storage.objects[path]
    return Tampering("file removed", path)


def swap_two_files(storage: MemoryStorage, rng: Random) -> Tampering:
    start = rng.choice(("data/", "log/", "checkpoints/", "leaves/"))
    one = two = _some(storage, rng, start)
    while storage.objects[one] == storage.objects[two]:
        two = _some(storage, rng, start)
    objects = storage.objects
    objects[one], objects[two] = objects[two], objects[one]
    return Tampering("files swapped", one)


def insert_a_manifest(storage: MemoryStorage, rng: Random) -> Tampering:
    """Repeat some segment at the end of the log, as if it had been archived twice."""
    last = max(path for path in storage.objects if path.startswith("log/"))
    number = int(last.rsplit("/", 1)[1].removesuffix(".json")) + 1
    old = manifest_from(storage.objects[_some(storage, rng, "log/")])
    path = f"log/000000/{number:012d}.json"
    storage.objects[path] = replace(old, sequence=number).encode()
    return Tampering("manifest inserted", path)


def sign_with_another_key(storage: MemoryStorage, rng: Random) -> Tampering:
    path = _some(storage, rng, "checkpoints/")
    other = signer(rng.randbytes(8))
    found = replace(signed_from(storage.objects[path]).checkpoint, key=other.fingerprint)
    storage.objects[path] = Signed(checkpoint=found, signature=other.sign(found.encode())).encode()
    return Tampering("another key", path)


# Records

Row = dict[str, Any]
_EVEN_MS = timedelta(milliseconds=1)


def _alter(rng: Random, rows: list[Row]) -> tuple[list[Row], Row]:
    at = rng.randrange(len(rows))
    old = rows[at]
    change = rng.choice(
        (
            {"key": (old["key"] or b"") + b"x"},
            {"value": rng.randbytes(12)},
            {"timestamp": old["timestamp"] + rng.choice((-_EVEN_MS, _EVEN_MS))},
            {"headers": [*old["headers"], {"name": "more", "value": None}]},
        )
    )
    return [*rows[:at], {**old, **change}, *rows[at + 1 :]], old


def _drop(rng: Random, rows: list[Row]) -> tuple[list[Row], Row]:
    at = rng.randrange(len(rows))
    return rows[:at] + rows[at + 1 :], rows[at]


def _insert(rng: Random, rows: list[Row]) -> tuple[list[Row], Row]:
    at = rng.randrange(len(rows))
    new = {**rows[at], "offset": rows[at]["offset"] + rng.choice((0, 1)), "value": rng.randbytes(5)}
    return [*rows[: at + 1], new, *rows[at + 1 :]], new


def _exchange(rng: Random, rows: list[Row]) -> tuple[list[Row], Row]:
    """Let two records change places: each gets the other's offset."""
    one, two = rng.sample(range(len(rows)), 2)
    changed = list(rows)
    changed[one] = {**rows[two], "offset": rows[one]["offset"]}
    changed[two] = {**rows[one], "offset": rows[two]["offset"]}
    return changed, rows[one]


def _reverse(rng: Random, rows: list[Row]) -> tuple[list[Row], Row]:
    del rng
    return rows[::-1], rows[0]


_CHANGES: tuple[Callable[[Random, list[Row]], tuple[list[Row], Row]], ...] = (
    _alter,
    _drop,
    _insert,
    _exchange,
    _reverse,
)


def change_records(storage: MemoryStorage, rng: Random) -> Tampering:
    """Rewrite a file as a sound container with other records; its name stays."""
    rows: list[Row] = []
    while len(rows) < 2:
        path = _some(storage, rng, "data/")
        reader = fastavro.reader(io.BytesIO(storage.objects[path]))
        rows = list(reader)
    change = rng.choice(_CHANGES)
    changed, named = change(rng, rows)
    metadata = {name: text for name, text in reader.metadata.items() if name.startswith("dip.")}
    out = io.BytesIO()
    fastavro.writer(out, reader.writer_schema, changed, codec="zstandard", metadata=metadata)
    storage.objects[path] = out.getvalue()
    record = f"{metadata['dip.topic']}[{metadata['dip.partition']}]@{named['offset']}"
    return Tampering(f"record {change.__name__}", path, record)


def change_records_and_their_manifest(storage: MemoryStorage, rng: Random) -> Tampering:
    """Rewrite a whole segment with hashes, root and chain made anew; only the signature cannot be."""
    path = _some(storage, rng, "log/")
    old = manifest_from(storage.objects[path])
    records = sorted(
        (row.record for part in old.parts for row in rows_of(storage.objects[part.path])),
        key=lambda one: one.offset,
    )
    records = [replace(records[0], key=b"falsified"), *records[1:]]
    files = Container(Schemas(), channel_of).files(records)
    made, leaves = sealed(
        records,
        [file.part for file in files],
        state=State(),
        sealed_at=old.sealed_at,
        lost_before=old.lost_before,
    )
    for file in files:
        storage.objects[file.part.path] = file.content
    storage.objects[made.leaves.path] = leaves
    made = replace(made, sequence=old.sequence, previous=old.previous, chain_before=old.chain_before)
    storage.objects[path] = made.encode()
    return Tampering("segment rewritten", path)


def cut_the_end(storage: MemoryStorage, rng: Random) -> Tampering:
    """Forget the newest part of the archive, log and checkpoints alike."""
    checkpoints = sorted(path for path in storage.objects if path.startswith("checkpoints/"))
    keep = rng.randrange(1, len(checkpoints))
    size = signed_from(storage.objects[checkpoints[keep - 1]]).checkpoint.size
    for path in checkpoints[keep:]:
        del storage.objects[path]
    for path in [path for path in storage.objects if path.startswith("log/")]:
        if int(path.rsplit("/", 1)[1].removesuffix(".json")) >= size:
            del storage.objects[path]
    return Tampering("archive cut", checkpoints[-1])


WAYS: tuple[Callable[[MemoryStorage, Random], Tampering], ...] = (
    flip_a_bit,
    cut_a_file,
    remove_a_file,
    swap_two_files,
    insert_a_manifest,
    sign_with_another_key,
    change_records,
    change_records,
    change_records,
    change_records_and_their_manifest,
    cut_the_end,
)
