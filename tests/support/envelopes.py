"""Any message, copy and audit record, and what fastavro makes of them: the judge of our own codec."""

import io
from datetime import UTC, datetime
from typing import Any

import fastavro
from hypothesis import strategies as st

from pipeline import schemas
from pipeline.codec import FRAME
from pipeline.domain.envelope import (
    Addressee,
    AuditCopy,
    AuditRecord,
    Copy,
    Encoding,
    Kind,
    Message,
    Reason,
    Stage,
    Status,
    plain,
)

INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds are naive
TEXTS = st.text(max_size=20)
COUNTS = st.integers(0, 2**31 - 1)


def lists_of(one: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(one, max_size=3).map(tuple)


MESSAGES = st.builds(
    Message,
    transaction_id=TEXTS,
    received_at=INSTANTS,
    interface=TEXTS,
    event=TEXTS,
    sender_id=TEXTS,
    sender_role=TEXTS,
    sender_reference=TEXTS,
    sender_correlation_id=st.none() | TEXTS,
    connection_provider=st.none() | TEXTS,
    mpan=st.none() | TEXTS,
    primary=lists_of(TEXTS),
    applicable=lists_of(INSTANTS),
    checked_against=st.none() | TEXTS,
    exact_case=st.booleans(),
    fingerprint=st.binary(max_size=32),
    body=st.binary(max_size=100),
)
COPIES = st.builds(
    Copy,
    delivery_id=TEXTS,
    recipient=TEXTS,
    channel=TEXTS,
    transaction_id=TEXTS,
    sender_id=TEXTS,
    sender_reference=st.none() | TEXTS,
    interface=st.none() | TEXTS,
    event=st.none() | TEXTS,
    mpan=st.none() | TEXTS,
    received_at=INSTANTS,
    routed_at=INSTANTS,
    body=st.binary(max_size=100),
    replay=st.booleans(),
)
REASONS = st.builds(
    Reason,
    kind=st.sampled_from(Kind),
    role=TEXTS,
    days=lists_of(INSTANTS),
    source=st.none() | TEXTS,
    recorded_at=st.none() | INSTANTS,
)
AUDITS = st.builds(
    AuditRecord,
    at=INSTANTS,
    stage=st.sampled_from(Stage),
    status=st.sampled_from(Status),
    status_code=st.none() | COUNTS,
    code=st.none() | TEXTS,
    reason=st.none() | TEXTS,
    duration_ms=COUNTS,
    transaction_id=st.none() | TEXTS,
    received_at=st.none() | INSTANTS,
    interface=st.none() | TEXTS,
    event=st.none() | TEXTS,
    sender_id=st.none() | TEXTS,
    sender_reference=st.none() | TEXTS,
    mpan=st.none() | TEXTS,
    duplicate=st.booleans(),
    addressees=lists_of(st.builds(Addressee, recipient=TEXTS, reasons=lists_of(REASONS))),
    copies=lists_of(
        st.builds(
            AuditCopy,
            delivery_id=TEXTS,
            transaction_id=TEXTS,
            sender_id=TEXTS,
            sender_reference=st.none() | TEXTS,
            mpan=st.none() | TEXTS,
            partition=st.none() | COUNTS,
            offset=st.none() | COUNTS,
            received_at=st.none() | INSTANTS,
        )
    ),
    recipient=st.none() | TEXTS,
    channel=st.none() | TEXTS,
    attempt=st.none() | COUNTS,
    error_class=st.none() | TEXTS,
    correlation_id=st.none() | TEXTS,
    rules=st.none() | TEXTS,
    topic=st.none() | TEXTS,
    partition=st.none() | COUNTS,
    offset=st.none() | COUNTS,
    operation=st.none() | TEXTS,
    messages=COUNTS,
    bytes=COUNTS,
    left_out=COUNTS,
    dns_ms=st.none() | COUNTS,
    connect_ms=st.none() | COUNTS,
    tls_ms=st.none() | COUNTS,
    first_byte_ms=st.none() | COUNTS,
    excerpt=st.none() | TEXTS,
)


def by_fastavro(name: str, value: Message | Copy | AuditRecord) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schemas.parsed(name), plain(value))
    return out.getvalue()


def read_by_fastavro(name: str, data: bytes) -> dict[str, Any] | None:
    """Read a record as any other reader does, as plain values; None for what is none."""
    stream = io.BytesIO(data[FRAME.size :])
    try:
        row = fastavro.schemaless_reader(stream, schemas.parsed(name), None)
        if name != "envelope/audit":
            Encoding(row["encoding"])
        else:
            Stage(row["stage"]), Status(row["status"])
            [Kind(reason["kind"]) for one in row["addressees"] for reason in one["reasons"]]
    except Exception:  # noqa: BLE001  # fastavro raises whatever the bytes provoke
        return None
    return None if stream.read(1) else listed(row)


def listed(value: Any) -> Any:
    """Return a value with tuples as lists."""
    match value:
        case dict():
            return {key: listed(one) for key, one in value.items()}
        case list() | tuple():
            return [listed(one) for one in value]
        case _:
            return value
