"""One partition of one table: RocksDB holds what is committed, overlays hold what is not."""

import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, ReadOptions, WriteBatch

from pipeline import limits
from pipeline.engine.errors import ShardClosed, StoreUnwritable

log = logging.getLogger(__name__)

_CORRUPT = (
    "Corruption"  # RocksDB's status of files that are damaged; full, locked and unreadable disks have others
)
_DISK = tuple(
    map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES))
)
_MARK = b"\x00"  # apart from every row, whose keys begin with _ROW
_ROW = b"\x01"
_AFTER = b"\xff"  # behind every key that continues a prefix: keys are text

_cache: Any = None


class Disk:
    """Where stores lie: RocksDB in folders."""

    def open(self, path: Path) -> Any:
        """Open the store of a folder, made if need be. Raises when it is open already."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return Rdict(str(path), _options())

    def batch(self) -> Any:
        """Return an empty batch of writes, which `write` of a store applies whole or not at all."""
        return WriteBatch(raw_mode=True)

    def wipe(self, path: Path) -> None:
        """Remove a closed store."""
        shutil.rmtree(path)


DISK = Disk()


def _options() -> Any:
    """Return the options of every shard; stated in full, since RocksDB forgets them on re-open."""
    global _cache  # noqa: PLW0603  # one block cache for every shard of the process
    if _cache is None:
        _cache = Cache(limits.BLOCK_CACHE_BYTES)
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003  # its signature
    options.set_write_buffer_size(limits.WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_cache)
    blocks.set_bloom_filter(10, False)  # noqa: FBT003  # its signature
    options.set_block_based_table_factory(blocks)
    return options


def _stop_if_disk(error: Exception, path: Path) -> None:
    """Raise StoreUnwritable where an error of the library says that the disk is at fault: its text has the system's."""
    text = str(error)
    if any(reason in text for reason in _DISK):
        raise StoreUnwritable(
            f"the disk of {path} does not take writes ({text[-200:]}). Make room or mend it, then start again: Kafka has "
            "everything that was committed, and the store goes on from there"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a shard's store is, and of which changelog; written in one batch with the rows it vouches for."""

    offset: int = 0
    at_s: float = 0.0
    topic_id: str = ""


class Shard:
    """One table's rows of one partition.

    Reads see the batch's writes, then those of the round's earlier batches, then what is committed. The store is
    never ahead of Kafka: `apply` is called only with changes that are in the changelog, together with its offset.
    """

    __slots__ = ("_db", "_disk", "_lock", "_path", "batch", "changelog", "delivered_offset", "mark", "partition",
                 "recovered", "round", "table", "target")  # fmt: skip

    def __init__(self, *, table: str, changelog: str, partition: int, path: Path, disk: Disk = DISK) -> None:
        self.table = table
        self.changelog = changelog
        self.partition = partition
        self.batch: dict[bytes, bytes | None] = {}
        self.round: dict[bytes, bytes | None] = {}
        self.delivered_offset: int | None = None
        self.target = 0
        self.recovered = False
        self._path = path
        self._disk = disk
        self._lock = threading.Lock()
        self._db: Any = None
        self._open()

    def _open(self) -> None:
        try:
            self._db = self._disk.open(self._path)
        except Exception as error:  # the library raises nothing narrower
            if not str(error).startswith(_CORRUPT):
                _stop_if_disk(error, self._path)
                raise
            log.warning(
                "%s: the local store is corrupt, and is rebuilt from its changelog: %s", self._path, error
            )
            self._disk.wipe(self._path)
            self._db = self._disk.open(self._path)
        raw = self._db.get(_MARK)
        self.mark = Mark(**json.loads(raw)) if raw else Mark()

    def get(self, key: bytes) -> bytes | None:
        """Return the value as the running batch sees it."""
        if key in self.batch:
            return self.batch[key]
        if key in self.round:
            return self.round[key]
        return self.committed(key)

    def committed(self, key: bytes) -> bytes | None:
        """Return the committed value."""
        return self._db.get(_ROW + key)  # type: ignore[no-any-return]  # raw mode stores bytes

    def scan(self, prefix: bytes, *, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield committed rows whose key begins with `prefix` and is not before `start`, in key order."""
        options = ReadOptions()
        wanted = _ROW + prefix
        for key, value in self._db.items(from_key=max(wanted, _ROW + start), read_opt=options):
            if not key.startswith(wanted):
                return
            yield key[1:], value

    def keys(self) -> Iterator[bytes]:
        """Return the keys committed at this moment, in order. Until the iterator is gone the store stays open."""
        rows = self._db.keys(from_key=_ROW)  # the snapshot is taken here, not at the first key
        return (key[1:] for key in rows if key.startswith(_ROW))

    def last_key(self, prefix: bytes) -> bytes | None:
        """Return the last committed key that begins with `prefix`, found from behind."""
        wanted = _ROW + prefix
        key = next(iter(self._db.keys(backwards=True, from_key=wanted + _AFTER)), None)
        return key[1:] if key is not None and key.startswith(wanted) else None

    def keep(self) -> None:
        """Let the writes of a batch that ended well join the round."""
        self.round.update(self.batch)
        self.batch.clear()

    def drop(self) -> None:
        """Forget the writes of a batch that failed."""
        self.batch.clear()

    def discard(self) -> None:
        """Forget everything that is not committed."""
        self.batch.clear()
        self.round.clear()
        self.delivered_offset = None

    def delivered(self, error: Any, message: Any) -> None:
        """Delivery report of the round's last changelog record."""
        if error is None:
            self.delivered_offset = message.offset() + 1

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], *, offset: int, at_s: float) -> None:
        """Write committed changes and the changelog offset after them, atomically.

        Raises ShardClosed if the shard went away meanwhile, StoreUnwritable where the disk is full.
        """
        self._write(changes, offset=offset, at_s=at_s)

    def touch(self, *, at_s: float, topic_id: str | None = None) -> None:
        """Note that the store is up to date at this time, and of which topic."""
        self._write((), at_s=at_s, topic_id=topic_id)

    def _write(
        self,
        changes: Iterable[tuple[bytes, bytes | None]],
        *,
        at_s: float,
        offset: int | None = None,
        topic_id: str | None = None,
    ) -> None:
        batch = self._disk.batch()
        for key, value in changes:
            if value is None:
                batch.delete(_ROW + key)
            else:
                batch.put(_ROW + key, value)
        with self._lock:
            if self._db is None:
                raise ShardClosed(f"{self.changelog}[{self.partition}]")
            mark = Mark(
                offset=self.mark.offset if offset is None else offset,
                at_s=at_s,
                topic_id=topic_id or self.mark.topic_id,
            )
            batch.put(_MARK, json.dumps(asdict(mark)).encode())
            try:
                self._db.write(batch)
            except Exception as error:  # as above
                _stop_if_disk(error, self._path)
                raise
            self.mark = mark

    def size_bytes(self) -> int:
        """Return the size of the store's files; those that a compaction takes away meanwhile do not count."""
        found = 0
        with suppress(OSError):  # the folder of a shard that is wiped
            for file in self._path.iterdir():
                with suppress(OSError):
                    found += file.stat().st_size
        return found

    def wipe(self) -> None:
        """Forget the store on disk: it must be rebuilt from the changelog."""
        with self._lock:
            if self._db is None:
                raise ShardClosed(f"{self.changelog}[{self.partition}]")
            self._db.close()
            self._disk.wipe(self._path)
            self._open()

    def close(self) -> None:
        """Close the store; later writes raise ShardClosed."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
