"""Bytes <-> domain values: Avro behind Confluent's frame (one zero byte, the schema's registry id, the datum).

Writers use the schemas shipped with this code. Readers resolve whatever schema id a record names, so that a
rolling upgrade can read both sides.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final, TypeVar

import fastavro

from pipeline import schemas
from pipeline.avro_reading import reader_of
from pipeline.avro_writing import writer_of
from pipeline.domain.endpoint_health import EndpointFailing
from pipeline.domain.envelope import (
    AuditHead,
    AuditRecord,
    Copy,
    CopyHead,
    Holding,
    Message,
    Registration,
)
from pipeline.domain.lane_limits import LaneLimits, Rates
from pipeline.domain.lane_orders import LaneOrder, LaneState
from pipeline.domain.market import WebhookChoice
from pipeline.domain.notices import Remembered, Told
from pipeline.domain.participants import ApiKey, CertificatePeriod, Participant, RoleGrant, Webhook
from pipeline.domain.shards import Owner
from pipeline.domain.standing_data import CompanyRow
from pipeline.errors import UndecodableRecord
from pipeline.ports import SchemaSource

FRAME: Final = struct.Struct(">bI")
HOT: Final[Mapping[type, str]] = {
    Message: "envelope/message",
    Copy: "envelope/copy",
    CopyHead: "envelope/copy",
    AuditRecord: "envelope/audit",
    AuditHead: "envelope/audit",
}
"""Written and read several times for each message of the market: by `avro_writing` and `avro_reading`."""
_MAGIC = 0
T = TypeVar("T")


class Codec:
    """Encodes and decodes every value that travels on a topic.

    `ids` maps schema names (`envelope/message`) to registry ids; `source` finds writer schemas of other ids.
    Decoding raises UndecodableRecord for bytes that are not such a record (the engine dead-letters them), and
    lets RegistryUnavailable through (the worker stops: records cannot be read).
    """

    def __init__(self, ids: Mapping[str, int], source: SchemaSource) -> None:
        self._frames = {name: FRAME.pack(_MAGIC, number) for name, number in ids.items()}
        self._writes = {name: hot_writer(name) for name in set(HOT.values())}
        self._writers = {number: schemas.parsed(name) for name, number in ids.items()}
        self._reads = {kind: (name, self._frames[name], hot_reader(kind)) for kind, name in HOT.items()}
        self._unknown: set[int] = set()
        self._source = source

    def encode_message(self, message: Message) -> bytes:
        return self._writes["envelope/message"](message, self._frames["envelope/message"])

    def decode_message(self, data: bytes) -> Message:
        return self._read_hot(Message, data)

    def encode_copy(self, copy: Copy) -> bytes:
        return self._writes["envelope/copy"](copy, self._frames["envelope/copy"])

    def decode_copy(self, data: bytes) -> Copy:
        return self._read_hot(Copy, data)

    def decode_copy_head(self, data: bytes) -> CopyHead:
        """Read what an index wants of a copy. Texts that it does not want may be no UTF-8."""
        return self._read_hot(CopyHead, data)

    def encode_audit(self, record: AuditRecord) -> bytes:
        return self._writes["envelope/audit"](record, self._frames["envelope/audit"])

    def decode_audit(self, data: bytes) -> AuditRecord:
        return self._read_hot(AuditRecord, data)

    def decode_audit_head(self, data: bytes) -> AuditHead:
        """Read what an index wants of an audit record. Texts that it does not want may be no UTF-8."""
        return self._read_hot(AuditHead, data)

    def encode_registration(self, registration: Registration) -> bytes:
        row = _flat(registration) | {"holdings": [_flat(one) for one in registration.holdings]}
        return self._write("envelope/registration", row)

    def decode_registration(self, data: bytes) -> Registration:
        return self._build("envelope/registration", data, _registration)

    def encode_participant(self, participant: Participant) -> bytes:
        return self._write("reference/participant", _participant_row(participant))

    def decode_participant(self, data: bytes) -> Participant:
        return self._build("reference/participant", data, _participant)

    def encode_webhook_choice(self, choice: WebhookChoice) -> bytes:
        return self._write("reference/webhook_choice", _choice_row(choice))

    def decode_webhook_choice(self, data: bytes) -> WebhookChoice:
        return self._build("reference/webhook_choice", data, _choice)

    def encode_company_row(self, row: CompanyRow) -> bytes:
        return self._write("reference/company_row", _flat(row))

    def decode_company_row(self, data: bytes) -> CompanyRow:
        return self._build("reference/company_row", data, _company_row)

    def encode_lane_order(self, order: LaneOrder) -> bytes:
        return self._write("reference/lane_order", _flat(order))

    def decode_lane_order(self, data: bytes) -> LaneOrder:
        return self._build("reference/lane_order", data, _lane_order)

    def encode_shard_owner(self, owner: Owner) -> bytes:
        return self._write("reference/shard_owner", _flat(owner))

    def decode_shard_owner(self, data: bytes) -> Owner:
        return self._build("reference/shard_owner", data, _shard_owner)

    def encode_endpoint_failing(self, failing: EndpointFailing) -> bytes:
        return self._write("reference/endpoint_failing", _flat(failing))

    def decode_endpoint_failing(self, data: bytes) -> EndpointFailing:
        return self._build("reference/endpoint_failing", data, _endpoint_failing)

    def encode_lane_limits(self, limits: LaneLimits) -> bytes:
        row = _flat(limits)
        return self._write("reference/lane_limits", row | _flat(row.pop("rates")))

    def decode_lane_limits(self, data: bytes) -> LaneLimits:
        return self._build("reference/lane_limits", data, _lane_limits)

    def encode_told(self, told: Told) -> bytes:
        return self._write("reference/told", _flat(told) | {"told": [_flat(one) for one in told.told]})

    def decode_told(self, data: bytes) -> Told:
        return self._build("reference/told", data, _told)

    def _read_hot(self, kind: type[T], data: bytes) -> T:
        """Read a record that this version wrote without fastavro; one of another version is first made ours by it."""
        name, frame, read = self._reads[kind]
        if not data.startswith(frame):
            data = self._write(name, self._read(name, data))
        try:
            value: T = read(data, FRAME.size)
        except (ValueError, IndexError) as error:
            raise UndecodableRecord(f"not an {name} record: {error}") from None
        return value

    def _write(self, name: str, row: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(self._frames[name])
        fastavro.schemaless_writer(out, schemas.parsed(name), row)
        return out.getvalue()

    def _build(self, name: str, data: bytes, build: Callable[[dict[str, Any]], T]) -> T:
        row = self._read(name, data)
        try:
            return build(row)
        except (TypeError, ValueError, KeyError) as error:
            raise UndecodableRecord(f"not a {name} record: {error}") from None

    def _read(self, name: str, data: bytes) -> dict[str, Any]:
        if len(data) < FRAME.size or data[0] != _MAGIC:
            raise UndecodableRecord("no Confluent frame: expected a zero byte and a four-byte schema id")
        schema_id: int = FRAME.unpack_from(data)[1]
        writer = self._writer(schema_id)
        stream = io.BytesIO(data)
        stream.seek(FRAME.size)
        reader = schemas.parsed(name)
        try:
            # The common case, our own schema, needs no resolution.
            row = fastavro.schemaless_reader(stream, writer, None if writer is reader else reader)
        except Exception as error:  # noqa: BLE001  # fastavro raises whatever the bytes provoke
            raise UndecodableRecord(f"not a {name} record: {type(error).__name__}: {error}") from None
        if stream.read(1):
            raise UndecodableRecord(f"not a {name} record: bytes left over")
        if not isinstance(row, dict):
            raise UndecodableRecord(f"not a {name} record")
        return row

    def _writer(self, schema_id: int) -> Any:
        if schema_id in self._writers:
            return self._writers[schema_id]
        if (
            schema_id in self._unknown
        ):  # asked once: a flood of bad records must not become a flood of requests
            raise UndecodableRecord(f"unknown schema id {schema_id}")
        try:
            text = self._source.schema(schema_id)
        except KeyError:
            if len(self._unknown) < _UNKNOWN_IDS_MAX:
                self._unknown.add(schema_id)
            raise UndecodableRecord(f"unknown schema id {schema_id}") from None
        self._writers[schema_id] = fastavro.parse_schema(json.loads(text))
        return self._writers[schema_id]


@cache  # of this version's schemas: they are made once, whatever ids a registry gives them
def hot_writer(name: str) -> Callable[..., bytes]:
    """Return what writes values by a schema, behind a frame."""
    return writer_of(json.loads(schemas.text(name)))


@cache
def hot_reader(kind: type) -> Callable[[bytes, int], Any]:
    """Return what reads values of a class that is in HOT; ValueError or IndexError for what is none."""
    return reader_of(json.loads(schemas.text(HOT[kind])), kind)


_UNKNOWN_IDS_MAX = (
    10_000  # a negative answer is remembered; beyond this somebody is guessing and memory comes first
)


def _flat(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields as they are; StrEnums and NewTypes are strings already."""
    return {name: getattr(value, name) for name in _names(type(value))}


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    if kind not in _NAMES:
        _NAMES[kind] = tuple(one.name for one in fields(kind))
    return _NAMES[kind]


