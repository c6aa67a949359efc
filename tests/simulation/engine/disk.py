"""Stores in memory under the engine's shards: each batch is applied whole, and the last ones may be lost with the power."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Any

from greenlet import GreenletExit

from tests.simulation.engine.world import Process


class SimDisk:
    """The disk of one machine: it outlives processes, but not always their last writes."""

    def __init__(self) -> None:
        self.store_class: type[SimStore] = SimStore
        self.stores: dict[str, dict[bytes, bytes]] = {}
        self.undo: dict[str, deque[list[tuple[bytes, bytes | None]]]] = {}

    def of(self, machine: Process) -> "_Mounted":
        return _Mounted(self, machine)

    def lose_last_writes(self, most: int) -> None:
        """The machine lost its power: the last batches of every store are gone, each whole."""
        for name, undo in self.undo.items():
            for _ in range(min(most, len(undo))):
                for key, value in reversed(undo.pop()):
                    if value is None:
                        self.stores[name].pop(key, None)
                    else:
                        self.stores[name][key] = value


class _Mounted:
    """The disk as one process sees it."""

    def __init__(self, disk: SimDisk, machine: Process) -> None:
        self._disk, self.machine = disk, machine
        self.open_names: set[str] = set()

    def open(self, path: Any) -> "SimStore":
        name = str(path)
        self.machine.effect()
        if name in self.open_names:
            raise OSError(f"{name}: lock hold by current process")
        self.open_names.add(name)
        rows = self._disk.stores.setdefault(name, {})
        return self._disk.store_class(self, name, rows, self._disk.undo.setdefault(name, deque(maxlen=4)))

    def batch(self) -> "SimBatch":
        return SimBatch()

    def wipe(self, path: Any) -> None:
        self._disk.stores.pop(str(path), None)
        self._disk.undo.pop(str(path), None)


class SimBatch(list[tuple[bytes, bytes | None]]):
    """Writes that are applied together."""

    def put(self, key: bytes, value: bytes) -> None:
        self.append((key, value))

    def delete(self, key: bytes) -> None:
        self.append((key, None))


class SimStore:
    """One store."""

    def __init__(
        self,
        disk: _Mounted,
        name: str,
        rows: dict[bytes, bytes],
        undo: deque[list[tuple[bytes, bytes | None]]],
    ) -> None:
        self._disk, self._name, self._rows, self._undo = disk, name, rows, undo
        self._sorted: list[bytes] | None = None

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def items(self, *, from_key: bytes, read_opt: Any = None) -> Iterator[tuple[bytes, bytes]]:
        """Return what there is at this moment, in order from a key on."""
        del read_opt
        keys = self._ordered()
        return iter([(key, self._rows[key]) for key in keys[bisect_left(keys, from_key) :]])

    def keys(self, *, from_key: bytes, backwards: bool = False) -> Iterator[bytes]:
        keys = self._ordered()
        if backwards:
            return iter(keys[: bisect_right(keys, from_key)][::-1])
        return iter(keys[bisect_left(keys, from_key) :])

    def _ordered(self) -> list[bytes]:
        if self._sorted is None:
            self._sorted = sorted(self._rows)
        return self._sorted

    def write(self, batch: SimBatch) -> None:
        self._disk.machine.effect()
        self._sorted = None
        self._undo.append([(key, self._rows.get(key)) for key, _ in batch])
        for key, value in batch:
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self._disk.machine.effect()

    def close(self) -> None:
        if self._disk.machine.dead:
            raise GreenletExit
        self._disk.open_names.discard(self._name)
