"""Answers consumption replays (IF-015): the stored messages of an MPAN, each as an IF-016 on its way through the router.

An order is a row beside the audit record that made it. Its owner carries it on, a page of answers in one transaction with
the row's new place: so a crash repeats none and skips none. Answers go to `dip.validated`; from there they are messages
like any others: addressed, copied, delivered, and in the audit.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import orjson

from agents.reading_back import ReadingBack
from agents.requeueing import Engine
from pipeline import limits, topics
from pipeline.adapters.journal_client import Shards, find_messages
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.consumption import (
    Order,
    ReplayRules,
    answer,
    order_of,
    place_in_order,
    refusal,
    stored,
)
from pipeline.domain.envelope import AuditRecord, Message, Stage, Status
from pipeline.domain.headers import message_key
from pipeline.domain.journal import by_mpan
from pipeline.domain.parked import ANY_RECORD, Pointer, Reading, Unreadable
from pipeline.domain.rejections import Code
from pipeline.engine import Claim, NotSettled, Output, Settlement, Write
from pipeline.intake import canonical_body
from pipeline.metrics import Sample
from pipeline.ports import Clock
from tables import consumption
from tables.consumption import Ordered, Orders

log = logging.getLogger(__name__)

_STARTED: Final = ("", "")


class Payloads(Protocol):
    """Reads records by their places."""

    async def read(self, pointers: Sequence[Pointer]) -> Reading: ...


@dataclass(slots=True, kw_only=True)
class Consumption:
    """Carries on the orders of the partitions of the audit that this worker holds.

    `shards` asks the owners of all partitions. None: nobody may be asked, so orders wait, and the log says so.
    """

    engine: Engine
    rows: Orders
    shards: Shards | None
    payloads: Payloads
    codec: Codec
    catalogue: Catalogue
    rules: ReplayRules
    clock: Clock
    reading: ReadingBack = field(default_factory=ReadingBack)
    page_messages: int = limits.CONSUMPTION_PAGE_MESSAGES
    _told: int = 0
    """How many orders the log was last told of that wait for a secret."""

    async def run(self) -> None:
        """Carry orders on for ever."""
        while True:
            await self.step()
            await asyncio.sleep(limits.CONSUMPTION_EVERY_S)

    async def step(self) -> None:
        """Carry each order on by a page; one whose sources do not answer waits for the next step."""
        orders = self._orders()
        if self.shards is None:
            self._tell_waiting(len(orders))
            return
        for claim, key, row in orders:
            await self._carry_on(self.shards, claim, key, row)

    def samples(self) -> Iterable[Sample]:
        """Return how many orders are not answered to the end yet."""
        return [Sample("dip_journal_orders", len(self._orders()))]

    def _orders(self) -> list[tuple[Claim, bytes, Ordered]]:
        return [
            (claim, key, row)
            for claim in self.engine.claims()
            if topics.AUDIT in claim.group.split("+")
            for key, row in self.rows.scan(partition=claim.partition)
        ]

    def _tell_waiting(self, count: int) -> None:
        """Say what waits for a secret, each time that it became more."""
        if count > self._told:
            log.warning(
                "%d consumption replays (IF-015) wait: set DIP_SHARD_SECRET, the same for the bridge and all workers,"
                " and start them again; then they are answered",
                count,
            )
        self._told = count

    async def _carry_on(self, shards: Shards, claim: Claim, key: bytes, row: Ordered) -> None:
        order = order_of(self.codec.decode_audit(row.record), self.rules.request)
        if order is None:  # rules that changed since: the sender may ask again
            await self._settle(claim, Settlement(claim=claim, writes=[_gone(key)]))
            return
        found = await find_messages(shards, self.codec, by_mpan(order.record.mpan or ""))
        if not isinstance(found, list):
            log.info("consumption replay %s waits: %s", key.decode(), found)
            return
        records = [one.record for one in found]
        left = [
            one
            for one in stored(order, records, self.rules)
            if place_in_order(one) > (row.after_at, row.after)
        ]
        page = left[: self.page_messages]
        bodies = await self._bodies([order.record, *page])
        if isinstance(bodies, Unreadable):
            log.info("consumption replay %s waits: %s", key.decode(), bodies.text)
            return
        await self._settle(
            claim, self._settlement(claim, key, row, order, page=page, left=left, bodies=bodies)
        )

    def _settlement(
        self,
        claim: Claim,
        key: bytes,
        row: Ordered,
        order: Order,
        *,
        page: list[AuditRecord],
        left: list[AuditRecord],
        bodies: dict[str, Message],
    ) -> Settlement:
        asked = bodies.get(order.record.transaction_id or "")
        answers: list[Message] = []
        if asked is not None:
            about = self._exact(asked)
            originals = (bodies[one.transaction_id] for one in page if one.transaction_id in bodies)
            answers = [
                answer(order, about, one, self._exact(one), self.rules)
                for one in originals
                if order.covers(one)
            ]
            first = (row.after_at, row.after) == _STARTED
            if first and not answers and len(page) == len(left):
                answers = [refusal(order, about, self.rules)]
        write = _gone(key)
        if len(page) < len(left):
            at, name = place_in_order(page[-1])
            write = Write(table=consumption.NAME, key=key, value=replace(row, after_at=at, after=name))
        return Settlement(
            claim=claim, outputs=[one for made in answers for one in self._outputs(made)], writes=[write]
        )

    async def _bodies(self, records: list[AuditRecord]) -> dict[str, Message] | Unreadable:
        """Read the messages that records are about, by transaction; what is gone or unreadable is left out."""
        pointers = {_pointer(one): one.transaction_id for one in records}
        read = await self.payloads.read(tuple(pointers))
        if isinstance(read, Unreadable):
            return read
        found: dict[str, Message] = {}
        for pointer, transaction in pointers.items():
            message = self.reading.value(self.codec.decode_message, pointer, read[pointer])
            if message is not None and message.transaction_id == transaction:
                found[message.transaction_id] = message
        return found

    def _exact(self, message: Message) -> bytes:
        """Return a message's body in the specification's letter case."""
        if message.exact_case:
            return message.body
        return orjson.dumps(canonical_body(self.catalogue, message))

    def _outputs(self, made: Message) -> tuple[Output, Output]:
        """Return the message, and its receipt: the router is its sender, and has checked it."""
        receipt = AuditRecord(
            at=self.clock.now(),
            stage=Stage.INBOUND,
            status=Status.GOOD_TO_GO,
            code=Code.ACCEPTED.value,
            transaction_id=made.transaction_id,
            received_at=made.received_at,
            interface=made.interface,
            event=made.event,
            sender_id=made.sender_id,
            sender_reference=made.sender_reference,
            mpan=made.mpan,
            reason=f"answers the consumption replay with correlation id {made.sender_correlation_id}",
            rules=self.catalogue.fingerprint,
        )
        return (
            Output(topic=topics.VALIDATED, key=message_key(made), value=self.codec.encode_message(made)),
            Output(
                topic=topics.AUDIT,
                key=made.transaction_id.encode(),
                value=self.codec.encode_audit(receipt),
            ),
        )

    async def _settle(self, claim: Claim, settlement: Settlement) -> None:
        try:
            await self.engine.settle(settlement)
        except NotSettled as reason:
            log.info(
                "consumption replays of partition %d are left to the next owner: %s", claim.partition, reason
            )


def _gone(key: bytes) -> Write:
    return Write(table=consumption.NAME, key=key, value=None)


def _pointer(record: AuditRecord) -> Pointer:
    assert record.topic is not None
    assert record.partition is not None
    assert record.offset is not None
    return Pointer(topic=record.topic, partition=record.partition, offset=record.offset, checksum=ANY_RECORD)
