"""What the generated codec of the hot envelopes makes of any bytes, fastavro makes of them: the same value, or none."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec import FRAME, HOT
from pipeline.domain.envelope import (
    Addressee,
    AuditCopy,
    AuditHead,
    AuditRecord,
    Copy,
    CopyHead,
    Kind,
    Message,
    Reason,
    Stage,
    Status,
    plain,
)
from pipeline.errors import UndecodableRecord
from tests.support.bridge import codec
from tests.support.envelopes import AUDITS, COPIES, MESSAGES, by_fastavro, listed, read_by_fastavro

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
CODEC = codec()
WRITE: dict[type, Callable[[Any], bytes]] = {
    Message: CODEC.encode_message,
    Copy: CODEC.encode_copy,
    AuditRecord: CODEC.encode_audit,
}
READ: dict[type, Callable[[bytes], Any]] = {
    Message: CODEC.decode_message,
    Copy: CODEC.decode_copy,
    AuditRecord: CODEC.decode_audit,
}
HEADS: dict[type, tuple[type[msgspec.Struct], Callable[[bytes], Any]]] = {
    Copy: (CopyHead, CODEC.decode_copy_head),
    AuditRecord: (AuditHead, CODEC.decode_audit_head),
}
TEXT = "a text of more than 63 bytes, one of them \u00e9, whose length takes two"
FULL = (
    Message(
        transaction_id="T-1", received_at=AT, interface="IF-021", event="ActivePower", sender_id="2200000001",
        sender_role="SDS", sender_reference=TEXT, sender_correlation_id="C-1", connection_provider="2500000001",
        mpan="2000000000001", primary=("2300000001", TEXT), applicable=(AT, AT + timedelta(days=1)),
        checked_against="0123456789abcdef", exact_case=True, fingerprint=bytes(range(32)), body=b"{}" * 40,
    ),
    Copy(
        delivery_id="T-1>2300000001", recipient="2300000001", channel="IF-021", transaction_id="T-1",
        sender_id="2200000001", sender_reference=TEXT, interface="IF-021", event="ActivePower", mpan="2000000000001",
        received_at=AT, routed_at=AT + timedelta(microseconds=1), body=b"{}" * 40, replay=True,
    ),
    AuditRecord(
        at=AT, stage=Stage.OUTBOUND, status=Status.DELIVERED, status_code=201, code="MSG-01", reason=TEXT, duration_ms=70,
        transaction_id="T-1", received_at=AT, interface="IF-021", event="ActivePower", sender_id="2200000001",
        sender_reference="S-1", mpan="2000000000001", duplicate=True,
        addressees=(
            Addressee(recipient="2300000001", reasons=()),
            Addressee(
                recipient="2300000002",
                reasons=(
                    Reason(kind=Kind.SECONDARY, role="SUP", days=(AT, AT), source="load-1", recorded_at=AT),
                    Reason(kind=Kind.PRIMARY, role="SUP"),
                ),
            ),
        ),
        recipient="2300000001", channel="IF-021",
        copies=(
            AuditCopy(
                delivery_id="T-1>2300000001", transaction_id="T-1", sender_id="2200000001", sender_reference="S-1",
                mpan="2000000000001", partition=3, offset=2**40, received_at=AT,
            ),
            AuditCopy(
                delivery_id="T-2>2300000001", transaction_id="T-2", sender_id="2200000001", sender_reference=None, mpan=None
            ),
        ),
        attempt=1, error_class="none", correlation_id="C-1", rules="0123456789abcdef", topic="dip.outbound", partition=3,
        offset=2**40, operation="submit", messages=1, bytes=2**31 - 1, left_out=64, dns_ms=1, connect_ms=2, tls_ms=3,
        first_byte_ms=4, excerpt="<html>",
    ),
)  # fmt: skip
"""One value of each kind, of which no field is empty."""

BARE = (
    Message(
        transaction_id="", received_at=AT, interface="", event="", sender_id="", sender_role="", sender_reference="",
        sender_correlation_id=None, connection_provider=None, mpan="", primary=("",), applicable=(), checked_against=None,
        exact_case=False, fingerprint=b"", body=b"",
    ),
    Copy(
        delivery_id="", recipient="", channel="", transaction_id="", sender_id="", sender_reference=None, interface=None,
        event=None, mpan="", received_at=AT, routed_at=AT, body=b"",
    ),
    AuditRecord(
        at=AT, stage=Stage.INBOUND, status=Status.OK, mpan="",
        addressees=(Addressee(recipient="", reasons=(Reason(kind=Kind.ALWAYS, role=""),)),),
        copies=(AuditCopy(delivery_id="", transaction_id="", sender_id="", sender_reference=None, mpan=""),),
    ),
)  # fmt: skip
"""One value of each kind, of which every text is empty: a wrong length may fit by chance."""

LIES = (
    b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x7e", b"\x7f", b"\x80", b"\x81", b"\xc3", b"\xfe", b"\xff",
    b"\x80\x00", b"\x82\x00", b"\x81\x00",  # nought, one and minus one in more bytes than it takes
    b"\xfe\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x0f",  # the largest and the least int
    b"\xfe" + b"\xff" * 8 + b"\x01", b"\xff" * 9 + b"\x01",  # the largest and the least long
    b"\x80" * 9 + b"\x00", b"\x80" * 10 + b"\x00", b"\xff" * 12 + b"\x01",  # in ten bytes, and in too many
)  # fmt: skip
"""Lengths, counts, kinds and texts that nobody would write there."""


REFUSED = (
    "a number of more than 64 bits",  # fastavro takes the bits that it has room for
    "a union has two kinds",  # it counts the kind -1 from the end
    "an array of more items than bytes",  # a count of the least long has no positive: it reads no items
)


def read_by(decode: Callable[[bytes], Any], data: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return what is read as plain values, or None and why there is nothing."""
    try:
        return listed(plain(decode(data))), ""
    except UndecodableRecord as error:
        return None, str(error)


