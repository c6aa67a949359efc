"""What is sent for the copies of an array."""

from collections.abc import Sequence

from pipeline.delivery.entry import Entry
from pipeline.delivery.ports import Post
from pipeline.domain.participants import Participants, Webhook


def post_of(hook: Webhook, batch: Sequence[Entry], people: Participants) -> Post:
    """Return the call that carries these copies of one recipient."""
    recipient = people.get(batch[0].copy.recipient)
    return Post(
        url=hook.url,
        recipient=batch[0].copy.recipient,
        bodies=tuple([entry.copy.body for entry in batch]),
        delivery_ids=tuple([entry.copy.delivery_id for entry in batch]),
        attempt=max([entry.attempts for entry in batch]) + 1,
        places=tuple([entry.place for entry in batch]),
        gaps=tuple([entry.gap for entry in batch]),
        signatures=recipient.webhook_signatures if recipient else frozenset(),
        oauth2=recipient is not None and recipient.webhook_oauth2,
        origins=tuple([entry.origin for entry in batch]),
    )
