"""Carries out a plan: sends what may be sent, at the pace asked for, and writes the ledger's expectations.

A parcel that depends on earlier messages waits until a healthy recipient was seen to receive each of them: then
what they changed is committed in the router, and the expectation of the next step holds for certain.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pipeline import limits
from pipeline.client import Author
from pipeline.simulator.cast import Cast, Conduct
from pipeline.simulator.faults import FAULTS
from pipeline.simulator.ledger import Ledger, StatusKey
from pipeline.simulator.model import Reaches, Refused
from pipeline.simulator.plan import (
    Again,
    BadPost,
    Draft,
    Item,
    Parcel,
    Plan,
    Remark,
    Remarks,
    prerequisites,
    size,
)
from pipeline.simulator.posting import Answer, Postman
from pipeline.simulator.webhooks import REFUSAL, is_marked
from pipeline.simulator.writing import Writer, stamp

ROUTER: Final = "0000000000"
_SOMEBODY_ELSE: Final = "MDS"  # whose key is used where a fault needs a foreign one


@dataclass(slots=True)
class _Waiting:
    item: Item
    open: set[str]


@dataclass(slots=True, kw_only=True)
class Conductor:
    """One run of one plan. What waits for a message is given up when there was no news for `stall_s`."""

    plan: Plan
    cast: Cast
    ledger: Ledger
    postman: Postman
    pens: Mapping[str, Author]
    writer: Writer
    rate_per_s: float
    stall_s: float = limits.SIMULATOR_STALL_S_MAX
    _received: set[str] = field(default_factory=set)
    _accepted: set[str] = field(default_factory=set)
    _waiting: dict[str, list[_Waiting]] = field(default_factory=dict)
    _ready: deque[Item] = field(default_factory=deque)
    _stream: deque[Item] = field(default_factory=deque)
    _held_back: int = 0
    _open_messages: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def seen(self, reference: str) -> None:
        """Take note that a healthy recipient has a message."""
        if reference not in self._received:
            self._received.add(reference)
            self._open_messages -= reference in self._accepted
            self._release(reference)

    def has_received(self, reference: str) -> bool:
        """Tell whether a healthy recipient has a message."""
        return reference in self._received

    def _release(self, reference: str) -> None:
        """Let go what waited for a message that was received, and whose sender has its answer."""
        if reference not in self._received or reference not in self._accepted:
            return
        self._wake.set()
        for waiting in self._waiting.pop(reference, ()):
            waiting.open.discard(reference)
            if not waiting.open:
                self._held_back -= 1
                self._ready.append(waiting.item)

    async def perform(self) -> None:
        """Send everything; return when every answer is in the ledger, or when what is held back cannot go."""
        self._stream.extend(self.plan.stream)
        for item in self.plan.flows:
            self._hold_back(item)
        places = asyncio.Semaphore(limits.SIMULATOR_POSTS_IN_FLIGHT_MAX)
        next_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as posts:
            while (upcoming := await self._next()) is not None:
                next_s = await self._pace(next_s, size(upcoming))
                await self._keep_up()
                await places.acquire()
                posts.create_task(self._send(upcoming)).add_done_callback(lambda _: places.release())

    def _hold_back(self, item: Item) -> None:
        open_references = set(prerequisites(item))
        if not open_references:
            self._ready.append(item)
            return
        self._held_back += 1
        waiting = _Waiting(item, open_references)
        for reference in open_references:
            self._waiting.setdefault(reference, []).append(waiting)

    async def _next(self) -> Item | None:
        """Return what to send next: flows first, they have to wait often enough."""
        while True:
            if self._ready:
                return self._ready.popleft()
            if self._stream:
                return self._stream.popleft()
            if not self._held_back:
                return None
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), self.stall_s)
            except TimeoutError:
                example = next(iter(self._waiting))
                self.ledger.wrong(
                    f"{self._held_back} posts were never sent: no healthy recipient has {example} "
                    f"{self.stall_s:.0f} s after the last news"
                )
                return None

    async def _keep_up(self) -> None:
        """Without a rate, send as fast as healthy recipients receive: an endless queue would measure itself."""
        while not self.rate_per_s and self._open_messages > limits.SIMULATOR_OPEN_MESSAGES_MAX:
            before = len(self._received)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), self.stall_s)
            except TimeoutError:
                if before == len(self._received):
                    return  # the account will say what does not arrive

    async def _pace(self, next_s: float, messages: int) -> float:
        if not self.rate_per_s:
            return next_s
        now_s = asyncio.get_running_loop().time()
        if next_s > now_s:
            await asyncio.sleep(next_s - now_s)
        return max(next_s, now_s - limits.SIMULATOR_CATCH_UP_S_MAX) + messages / self.rate_per_s

    async def _send(self, item: Item) -> None:
        try:
            match item:
                case Parcel():
                    await self._send_parcel(item)
                case Again():
                    await self._send_again(item)
                case Remarks():
                    await self._send_remarks(item)
                case BadPost():
                    await self._send_bad(item)
        except TimeoutError as error:
            self.ledger.wrong(str(error))

    async def _send_parcel(self, parcel: Parcel) -> None:
        body = b"[" + b",".join(self.writer.body(draft) for draft in parcel.drafts) + b"]"
        for draft in parcel.drafts:
            self.ledger.announce(draft.reference, draft.expectation)
        for post in range(parcel.posts):
            answer = await self.postman.post(
                f"/dip-channel/{parcel.channel}", body, self.pens[parcel.poster.id]
            )
            self._book(parcel.drafts, answer, repeat=post > 0)

    def _book(self, drafts: Sequence[Draft], answer: Answer, *, repeat: bool) -> None:
        if not self._is_accepted(answer, [draft.reference for draft in drafts]):
            self.ledger.reject(len(drafts))
            return
        for draft, result in zip(drafts, answer.results, strict=True):
            transaction_id = result.transaction_id or ""
            self.ledger.accept(draft.reference, transaction_id, at_s=answer.at_s, repeat=repeat)
            if not repeat:
                self._expect_reports(draft, transaction_id)
            self._note_accepted(draft)

    def _note_accepted(self, draft: Draft) -> None:
        if draft.reference in self._accepted:
            return
        self._accepted.add(draft.reference)
        if not self._healthy(draft):
            self._received.add(draft.reference)  # nobody will tell us
        self._open_messages += draft.reference not in self._received
        self._release(draft.reference)

    def _is_accepted(self, answer: Answer, references: Sequence[str]) -> bool:
        told = [one.sender_reference for one in answer.results]
        if answer.status == 201 and told == list(references) and answer.codes() == {"MSG0000"}:  # noqa: PLR2004  # HTTP's own number
            return True
        problem = answer.text or [(one.message, one.help) for one in answer.results[:2]]
        self.ledger.wrong(
            f"{references[0]} and {len(references) - 1} more: answered {answer.status}: {problem}"
        )
        return False

    def _expect_reports(self, draft: Draft, transaction_id: str) -> None:
        """Expect status messages: for what cannot be addressed, and the words of recipients that refuse a copy."""
        match draft.expectation:
            case Refused(code=code):
                self._expect_status(draft.sender.id, transaction_id, code, ROUTER)
            case Reaches(recipients=recipients):
                refusing = (
                    self.cast.conduct(Conduct.PARTICULAR) if is_marked(draft.reference) else frozenset()
                )
                for refuser in recipients & refusing:
                    self._expect_status(draft.sender.id, transaction_id, REFUSAL, refuser)

    def _expect_status(self, recipient: str, transaction_id: str, code: str, sender: str) -> None:
        self.ledger.expect_status(
            StatusKey(recipient=recipient, transaction_id=transaction_id, code=code, sender=sender)
        )

    def _healthy(self, draft: Draft) -> frozenset[str]:
        if isinstance(draft.expectation, Refused):
            return frozenset()
        return draft.expectation.recipients & self.cast.conduct(Conduct.HEALTHY)

    async def _send_again(self, again: Again) -> None:
        draft = again.draft
        if again.changed:
            # Another issuer in the body: a different message under a reference that is used up.
            draft = dataclasses.replace(
                draft, fills={**draft.fills, "B044.issuingDataServiceDIPID": "1499999999"}
            )
        body = b"[" + self.writer.body(draft) + b"]"
        answer = await self.postman.post(f"/dip-channel/{draft.interface}", body, self.pens[draft.sender.id])
        self._book([draft], answer, repeat=True)
        if again.changed and (transaction_id := self.ledger.transaction_id(draft.reference)) is not None:
            self._expect_status(draft.sender.id, transaction_id, "MSG1006", ROUTER)

    async def _send_remarks(self, remarks: Remarks) -> None:
        bodies = [self._remark(remark) for remark in remarks.remarks]
        answer = await self.postman.post("/statusmessage", orjson.dumps(bodies), self.pens[remarks.by.id])
        if not self._is_accepted(answer, [remark.about for remark in remarks.remarks]):
            self.ledger.reject(len(bodies))
            return
        for remark, body in zip(remarks.remarks, bodies, strict=True):
            self.ledger.accept_remark()
            self._expect_status(remark.to.id, body["transactionID"], remark.code, remark.by.id)

    def _remark(self, remark: Remark) -> dict[str, Any]:
        return {
            "transactionID": self.ledger.transaction_id(remark.about),
            "senderUniqueReference": remark.about,
            "correlationID": None,
            "sentTimestamp": stamp(self.postman.now()),
            "senderID": remark.by.id,
            "recipientID": remark.to.id,
            "DIPConnectionProviderID": remark.by.provider,
            "message": f"{remark.code} - MPAN unknown to recipient",
            "help": None,
            "serviceTicketURL": None,
        }

    async def _send_bad(self, bad: BadPost) -> None:
        fault, draft = FAULTS[bad.fault], bad.draft
        self.ledger.announce(
            draft.reference, draft.expectation
        )  # never accepted: whatever arrives is phantom
        signer = self.cast.one(_SOMEBODY_ELSE).id if fault.foreign_signer else draft.sender.id
        answer = await self.postman.post(
            f"/dip-channel/{fault.channel or draft.interface}",
            fault.spoil(self.writer.body(draft)),
            self.pens[signer],
            tamper=fault.tamper,
        )
        self.ledger.reject()
        if answer.status != bad.status or (bad.code is not None and bad.code not in answer.codes()):
            self.ledger.wrong(
                f"{fault.name}: expected {bad.status} {bad.code or ''}, "
                f"got {answer.status} {' '.join(sorted(answer.codes()))}{answer.text}"
            )
