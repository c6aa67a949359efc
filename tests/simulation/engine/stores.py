"""Tables of a run: their changelogs folded, and the stores on the disks compared with that."""

import json
from collections.abc import Iterable, Iterator, Mapping

from tests.simulation.engine.broker import Broker
from tests.simulation.engine.disk import SimDisk

_MARK = b"\x00"


def fold(broker: Broker, changelog: str, number: int, *, below: int | None = None) -> dict[bytes, bytes]:
    """Return the rows that the readable records of a changelog's partition make, up to an offset."""
    rows: dict[bytes, bytes] = {}
    for at, offset, entry in broker.records(changelog):
        if at != number or (below is not None and offset >= below):
            continue
        if entry.value is None:
            rows.pop(entry.key or b"", None)
        else:
            rows[entry.key or b""] = entry.value
    return rows


def unfaithful(broker: Broker, disks: Mapping[str, SimDisk], changelogs: Mapping[str, str]) -> Iterator[str]:
    """Name every store that is not the fold of its changelog up to its mark. `changelogs` by table."""
    for table, changelog in changelogs.items():
        for number in range(broker.counts[changelog]):
            for owner, rows in _stores(disks, f"/{table}-{number}"):
                offset = json.loads(rows[_MARK])["offset"]
                found = {key[1:]: value for key, value in rows.items() if key != _MARK}
                if found != fold(broker, changelog, number, below=offset):
                    yield f"store {table}-{number} of worker {owner} is not its changelog up to {offset}"


def _stores(disks: Mapping[str, SimDisk], name: str) -> Iterable[tuple[str, dict[bytes, bytes]]]:
    return (
        (owner, rows)
        for owner, disk in disks.items()
        for path, rows in disk.stores.items()
        if path.endswith(name) and _MARK in rows
    )
