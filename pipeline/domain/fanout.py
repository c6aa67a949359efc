"""One copy per recipient, and the block the router adds to each."""

import zlib
from datetime import datetime
from enum import StrEnum

from pipeline.domain.addressing import Addressed
from pipeline.domain.egress import D0, egress
from pipeline.domain.envelope import Copy, Message
from pipeline.domain.identifiers import DIP, ParticipantId, TransactionId, delivery_id
from pipeline.domain.shards import partition_of
from pipeline.limits import OUTBOUND_SHARDS_MAX


class Correlation(StrEnum):
    """What D0.initialCorrelationID of a message is (protocol.md 2)."""

    MINT = "Yes"
    """A new id: the message begins an exchange."""
    COPY = "Copy"
    """The sender's: it hands back the id of the message it answers."""
    NONE = "No"
    """Null: nobody answers."""


def correlation_id(message: Message, rule: Correlation) -> str | None:
    """Return D0.initialCorrelationID. A minted id follows from the transaction, so a retry mints the same."""
    match rule:
        case Correlation.MINT:
            return _minted(message.transaction_id)
        case Correlation.COPY:
            return message.sender_correlation_id
        case Correlation.NONE:
            return None


def _minted(transaction: TransactionId) -> str:
    """Turn `T-...-<yyyymmdd>-<seq>` into `CI-<yyyymmdd>-<seq>`: at most 32 of the 60 characters allowed."""
    _, day, sequence = transaction.rsplit("-", 2)
    return f"CI-{day}-{sequence}"


def fan_out(
    message: Message,
    addressed: Addressed,
    *,
    routed_at: datetime,
    publication: str,
    canonical: object = None,
    correlation: Correlation,
    replay: bool = False,
) -> tuple[Copy, ...]:
    """Return the copies of a message, ordered by recipient; all share one body.

    `canonical` is the parsed message in the specification's letter case where the sender's bytes are not.
    `replay` marks them as sent again on purpose (D0.replayIndicator).
    D0.transactionTimestamp is the time of receipt, when the transaction id was given: it lets a recipient sort.
    Masking (protocol.md 2, off by default) would make the body differ by recipient: this is its place.
    """
    d0 = D0(
        transaction_id=message.transaction_id,
        transaction_timestamp=message.received_at,
        publication_id=publication,
        initial_correlation_id=correlation_id(message, correlation),
        replay=replay,
    )
    body = egress(message.body, d0=d0, a0=addressed.a0, canonical=canonical)
    return tuple(
        Copy(
            delivery_id=delivery_id(message.transaction_id, one.recipient),
            recipient=one.recipient,
            channel=message.interface,
            transaction_id=message.transaction_id,
            sender_id=message.sender_id,
            sender_reference=message.sender_reference,
            interface=message.interface,
            event=message.event,
            mpan=message.mpan,
            received_at=message.received_at,
            routed_at=routed_at,
            body=body,
        )
        for one in addressed.addressees
        if one.recipient != DIP  # what is for the router is read from the audit: `agents.consumption`
    )


def lane_key(recipient: ParticipantId) -> bytes:
    """Return the key under which all copies of a recipient are: who asks for its lanes asks one partition."""
    assert OUTBOUND_SHARDS_MAX == 1, "a lane lives in one place; else its questions have to go to every shard"
    return _shard_key(recipient, 0)


def outbound_key(copy: Copy) -> bytes:
    """Return the key of `dip.outbound` and `dip.status`: recipient and shard, so that a lane lives in one place.

    The shard follows from the MPAN, so that a recipient's copies of one MPAN stay in order.
    """
    shard = zlib.crc32((copy.mpan or copy.transaction_id).encode()) % OUTBOUND_SHARDS_MAX
    return _shard_key(copy.recipient, shard)


def recipient_key(recipient: ParticipantId) -> bytes:
    """Return the one key of all copies of a recipient: where questions about what it was sent are answered."""
    assert OUTBOUND_SHARDS_MAX == 1, "with more shards, each has to be asked"
    return _shard_key(recipient, 0)


def outbound_partitions(
    recipient: ParticipantId, *, partitions: int, shards: int = OUTBOUND_SHARDS_MAX
) -> frozenset[int]:
    """Return the partitions of `dip.outbound` that a recipient's copies come in."""
    return frozenset(partition_of(_shard_key(recipient, shard), partitions) for shard in range(shards))


def _shard_key(recipient: ParticipantId, shard: int) -> bytes:
    return f"{recipient}|{shard}".encode()
