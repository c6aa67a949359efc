"""What Faust's consumer interface asks for and the engine does in its own way, or not at all."""

# ruff: noqa: ARG002  # the signatures are Faust's
import logging
from typing import Any

from faust.types.transports import ConsumerT
from mode import Service

log = logging.getLogger(__name__)


class ConsumerFace(Service, ConsumerT):  # type: ignore[misc]  # faust and mode ship no types
    """Answers for Faust: offsets, flow and acknowledgements are the engine's business."""

    _unacked_messages: set[Any]

    @property
    def unacked(self) -> set[Any]:
        """Return nothing: batches are not acknowledged through Faust."""
        return self._unacked_messages

    def assignment(self) -> set[Any]:
        """Return nothing: Faust would drain a consumer with an assignment, and the engine did that already."""
        return set()

    def stop_flow(self) -> None:
        """Do nothing: the engine decides when to fetch."""

    def resume_flow(self) -> None:
        """Do nothing: the engine decides when to fetch."""

    async def wait_empty(self) -> None:
        """Do nothing: no batch is open when Faust asks."""

    def close(self) -> None:
        """Do nothing: the session closes its clients."""

    def pause_partitions(self, tps: Any) -> None:
        """Do nothing: partitions are read only once recovered."""

    def resume_partitions(self, tps: Any) -> None:
        """Do nothing: see pause_partitions."""

    def on_buffer_full(self, tp: Any) -> None:
        """Do nothing: one batch at a time is in the buffers."""

    def on_buffer_drop(self, tp: Any) -> None:
        """Do nothing: see on_buffer_full."""

    def track_message(self, message: Any) -> None:
        """Do nothing: offsets follow rounds."""

    def ack(self, message: Any) -> bool:
        """Acknowledge nothing: offsets follow rounds."""
        return False

    def verify_recovery_event_path(self, now: float, tp: Any) -> None:
        """Do nothing: recovery is the engine's."""

    def highwater(self, tp: Any) -> int:
        """Return nothing of use: lag is in `app.health()`."""
        return 0

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Leave partitioning to the producer (murmur2)."""
        return partition

    async def on_task_error(self, exc: BaseException) -> None:
        """Do nothing: the guard around each agent saw the error first."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002  # Faust's signature
        """Commit nothing: offsets follow rounds."""
        return False

    async def perform_seek(self) -> None:
        """Do nothing: the engine seeks by itself."""

    async def seek(self, partition: Any, offset: int) -> None:
        """Refuse: offsets are part of transactions."""
        raise NotImplementedError(
            "the engine owns the offsets; reset the group's offsets while no worker runs"
        )

    async def seek_wait(self, partitions: Any) -> None:
        """Refuse: see seek."""
        raise NotImplementedError(
            "the engine owns the offsets; reset the group's offsets while no worker runs"
        )

    async def position(self, tp: Any) -> int | None:
        """Return nothing of use: see `app.unsettled()`."""
        return None

    async def getmany(self, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's signature
        """Refuse: the engine fetches."""
        raise NotImplementedError("the engine fetches; declare an agent")

    async def earliest_offsets(self, *partitions: Any) -> dict[Any, int]:
        """Return nothing: recovery is the engine's."""
        return {}

    async def highwaters(self, *partitions: Any) -> dict[Any, int]:
        """Return nothing: recovery is the engine's."""
        return {}

    async def create_topic(self, topic: str, *_: Any, **__: Any) -> None:
        """Create nothing: topics are code."""
        log.warning("topic %s is not created by a worker: topics are code (`dip topics create`)", topic)