def of_head(kind: type[msgspec.Struct], row: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a head has of a row: some fields, and instants as microseconds."""
    if row is None:
        return None
    kept = {name: row[name] for name in kind.__struct_fields__}
    if "copies" in kept:
        kept["copies"] = [{"transaction_id": one["transaction_id"]} for one in kept["copies"]]
    return {
        name: (one - EPOCH) // timedelta(microseconds=1) if isinstance(one, datetime) else one
        for name, one in kept.items()
    }


def judged(kind: type, record: bytes) -> None:
    """Hold what we make of a record to what fastavro makes of it.

    A head may also be read where other texts are none. We refuse some of what fastavro believes: see REFUSED.
    """
    expected = read_by_fastavro(HOT[kind], record)
    found, why = read_by(READ[kind], record)
    if found is None and why.endswith(REFUSED):
        return
    assert found == expected
    if expected is not None and kind in HEADS:
        head, decode = HEADS[kind]
        assert read_by(decode, record)[0] == of_head(head, expected)


def each(values: tuple[msgspec.Struct, ...]) -> Any:
    return pytest.mark.parametrize("value", values, ids=lambda one: type(one).__name__)


@given(MESSAGES | COPIES | AUDITS, st.data())
def test_a_damaged_record_is_read_as_fastavro_reads_it_or_not_at_all(
    value: Message | Copy | AuditRecord, data: st.DataObject
) -> None:
    """A record is never taken for another one: what the quick readers make of any bytes, fastavro makes of them."""
    record = bytearray(WRITE[type(value)](value))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(FRAME.size, len(record) - 1))
        record[at] = data.draw(st.integers(0, 255))
    judged(type(value), bytes(record[: data.draw(st.integers(FRAME.size, len(record)))]))


@each(FULL + BARE)
def test_a_lie_at_any_place_is_found_out_or_believed_by_both(value: msgspec.Struct) -> None:
    """Lengths beyond the end, below nought, of too many bytes; kinds that are none; texts that are no UTF-8."""
    whole = WRITE[type(value)](value)
    read = 0
    for at in range(FRAME.size, len(whole)):
        for lie in LIES:
            record = whole[:at] + lie + whole[at + 1 :]
            judged(type(value), record)
            read += read_by_fastavro(HOT[type(value)], record) is not None
    assert read  # some are: a letter of a text, a number


@each(FULL)
def test_a_record_cut_anywhere_is_none_for_all_readers(value: msgspec.Struct) -> None:
    whole = WRITE[type(value)](value)
    readers = [READ[type(value)], *(decode for _, decode in filter(None, [HEADS.get(type(value))]))]
    for end in range(len(whole)):
        for decode in readers:
            with pytest.raises(UndecodableRecord):
                decode(whole[:end])


@each(FULL)
def test_every_field_is_absent_or_present_by_itself(value: msgspec.Struct) -> None:
    """Each optional field alone is left out, and alone is there."""
    kind = type(value)
    bare = msgspec.structs.replace(value, **dict.fromkeys(optional(kind)))
    alone = [
        changed
        for name in optional(kind)
        for changed in (
            msgspec.structs.replace(bare, **{name: getattr(value, name)}),
            msgspec.structs.replace(value, **{name: None}),
        )
    ]
    for one in (value, bare, *alone):
        record = WRITE[kind](one)
        assert record[FRAME.size :] == by_fastavro(HOT[kind], one)
        assert READ[kind](record) == one


@pytest.mark.parametrize(
    "instant",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        EPOCH,
        *(
            EPOCH + timedelta(microseconds=sign * 2**bits + beside)
            for bits in (6, 13, 48, 55)
            for sign in (1, -1)
            for beside in (-1, 0, 1)
        ),
    ],
    ids=str,
)
def test_an_instant_of_any_time_is_written_and_read(instant: datetime) -> None:
    """Nearly all take eight bytes and are read in one step: those of 1978 to 3111. The others are instants as well."""
    (copy,) = (one for one in FULL if isinstance(one, Copy))
    value = msgspec.structs.replace(copy, received_at=instant)
    record = CODEC.encode_copy(value)
    assert record[FRAME.size :] == by_fastavro("envelope/copy", value)
    assert CODEC.decode_copy(record) == value
    assert CODEC.decode_copy_head(record).received_at == (instant - EPOCH) // timedelta(microseconds=1)


def optional(kind: type) -> Iterator[str]:
    """Yield the names of the fields that may be None."""
    return (
        name for name, hint in get_type_hints(kind).items() if type(None) in getattr(hint, "__args__", ())
    )
