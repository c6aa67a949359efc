"""Whatever travels comes out as it went in, and nothing else passes for it."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import schemas
from pipeline.avro_reading import reader_of
from pipeline.avro_writing import writer_of
from pipeline.codec import FRAME, Codec
from pipeline.domain.envelope import (
    AuditRecord,
    Copy,
    Holding,
    Message,
    Registration,
    plain,
)
from pipeline.domain.market import WebhookChoice
from pipeline.domain.notices import Remembered, Told
from pipeline.domain.participants import ApiKey, CertificatePeriod, Participant, RoleGrant, Webhook
from pipeline.domain.standing_data import CompanyRow
from pipeline.errors import RegistryUnavailable, UndecodableRecord
from tests.support.envelopes import AUDITS, COPIES, COUNTS, INSTANTS, MESSAGES, TEXTS, by_fastavro, lists_of


class ScriptedRegistry:
    """Knows one more schema, and counts how often it is asked."""

    def __init__(self, known: dict[int, str] | None = None, *, down: bool = False) -> None:
        self.known = known or {}
        self.down = down
        self.asked: list[int] = []

    def schema(self, schema_id: int) -> str:
        self.asked.append(schema_id)
        if self.down:
            raise RegistryUnavailable("down")
        return self.known[schema_id]


def codec(registry: ScriptedRegistry | None = None) -> Codec:
    numbers = {name: number for number, name in enumerate(schemas.SUBJECTS, 1)}
    return Codec(numbers, registry or ScriptedRegistry())


REGISTRATIONS = st.builds(
    Registration,
    mpan=TEXTS,
    source=TEXTS,
    recorded_at=INSTANTS,
    holdings=lists_of(
        st.builds(Holding, slot=TEXTS, holder=TEXTS, valid_from=INSTANTS, valid_to=st.none() | INSTANTS)
    ),
)
PARTICIPANTS = st.builds(
    Participant,
    id=TEXTS,
    name=TEXTS,
    roles=lists_of(st.builds(RoleGrant, role=TEXTS, valid_from=INSTANTS, valid_to=st.none() | INSTANTS)),
    api_keys=lists_of(
        st.builds(
            ApiKey,
            lookup=TEXTS,
            salt=TEXTS,
            digest=TEXTS,
            valid_from=st.none() | INSTANTS,
            valid_to=st.none() | INSTANTS,
        )
    ),
    certificates=st.frozensets(TEXTS, max_size=3),
    tls_certificates=st.frozensets(TEXTS, max_size=3),
    tls_names=st.frozensets(TEXTS, max_size=3),
    certificate_periods=lists_of(
        st.builds(
            CertificatePeriod,
            fingerprint=TEXTS,
            valid_from=st.none() | INSTANTS,
            valid_to=st.none() | INSTANTS,
        )
    ),
    connection_providers=st.frozensets(TEXTS, max_size=3),
    webhook_signatures=st.frozensets(st.sampled_from(["v1", "v1a"])),
    webhooks=lists_of(
        st.builds(
            Webhook,
            channel=TEXTS,
            url=TEXTS,
            messages_max=st.none() | COUNTS,
            payload_kb_max=st.none() | st.floats(allow_nan=False),
        )
    ),
)


@given(MESSAGES)
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    """The body above all: byte for byte."""
    assert codec().decode_message(codec().encode_message(message)) == message


@given(COPIES)
def test_a_copy_comes_back_as_it_went(copy: Copy) -> None:
    assert codec().decode_copy(codec().encode_copy(copy)) == copy


@given(AUDITS)
def test_an_audit_record_comes_back_as_it_went(record: AuditRecord) -> None:
    assert codec().decode_audit(codec().encode_audit(record)) == record


@given(REGISTRATIONS)
def test_a_registration_comes_back_as_it_went(registration: Registration) -> None:
    assert codec().decode_registration(codec().encode_registration(registration)) == registration


@given(PARTICIPANTS)
def test_a_participant_comes_back_as_it_went(participant: Participant) -> None:
    assert codec().decode_participant(codec().encode_participant(participant)) == participant


@given(
    st.builds(
        WebhookChoice,
        participant=TEXTS,
        channel=st.just("IF-021"),
        webhook=st.none()
        | st.builds(
            Webhook,
            channel=st.just("IF-021"),
            url=TEXTS,
            messages_max=st.none() | COUNTS,
            payload_kb_max=st.none() | st.floats(allow_nan=False),
        ),
        by=TEXTS,
        at=INSTANTS,
    )
)
def test_a_webhook_choice_comes_back_as_it_went(choice: WebhookChoice) -> None:
    """A choice of none above all: it is not the same as no choice."""
    assert codec().decode_webhook_choice(codec().encode_webhook_choice(choice)) == choice


@given(
    st.builds(
        Told,
        recipient=TEXTS,
        channel=TEXTS,
        subject=TEXTS,
        since=st.none() | INSTANTS,
        told=st.lists(st.builds(Remembered, what=TEXTS, at=INSTANTS), max_size=3).map(tuple),
    )
)
def test_what_was_told_comes_back_as_it_went(told: Told) -> None:
    assert codec().decode_told(codec().encode_told(told)) == told


@given(
    st.builds(
        CompanyRow,
        number=TEXTS,
        company=st.none() | TEXTS,
        mpid=TEXTS,
        market_role=st.none() | TEXTS,
        role=TEXTS,
        dip_id=st.none() | TEXTS,
        valid_from=INSTANTS,
        valid_to=st.none() | INSTANTS,
    )
)
def test_a_row_of_standing_data_comes_back_as_it_went(row: CompanyRow) -> None:
    assert codec().decode_company_row(codec().encode_company_row(row)) == row


@given(PARTICIPANTS, st.frozensets(TEXTS, max_size=3))
def test_what_a_participant_closed_itself_is_not_in_the_operators_record(
    one: Participant, closed: frozenset
) -> None:  # type: ignore[type-arg]  # of texts
    assert codec().encode_participant(replace(one, closed=closed)) == codec().encode_participant(one)


@given(MESSAGES)
def test_a_message_is_written_as_fastavro_writes_it(message: Message) -> None:
    """The quick writer is ours; what it writes is Avro, byte for byte."""
    assert codec().encode_message(message)[FRAME.size :] == by_fastavro("envelope/message", message)


@given(COPIES)
def test_a_copy_is_written_as_fastavro_writes_it(copy: Copy) -> None:
    assert codec().encode_copy(copy)[FRAME.size :] == by_fastavro("envelope/copy", copy)


@given(AUDITS)
def test_an_audit_record_is_written_as_fastavro_writes_it(record: AuditRecord) -> None:
    assert codec().encode_audit(record)[FRAME.size :] == by_fastavro("envelope/audit", record)


INSTANT = {"type": "long", "logicalType": "timestamp-micros"}


@given(
    number=st.integers(-(2**63), 2**63 - 1),
    text=st.text() | st.integers(8_180, 8_200).map("x".__mul__),
    items=st.lists(st.none() | st.binary(), max_size=3),
    perhaps=st.none() | st.integers(-(2**63), 2**63 - 1),
    flag=st.none() | st.booleans(),
    instant=st.none() | INSTANTS,
)
def test_values_of_any_size_are_written_as_fastavro_writes_them(**values: object) -> None:
    columns = {
        "number": "long", "text": "string", "items": {"type": "array", "items": ["null", "bytes"]},
        "perhaps": ["null", "long"], "flag": ["null", "boolean"], "instant": ["null", INSTANT],
    }  # fmt: skip
    fields = [{"name": name, "type": kind} for name, kind in columns.items()]
    inner = {"type": "record", "name": "Inner", "fields": fields}
    schema = {"type": "record", "name": "Outer", "fields": [{"name": "only", "type": inner}]}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"only": values})
    assert (
        writer_of(schema)(SimpleNamespace(only=SimpleNamespace(**values)), b"before")
        == b"before" + out.getvalue()
    )


@pytest.mark.parametrize(
    "schema",
    [
        "float",
        {"type": "string", "logicalType": "uuid"},
        ["null", "string", "long"],
        {"type": "map", "values": "string"},
    ],
)
def test_a_type_that_the_quick_writer_does_not_know_is_named_at_start(schema: object) -> None:
    with pytest.raises(TypeError, match="no writer for the Avro type"):
        writer_of({"type": "record", "name": "R", "fields": [{"name": "x", "type": schema}]})


@given(st.binary(max_size=60))
def test_any_other_bytes_are_told_apart(data: bytes) -> None:
    """A stage dead-letters what it cannot read; it must never crash on it or read nonsense out of it."""
    with pytest.raises(UndecodableRecord):
        codec().decode_message(data)


@given(MESSAGES, st.integers(1, 40))
def test_a_cut_record_is_no_record(message: Message, cut: int) -> None:
    whole = codec().encode_message(message)
    with pytest.raises(UndecodableRecord):
        codec().decode_message(whole[:-cut])


@given(MESSAGES, st.binary(min_size=1, max_size=5))
def test_a_record_with_a_tail_is_no_record(message: Message, tail: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        codec().decode_message(codec().encode_message(message) + tail)


@given(AUDITS)
def test_a_record_of_another_version_is_read_all_the_same(record: AuditRecord) -> None:
    """Through fastavro, which knows how to make it ours."""
    older = json.loads(schemas.text("envelope/audit"))
    older["fields"] = [one for one in older["fields"] if one["name"] not in {"excerpt", "dns_ms"}]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), plain(record))
    data = FRAME.pack(0, 4_711) + out.getvalue()
    reader = codec(ScriptedRegistry({4_711: json.dumps(older)}))
    assert reader.decode_audit(data) == msgspec.structs.replace(record, excerpt=None, dns_ms=None)
    assert reader.decode_audit_head(data) == codec().decode_audit_head(codec().encode_audit(record))


def test_a_schema_that_lacks_a_field_of_its_value_is_found_at_start() -> None:
    schema = {"type": "record", "name": "Copy", "fields": [{"name": "body", "type": "bytes"}]}
    with pytest.raises(TypeError, match="the schema has no channel"):
        reader_of(schema, Copy)


def test_a_type_that_the_quick_reader_does_not_know_is_named_at_start() -> None:
    schema = json.loads(schemas.text("envelope/copy"))
    schema["fields"][0]["type"] = "float"
    with pytest.raises(TypeError, match="no reader for the Avro type 'float'"):
        reader_of(schema, Copy)


def test_an_unknown_schema_id_is_asked_for_once() -> None:
    """A flood of bad records must not become a flood of requests to the registry."""
    registry = ScriptedRegistry()
    reader = codec(registry)
    for _ in range(3):
        with pytest.raises(UndecodableRecord, match="unknown schema id 4711"):
            reader.decode_message(FRAME.pack(0, 4711) + b"x")
    assert registry.asked == [4711]


def test_a_silent_registry_stops_the_worker_and_condemns_no_record() -> None:
    """That a schema cannot be had now says nothing about the record."""
    with pytest.raises(RegistryUnavailable):
        codec(ScriptedRegistry(down=True)).decode_message(FRAME.pack(0, 4711) + b"x")


def test_a_record_of_an_older_writer_is_read_by_its_own_schema() -> None:
    """In a rolling upgrade both sides run for a while; a field that the writer lacks has its default."""
    row = {
        "delivery_id": "d", "recipient": "r", "channel": "c", "transaction_id": "t", "sender_id": "s",
        "received_at": datetime(2026, 1, 1, tzinfo=UTC), "routed_at": datetime(2026, 1, 1, tzinfo=UTC), "body": b"x",
    }  # fmt: skip
    import json

    older = json.loads(schemas.text("envelope/copy"))
    older["fields"] = [one for one in older["fields"] if one["name"] in row]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), row)
    read = codec(ScriptedRegistry({900: json.dumps(older)})).decode_copy(FRAME.pack(0, 900) + out.getvalue())
    assert (read.delivery_id, read.mpan, read.body) == ("d", None, b"x")


def test_a_participant_written_before_keys_had_periods_is_read() -> None:
    """The topic is compacted, not rewritten: records of the first version stay for years."""
    import json

    older = json.loads(schemas.text("reference/participant"))
    newer = {"tls_certificates", "tls_names", "certificate_periods"}
    older["fields"] = [one for one in older["fields"] if one["name"] not in newer]
    (keys,) = [one for one in older["fields"] if one["name"] == "api_keys"]
    keys["type"]["items"]["fields"] = keys["type"]["items"]["fields"][:3]
    row = {"id": "2300000001", "name": "x", "roles": [], "certificates": ["ab"], "connection_providers": [],
           "api_keys": [{"lookup": "l", "salt": "s", "digest": "d"}], "webhooks": []}  # fmt: skip
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), row)
    reader = codec(ScriptedRegistry({900: json.dumps(older)}))
    read = reader.decode_participant(FRAME.pack(0, 900) + out.getvalue())
    assert read.api_keys == (ApiKey(lookup="l", salt="s", digest="d"),)
    assert (read.certificates, read.tls_certificates, read.tls_names) == ({"ab"}, frozenset(), frozenset())
