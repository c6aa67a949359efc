"""A table of the router as it is now, read from its changelog into a store of the operator's own.

Correct while routers run, needs none of them, and never touches their disks: it is the recovery that they use
themselves. The first look reads the whole partition (100,000 rows a second), later ones only what is new; the
store lies under the state directory and may be deleted at any time (docs/adr/0180).
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException

from pipeline import limits
from pipeline.adapters.clock import SystemClock
from pipeline.domain.shards import partition_of
from pipeline.engine import changelog_topic
from pipeline.engine.hand import Watch
from pipeline.engine.offsets import Topics
from pipeline.engine.recovery import Recovery
from pipeline.engine.store import Shard
from pipeline.errors import BrokerUnavailable, RouterError, TopicsInvalid
from pipeline.settings import Settings

ROUTER: Final = "dip-router"


class ViewBusy(RouterError):
    """Another command reads the same copy of a table. The operator waits for it, or sets another DIP_STATE_DIR."""


class TableView:
    """An open copy of a table. Partitions are brought up to date when they are first asked for."""

    def __init__(
        self,
        settings: Settings,
        *,
        table: str,
        app: str = ROUTER,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._table = table
        self._changelog = changelog_topic(app, table)
        self._folder = Path(settings.state_dir).resolve() / "operator" / app
        self._say = say
        self._topics = Topics(settings.kafka())
        self._shards: dict[int, Shard] = {}
        self._open = ExitStack()
        self._count = self._partitions()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _partitions(self) -> int:
        try:
            counts = self._topics.partition_counts(timeout_s=limits.OPERATOR_CALL_S_MAX)
        except KafkaException as error:
            raise BrokerUnavailable(
                f"no answer from Kafka ({error.args[0].str()}); check KAFKA_BOOTSTRAP"
            ) from None
        if self._changelog not in counts:
            raise TopicsInvalid(f"there is no topic {self._changelog}: run `dip topics create`")
        return counts[self._changelog][0]

    def get(self, key: bytes) -> bytes | None:
        """Return a row's stored form, or None."""
        partition = partition_of(key, self._count)
        self._refresh([partition])
        return self._shards[partition].committed(key)

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every row, in the order of keys over all partitions. Needs little memory whatever the size."""
        self._refresh(range(self._count))
        yield from heapq.merge(*(self._shards[number].scan(b"") for number in range(self._count)))

    def _refresh(self, partitions: Sequence[int]) -> None:
        fresh = [self._opened(number) for number in partitions if number not in self._shards]
        if not fresh:
            return
        recovery = Recovery(
            fresh,
            kafka=self._settings.kafka(),
            topics=self._topics,
            lost=lambda: False,
            stall_s=limits.VIEW_STALL_S_MAX,
            now_s=lambda: SystemClock().now().timestamp(),
        )
        count = recovery.run(Watch("read a table", limits.VIEW_STALL_S_MAX))
        if count >= limits.BULK_REPORT_RECORDS:
            self._say(f"{self._table}: {count:,} changes read")

    def _opened(self, number: int) -> Shard:
        path = self._folder / f"{self._table}-{number}"
        try:
            shard = Shard(table=self._table, changelog=self._changelog, partition=number, path=path)
        except Exception as error:
            if "lock" in str(error).lower():  # RocksDB's only way to say it
                raise ViewBusy(
                    f"{path} is in use by another command: wait, or set another DIP_STATE_DIR"
                ) from None
            raise
        self._open.callback(shard.close)
        self._shards[number] = shard
        return shard