def _registration(row: dict[str, Any]) -> Registration:
    row["holdings"] = tuple(Holding(**one) for one in row["holdings"])
    return Registration(**row)


def _lane_order(row: dict[str, Any]) -> LaneOrder:
    return LaneOrder(**(row | {"state": LaneState(row["state"])}))


def _shard_owner(row: dict[str, Any]) -> Owner:
    return Owner(**row)


def _endpoint_failing(row: dict[str, Any]) -> EndpointFailing:
    return EndpointFailing(**row)


def _lane_limits(row: dict[str, Any]) -> LaneLimits:
    rates = Rates(**{one.name: row.pop(one.name) for one in fields(Rates)})
    return LaneLimits(rates=rates, **row)


def _told(row: dict[str, Any]) -> Told:
    return Told(**(row | {"told": tuple(Remembered(**one) for one in row["told"])}))


def _choice_row(choice: WebhookChoice) -> dict[str, Any]:
    hook = choice.webhook
    return {
        "participant": choice.participant,
        "channel": choice.channel,
        "url": hook and hook.url,
        "messages_max": hook and hook.messages_max,
        "payload_kb_max": hook and hook.payload_kb_max,
        "by": choice.by,
        "at": choice.at,
    }


def _choice(row: dict[str, Any]) -> WebhookChoice:
    url, count, size = row.pop("url"), row.pop("messages_max"), row.pop("payload_kb_max")
    hook = (
        None
        if url is None
        else Webhook(channel=row["channel"], url=url, messages_max=count, payload_kb_max=size)
    )
    return WebhookChoice(webhook=hook, **row)


