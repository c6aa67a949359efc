"""Rows of the tables as bytes."""

import io
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import schemas
from pipeline.domain.appointments import History, Says
from pipeline.domain.copy_index import Place, Position, Wanted
from pipeline.domain.headers import Seen
from pipeline.domain.identifiers import InterfaceId, ParticipantId, TransactionId
from pipeline.domain.quarantine import Waiting, Ward
from pipeline.domain.requeue import Requeue, RequeueId
from pipeline.domain.routing import Slot
from pipeline.errors import UndecodableRecord
from tables import appointments, copies, entries, quarantine, requeues, seen
from tests.support.builders import history, holds

ROW_BYTES_TARGET = 150
FORM_1 = bytes.fromhex(
    "0102226c6f61642d303132333435363738396162000c00040214323330303030303030318080e39c0daeaa849cf496a7060000"
    "02040214303530303030303030318080e39c0daeaa849cf496a706000004040214313230303030303030318080e39c0daeaa84"
    "9cf496a706000006040214313430303030303030318080e39c0daeaa849cf496a7060000080402143137303030303030303180"
    "80e39c0daeaa849cf496a70600000a0402045f418080e39c0daeaa849cf496a706000000"
)
"""What the first release wrote for `WHOLE`."""
HELD = {
    Slot.SUPPLIER: "2300000001",
    Slot.DISTRIBUTOR: "0500000001",
    Slot.METERING_SERVICE: "1200000001",
    Slot.DATA_SERVICE: "1400000001",
    Slot.DATA_RETRIEVER: "1700000001",
    Slot.GSP_GROUP: "_A",
}
WHOLE = history(
    *(holds(slot, holder, datetime(2026, 4, 1, tzinfo=UTC)) for slot, holder in HELD.items()),
    recorded_at=datetime(2026, 4, 1, 1, 2, 3, 4567, tzinfo=UTC),
    source="load-0123456789ab",
)
SEEN = Seen(
    fingerprint=b"\x07" * 32,
    transaction_id=TransactionId("T-IF-021-1400000001-SDS-20260105-7f"),
    received_at=datetime(2026, 1, 5, 12, 30, 15, 123456, tzinfo=UTC),
)


def test_an_ordinary_loaded_mpan_is_well_below_the_target_size() -> None:
    """There are 30 million of them; this one has all six slots."""
    assert len(appointments.encode(WHOLE)) <= ROW_BYTES_TARGET * 0.75
    assert appointments.decode(appointments.encode(WHOLE)) == WHOLE


def test_rows_of_the_first_release_are_still_read() -> None:
    """A rolling upgrade finds them on disk and in the changelog."""
    assert appointments.decode(FORM_1) == WHOLE


def test_a_source_of_many_statements_is_stored_once() -> None:
    row = appointments.encode(history(*(holds(slot, "2300000001") for slot in Slot), source="load of a file"))
    assert row.count(b"load of a file") == 1


def test_an_empty_history_survives() -> None:
    assert appointments.decode(appointments.encode(History())) == History()


def test_the_schema_knows_every_slot_and_everything_that_can_be_said() -> None:
    """A symbol that the schema lacks could not be written, one that the code lacks not be read."""
    statement = schemas.parsed("table/appointments")["fields"][1]["type"]["items"]
    symbols = {field["name"]: field["type"].get("symbols") for field in statement["fields"][:2]}
    assert symbols == {"slot": [one.value for one in Slot], "says": [one.name for one in Says]}
    assert fastavro.schema.fullname(statement) == "opendip.table.Statement"


@settings(deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.text(max_size=65),
    st.datetimes(timezones=st.just(UTC)),
)
def test_a_seen_reference_survives_the_table(fingerprint: bytes, transaction: str, at: datetime) -> None:
    one = Seen(fingerprint=fingerprint, transaction_id=TransactionId(transaction), received_at=at)
    assert seen.decode(seen.encode(one)) == one


@pytest.mark.parametrize(
    "decode", [appointments.decode, seen.decode, entries.decode, copies.decode, requeues.decode]
)
@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x01", b"\x02\x00\x00", b"\x01\x02\x7e", b"\x01\x02\x02x\x02\xff\xff"]
)
def test_what_is_no_row_is_told_apart(decode: object, data: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        decode(data)  # type: ignore[operator] # parametrized


ENTRY = entries.Entry(checksum=2**32 - 1, day=20_458)
PLACE = Place(checksum=7, mark=b"\xff\x00\x01\x02", mpan=2**24 - 2, event=2**16 - 3)
REQUEUE = Requeue(
    id=RequeueId("RQ-1"),
    wanted=Wanted(
        recipient=ParticipantId("2300000001"),
        channel=InterfaceId("IF-021"),
        since=datetime(2026, 1, 5, tzinfo=UTC),
        transactions=frozenset({TransactionId("T-2"), TransactionId("T-1")}),
    ),
    before_offset=2**40,
    began_at=datetime(2026, 1, 5, tzinfo=UTC),
    total=9,
    processed=4,
    missing=1,
    after=Position(at=datetime(2026, 1, 4, 1, 2, 3, 456_789, tzinfo=UTC), offset=77),
)


def test_rows_of_the_journal_survive_their_tables() -> None:
    assert entries.decode(entries.encode(ENTRY)) == ENTRY
    for mpan in (PLACE.mpan, 0, 255, 256, 2**24 - 1):
        one = msgspec.structs.replace(PLACE, mpan=mpan)
        assert copies.decode(copies.encode(one)) == one
    for row in (REQUEUE, replace(REQUEUE, total=None, after=None, ended_at=REQUEUE.began_at)):
        assert requeues.decode(requeues.encode(row)) == row


def test_packed_rows_are_avro_as_their_schemas_say() -> None:
    """Behind the byte of the form, any Avro tool reads them."""
    for name, data, expected in (
        ("table/entry", entries.encode(ENTRY), ENTRY),
        ("table/place", copies.encode(PLACE), PLACE),
    ):
        stream = io.BytesIO(data[1:])
        row = fastavro.schemaless_reader(stream, schemas.parsed(name), None)
        assert not stream.read(1)
        numbers = [one if key == "mark" else int.from_bytes(one, "big") for key, one in row.items()]
        assert numbers == list(msgspec.structs.astuple(expected))


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_row_is_another_row_or_none_but_never_another_error(place: int, value: int) -> None:
    """Whatever the bytes, the engine meets one kind of error."""
    for encoded, decode in (
        (appointments.encode(WHOLE), appointments.decode),
        (seen.encode(SEEN), seen.decode),
        (entries.encode(ENTRY), entries.decode),
        (copies.encode(PLACE), copies.decode),
        (requeues.encode(REQUEUE), requeues.decode),
    ):
        damaged = bytearray(encoded)
        damaged[place % len(damaged)] = value
        with suppress(UndecodableRecord):
            decode(bytes(damaged))  # type: ignore[operator] # one of two functions


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=4), st.datetimes(timezones=st.just(UTC)))
def test_what_waits_in_quarantine_survives_the_table(records: list[bytes], at: datetime) -> None:
    waiting = tuple(
        Waiting(transaction_id=TransactionId(f"T-{number}"), since=at, code="MSG1037", record=record)
        for number, record in enumerate(records)
    )
    ward = Ward(messages=len(waiting), waiting=waiting)
    assert quarantine.decode(quarantine.encode(ward)) == ward
    with suppress(UndecodableRecord):
        quarantine.decode(b"\x07")
