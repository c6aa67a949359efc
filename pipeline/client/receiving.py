"""The receiving side: verify a webhook call, read it, take each message once, answer for each."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol

from pipeline import limits
from pipeline.client.deliveries import Delivered, Delivery, Reply, body_of, read_messages, read_statuses
from pipeline.client.extensions import ATTEMPT_HEADER, DELIVERY_HEADER, places_in
from pipeline.client.identity import wire_instant
from pipeline.client.responses import StandardResponse
from pipeline.client.verdicts import TAKEN, Rcp, Verdict
from pipeline.client.verification import SignerTrust, complaint

PARTICIPANT_HEADER: Final = "X-DIP-MPO"

Take = Callable[[Delivered], Awaitable[Verdict]]
"""Stores a message safely and says what it is; asked once per delivery id, as far as the memory reaches."""


class Memory(Protocol):
    """Which delivery ids were taken. Keep it where the messages are kept, in the same transaction."""

    async def has(self, delivery_id: str) -> bool: ...

    async def keep(self, delivery_id: str) -> None: ...


@dataclass(slots=True)
class RecentIds:
    """A memory that forgets the oldest, and everything at a restart: for tries, not for production."""

    count_max: int = limits.RECEIVER_IDS_MAX
    _ids: OrderedDict[str, None] = field(default_factory=OrderedDict)

    async def has(self, delivery_id: str) -> bool:
        return delivery_id in self._ids

    async def keep(self, delivery_id: str) -> None:
        self._ids[delivery_id] = None
        while len(self._ids) > self.count_max:
            self._ids.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One registered address: `url` exactly as the DIP was told, for `statuses` or for messages."""

    recipient: str
    url: str
    trust: SignerTrust
    statuses: bool = False
    body_bytes_max: int = limits.RECEIVER_BODY_BYTES_MAX

    def open(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Delivery | Reply:
        """Verify and read one POST: the delivery, or the answer that refuses it. Neither clock nor IO."""
        if len(body) > self.body_bytes_max:
            reason = f"{len(body)} bytes are more than {self.body_bytes_max}"
            return Reply(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason=reason)
        wrong = complaint(headers, method="POST", url=self.url, body=body, trust=self.trust, now=now)
        if wrong is not None:
            return Reply(status=HTTPStatus.UNAUTHORIZED, reason=wrong)
        given = headers.get(DELIVERY_HEADER, "")
        ids = given.split(",") if given else []
        items = read_statuses(body, ids) if self.statuses else read_messages(body, ids)
        if items is None or (ids and len(ids) != len(items)):
            return self._unreadable(now)
        attempt = headers.get(ATTEMPT_HEADER, "")
        places = places_in(headers, len(items))
        return Delivery(
            recipient=self.recipient,
            items=tuple(replace(one, place=place) for one, place in zip(items, places, strict=True)),
            participant=headers.get(PARTICIPANT_HEADER),
            attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else None,
        )

    def _unreadable(self, now: datetime) -> Reply:
        what = "status messages" if self.statuses else "messages with D0"
        verdict = Verdict(code=Rcp.SCHEMA, help=f"The body is not a JSON array of {what}.")
        at = wire_instant(now)
        body = body_of(verdict, recipient=self.recipient, at=at)
        return Reply(
            status=HTTPStatus.BAD_REQUEST,
            body=StandardResponse(results=(body,), timestamp=at).wire(),
            reason=verdict.help or "",
        )


async def receive(
    webhook: Webhook,
    headers: Mapping[str, str],
    body: bytes,
    *,
    take: Take,
    memory: Memory,
    now: Callable[[], datetime],
) -> Reply:
    """Do all of it for one POST: what was taken before is answered again, and not taken again.

    Deliveries may be repeated, and come in any order: D0.transactionTimestamp sorts them.
    """
    delivery = webhook.open(headers, body, now=now())
    if isinstance(delivery, Reply):
        return delivery
    verdicts = [await _verdict(one, take, memory) for one in delivery.items]
    return delivery.answer(verdicts, now=now())


async def _verdict(one: Delivered, take: Take, memory: Memory) -> Verdict:
    if await memory.has(one.delivery_id):
        return TAKEN
    verdict = await take(one)
    if verdict.taken:
        await memory.keep(one.delivery_id)
    return verdict