def _company_row(row: dict[str, Any]) -> CompanyRow:
    return CompanyRow(**row)


def _participant_row(participant: Participant) -> dict[str, Any]:
    return _flat(participant) | {
        "roles": [_flat(one) for one in participant.roles],
        "api_keys": [_flat(one) for one in participant.api_keys],
        "certificates": sorted(participant.certificates),
        "tls_certificates": sorted(participant.tls_certificates),
        "tls_names": sorted(participant.tls_names),
        "certificate_periods": [_flat(one) for one in participant.certificate_periods],
        "connection_providers": sorted(participant.connection_providers),
        "webhooks": [_flat(one) for one in participant.webhooks],
        "webhook_signatures": sorted(participant.webhook_signatures),
    }  # `closed` is not written: it is the participant's own word, which has a record of its own


def _participant(row: dict[str, Any]) -> Participant:
    return Participant(
        id=row["id"],
        name=row["name"],
        roles=tuple(RoleGrant(**one) for one in row["roles"]),
        api_keys=tuple(ApiKey(**one) for one in row["api_keys"]),
        certificates=frozenset(row["certificates"]),
        tls_certificates=frozenset(row["tls_certificates"]),
        tls_names=frozenset(row["tls_names"]),
        certificate_periods=tuple(CertificatePeriod(**one) for one in row["certificate_periods"]),
        connection_providers=frozenset(row["connection_providers"]),
        webhooks=tuple(Webhook(**one) for one in row["webhooks"]),
        webhook_signatures=frozenset(row["webhook_signatures"]),
        webhook_oauth2=row["webhook_oauth2"],
    )
