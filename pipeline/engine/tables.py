"""Faust tables on the engine's shards."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
from faust.tables.manager import TableManager as FaustTableManager
from mode.utils.locks import Event

from pipeline.engine.batch import Batch, current_batch
from pipeline.engine.errors import ForeignTable, NotInBatch, ShardClosed, Unsupported
from pipeline.engine.store import Shard
from pipeline.engine.values import Claim

log = logging.getLogger(__name__)

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


def changelog_topic(app_id: str, table: str) -> str:
    """Return the name of a table's changelog topic."""
    return f"{app_id}-{table}-changelog"


class Table(faust.Table):  # type: ignore[misc]  # faust ships no types
    """A table whose rows belong to the partitions of its source topics; keys are bytes.

    Inside a batch it reads and writes the shard of the batch's partition, uncommitted writes included. Outside
    of a batch it shows the committed state of the shards this worker has, and refuses writes.
    """

    def __init__(
        self, app: Any, *, sources: Sequence[Any], encode: Encode, decode: Decode, **options: Any
    ) -> None:
        if options.get("window") is not None:
            raise Unsupported(
                "tables have no windows here: keep a time in the value, and remove old rows by a settlement"
            )
        super().__init__(app, **options)
        self.sources = frozenset(one if isinstance(one, str) else one.get_topic_name() for one in sources)
        if not self.sources:
            raise ValueError(f"table {self.name}: name at least one source topic")
        self.encode = encode
        self.decode = decode
        self.changelog = changelog_topic(app.conf.id, self.name)
        self.shards: dict[int, Shard] = {}

    # --- one row ---

    def _batch_shard(self, batch: Batch) -> Shard:
        if not batch.open:
            raise NotInBatch(f"table {self.name}: this batch of {batch.topic} is over")
        if batch.topic not in self.sources:
            raise ForeignTable(f"table {self.name} does not name {batch.topic} among its sources")
        return self.shards[batch.partition]

    def _raw(self, key: bytes) -> bytes | None:
        batch = current_batch.get()
        if batch is not None:
            return self._batch_shard(batch).get(key)
        for shard in list(self.shards.values()):
            if shard.recovered and (value := shard.committed(key)) is not None:
                return value
        return None

    def _write(self, key: bytes, value: bytes | None) -> None:
        batch = current_batch.get()
        if batch is None:
            raise NotInBatch(f"table {self.name} is written only inside of a batch, or by app.settle()")
        self._batch_shard(batch).batch[key] = value

    def committed(self, key: bytes, partition: int) -> Any:
        """Return a committed row of one partition, None where there is none.

        Raises ShardClosed where the partition is not held or not recovered: an absent row would be no answer.
        """
        shard = self.shards.get(partition)
        if shard is None or not shard.recovered:
            raise ShardClosed(f"{self.changelog}[{partition}]")
        raw = shard.committed(key)
        return None if raw is None else self.decode(raw)

    def __getitem__(self, key: bytes) -> Any:
        raw = self._raw(key)
        if raw is None:
            return self.__missing__(key)
        return self.decode(raw)

    def get(self, key: bytes, default: Any = None) -> Any:
        raw = self._raw(key)
        return default if raw is None else self.decode(raw)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self._raw(key) is not None

    def __setitem__(self, key: bytes, value: Any) -> None:
        self._write(key, self.encode(value))

    def __delitem__(self, key: bytes) -> None:
        self._write(key, None)

    # --- many rows: committed state only ---

    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Any]]:
        """Yield committed rows of the local, recovered shards whose key begins with `prefix`, from `start` on.

        Rows come in key order within a partition. Writes of the running batch are not seen.
        """
        for number in sorted(self.shards):
            shard = self.shards.get(number)
            if shard is None or not shard.recovered or partition not in (None, number):
                continue
            for key, raw in shard.scan(prefix, start=start):
                yield key, self.decode(raw)

    def last_key(self, prefix: bytes, partition: int) -> bytes | None:
        """Return the last committed key of one partition that begins with `prefix`."""
        shard = self._recovered(partition)
        return None if shard is None else shard.last_key(prefix)

    def keys_of(self, partition: int) -> Iterator[bytes]:
        """Return the keys of one partition committed at this moment, in order.

        The caller lets go of the iterator when the partition's claim ends: until then its store stays open.
        """
        shard = self._recovered(partition)
        return iter(()) if shard is None else shard.keys()

    def _recovered(self, partition: int) -> Shard | None:
        shard = self.shards.get(partition)
        return shard if shard is not None and shard.recovered else None

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, _ in self.scan())

    def __len__(self) -> int:
        return sum(1 for _ in self.scan())

    def keys(self) -> Any:
        return list(self)

    def values(self) -> Any:
        return [value for _, value in self.scan()]

    def items(self) -> Any:
        return list(self.scan())

    # --- what cannot be exactly-once ---

    def using_window(self, *_: Any, **__: Any) -> Any:
        raise Unsupported(f"table {self.name}: no windows here; keep a time in the value")

    def join(self, *_: Any) -> Any:
        raise Unsupported(f"table {self.name}: no joins here; read the table in the agent's loop")

    left_join = inner_join = outer_join = join

    def on_window_close(self, *_: Any) -> Any:
        raise Unsupported(f"table {self.name}: no windows here; keep a time in the value")


