"""The message as it leaves: the sender's bytes with D0 added and A0 filled.

The body block is never decoded: its bytes leave as they came. Names of the CommonBlock are set in the order of
the specification whatever order the sender chose. The same input gives the same bytes, so that every try of
every copy has one checksum.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from pipeline.domain.addressing import A0
from pipeline.domain.identifiers import TransactionId
from pipeline.domain.times import format_instant

_ORDER: Final = ("S0", "S1", "S2", "A0", "D0", "M0", "M1", "R0", "R1")
_PRIMARY: Final = "primaryRecipients"


class D0(msgspec.Struct, frozen=True, kw_only=True):
    """The router's own block. `publication_id` is `PUB-nnn` or `REP-nnn[A]`."""

    transaction_id: TransactionId
    transaction_timestamp: datetime
    publication_id: str
    initial_correlation_id: str | None
    replay: bool = False
    service_ticket_url: str | None = None

    def wire(self) -> dict[str, object]:
        """Return the block under its published names."""
        return {
            "transactionID": self.transaction_id,
            "transactionTimestamp": format_instant(self.transaction_timestamp),
            "publicationID": self.publication_id,
            "initialCorrelationID": self.initial_correlation_id,
            "replayIndicator": self.replay,
            "serviceTicketURL": self.service_ticket_url,
        }


class _Payload(msgspec.Struct, omit_defaults=True):
    CommonBlock: dict[str, msgspec.Raw]
    CustomBlock: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Envelope(msgspec.Struct):
    payload: _Payload


_DECODER: Final = msgspec.json.Decoder(_Envelope)
_BLOCK: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_RAWS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_D0: Final = msgspec.json.Decoder(dict[str, object])
_ANY: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()


def egress(body: bytes, *, d0: D0, a0: A0, canonical: object = None) -> bytes:
    """Return the egress form of a schema-valid message object.

    `body` is the sender's bytes. `canonical` is the parsed object with the names put right, where the sender's
    letter case is not the specification's; a body block whose own names were right leaves as it came all the same.
    The list of primary recipients leaves as the sender wrote it, nulls included.
    """
    envelope = _DECODER.decode(body) if canonical is None else _put_right(body, canonical)
    sent = envelope.payload.CommonBlock
    sent["D0"] = _raw(d0.wire())
    sent["A0"] = _raw(
        {
            _PRIMARY: _primary(sent.get("A0")) or a0.primary,
            "secondaryRecipients": a0.secondary,
            "always": a0.always,
        }
    )
    ordered = {name: sent.pop(name) for name in _ORDER if name in sent}
    envelope.payload.CommonBlock = ordered | sent
    return _ENCODER.encode(envelope)


def replayed(body: bytes) -> bytes:
    """Return an egress body with D0.replayIndicator set; everything else stays byte for byte as it was written."""
    envelope = _DECODER.decode(body)
    common = envelope.payload.CommonBlock
    common["D0"] = _raw({**_D0.decode(common["D0"]), "replayIndicator": True})
    return _ENCODER.encode(envelope)


def _put_right(body: bytes, canonical: object) -> _Envelope:
    """Return the envelope with the specification's names."""
    envelope = _DECODER.decode(_ENCODER.encode(canonical))
    right, sent = envelope.payload.CustomBlock, _named(_named(body, "payload"), "CustomBlock")
    if sent is not None and right is not msgspec.UNSET and _ANY.decode(sent) == _ANY.decode(right):
        envelope.payload.CustomBlock = msgspec.Raw(sent)
    return envelope


def _named(block: bytes | None, name: str) -> bytes | None:
    """Return the bytes of a field, whatever the letter case of its name."""
    fields = {} if block is None else _RAWS.decode(block)
    found = next((value for key, value in fields.items() if key.lower() == name.lower()), None)
    return None if found is None else bytes(found)


def _primary(sent: msgspec.Raw | None) -> msgspec.Raw | None:
    block = None if sent is None else _BLOCK.decode(sent)
    return None if block is None else block.get(_PRIMARY)


def _raw(block: Mapping[str, object]) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(block))
