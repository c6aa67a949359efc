"""`GET .../deliveryStatus/...`: what became of a message, for its sender and for who was to get it."""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Final

from pipeline.adapters.journal_client import find
from pipeline.domain.identifiers import InterfaceId, ParticipantId, SenderReference, TransactionId
from pipeline.domain.journal import (
    by_transaction,
    journal_record,
    mark_of,
    prefixes_of_reference,
    story_of,
    transactions_in,
)
from pipeline.ingress.asking import unanswered
from pipeline.ingress.calls import Asks, Call, Outcome, Reply
from pipeline.ingress.journal_requests import unasked
from pipeline.ingress.outside import Encoder, Shards

_NOTHING: Final = Reply(status=HTTPStatus.NO_CONTENT)
_CANDIDATES_MAX: Final = 8
"""Senders that used the same reference and are looked at: it names its sender where it is written as it should be."""


class DeliveryStatus:
    """Tells DIPJournalRecord from the audit. The records of a message lie in any partition, so all are asked."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, call: Call) -> Outcome:
        """Check who asks about whom, then ask."""
        return unasked(call) or Asks(
            answer=partial(
                self._ask,
                ParticipantId(call.path["recipient-id"]),
                InterfaceId(call.path["id"]),
                SenderReference(call.path["message-id"]),
            )
        )

    async def _ask(
        self, viewer: ParticipantId, channel: InterfaceId, reference: SenderReference, shards: Shards
    ) -> Outcome:
        received = await find(shards, self._encoder, *prefixes_of_reference(reference))
        if not isinstance(received, list):
            return unanswered(received)
        own = [one.record for one in received if one.record.interface == channel]
        candidates = transactions_in(sorted(own, key=lambda one: one.sender_id != viewer), reference)
        stories = await asyncio.gather(
            *(self._story(shards, one, viewer) for one in candidates[:_CANDIDATES_MAX])
        )
        for story in stories:
            if story is not None:
                return story
        return _NOTHING

    async def _story(
        self, shards: Shards, transaction: TransactionId, viewer: ParticipantId
    ) -> Outcome | None:
        """Return a transaction's journal, None where it is none of the viewer's business."""
        found = await find(shards, self._encoder, by_transaction(mark_of(transaction)))
        if not isinstance(found, list):
            return unanswered(found)
        told = journal_record(story_of(transaction, [one.record for one in found]), viewer)
        return None if told is None else Reply(status=HTTPStatus.OK, value=told)