class TableManager(FaustTableManager):  # type: ignore[misc]  # faust ships no types
    """Faust's registry of tables; channels and recovery of its own are not started, shards take their place."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._lock = threading.Lock()
        self._by_claim: dict[Claim, list[Shard]] = {}
        self._settled = Event()

    async def on_start(self) -> None:
        """Start nothing: the consumer opens shards."""

    async def on_stop(self) -> None:
        """Stop nothing: the consumer closes shards."""

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Do nothing: the consumer closes shards."""

    async def on_rebalance(self, *_: Any, **__: Any) -> None:
        """Do nothing: the consumer opens and closes shards."""

    async def wait_until_tables_registered(self) -> None:
        """Tables are registered when they are declared."""

    async def wait_until_recovery_completed(self) -> bool:
        """Wait for the first complete recovery; tasks and timers of the app start after it."""
        return bool(await self.wait_for_stopped(self._settled))

    def settled(self) -> None:
        """Note that everything assigned is recovered."""
        self._settled.set()

    @property
    def is_settled(self) -> bool:
        """Tell whether the first recovery is complete."""
        return bool(self._settled.is_set())

    # --- shards ---

    def sources(self) -> list[frozenset[str]]:
        """Return the source topics of every table."""
        return [table.sources for table in self.values()]

    def open(self, claim: Claim, topics: Sequence[str], *, wanted: Callable[[], bool]) -> list[Shard]:
        """Open the shards that a claim can touch; nothing once the claim is no longer wanted. Blocks."""
        opened: list[Shard] = []
        with self._lock:
            for table in self.values():
                if not wanted():
                    break
                if table.sources & set(topics):
                    path = Path(self.app.conf.tabledir) / f"{table.name}-{claim.partition}"
                    shard = Shard(
                        table=table.name,
                        changelog=table.changelog,
                        partition=claim.partition,
                        path=path,
                        disk=self.app.engine.outside.disk,
                    )
                    table.shards[claim.partition] = shard
                    opened.append(shard)
                    self._by_claim.setdefault(claim, []).append(shard)
        return opened

    def of(self, claim: Claim) -> Sequence[Shard]:
        """Return the shards of a claim."""
        return self._by_claim.get(claim, ())

    def all_shards(self) -> list[Shard]:
        """Return every open shard."""
        return [shard for shards in list(self._by_claim.values()) for shard in shards]

    def close(self, claim: Claim, *, at_s: float | None) -> None:
        """Close a claim's shards; `at_s` dates the stores as up to date until now."""
        with self._lock:
            for shard in self._by_claim.pop(claim, ()):
                table = self[shard.table]
                if table.shards.get(shard.partition) is shard:
                    del table.shards[shard.partition]
                if at_s is not None and shard.recovered:
                    shard.touch(at_s=at_s)
                shard.close()

    def touch(self, *, at_s: float) -> None:
        """Note that the recovered stores are up to date."""
        for shard in self.all_shards():
            if shard.recovered:
                with suppress(ShardClosed):
                    shard.touch(at_s=at_s)

    def discard(self) -> None:
        """Forget every write that is not committed."""
        for shard in self.all_shards():
            shard.discard()
