"""What each step inside the delivery worker costs, in CPU microseconds a copy: the real functions on prepared input.

    .venv/bin/python -m benchmarks.copies --steps

Each step runs over the same arrays one after the other, warm; see `benchmarks.bridge_steps` for how to read it.
"""

import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from msgspec.structs import replace

from benchmarks.bridge import written
from benchmarks.bridge_steps import MESSAGES, Step
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.delivery.batching import array
from pipeline.domain.addressing import A0
from pipeline.domain.answers import Identity
from pipeline.domain.delivery import Answered, judge
from pipeline.domain.egress import D0, egress
from pipeline.domain.envelope import AuditCopy, AuditRecord, Copy, Stage, Status
from pipeline.domain.identifiers import DeliveryId, EventCode, InterfaceId, ParticipantId, TransactionId
from pipeline.domain.signing import content_hash
from tests.integration.delivery.rig import TRANSACTION
from tests.support.bridge import NOW, SENDER, codec

SIZES: Final = (1, 10, 50)
URL: Final = "https://127.0.0.1:8443/2300000001"


@cache
def bodies() -> tuple[bytes, ...]:
    """Return finished bodies of 4.5 kB whose transaction is `TRANSACTION`."""
    d0 = D0(
        transaction_id=TransactionId(TRANSACTION),
        transaction_timestamp=NOW,
        publication_id="PUB-021",
        initial_correlation_id=None,
    )
    a0 = A0(primary=(), secondary=({"role": "SUP", "dipId": "2300000001"},), always=())  # type: ignore[arg-type]  # any JSON
    return tuple(egress(one, d0=d0, a0=a0) for one in written())


def measure() -> dict[str, dict[int, float]]:
    """Return CPU us a copy by step and array size."""
    table: dict[str, dict[int, float]] = {}
    for size in SIZES:
        for step in steps(size):
            table.setdefault(step.name, {})[size] = step.cpu_us()
    return table


def steps(size: int) -> list[Step]:
    """Prepare every step for arrays of a size."""
    encoder = codec()
    copies = [_copy(number) for number in range(MESSAGES)]
    groups = [copies[first : first + size] for first in range(0, MESSAGES, size)]
    arrays = [array([one.body for one in group]) for group in groups]
    answers = [(_answered(group), [_identity(one) for one in group]) for group in groups]
    records = [_record(group) for group in groups]

    def step(name: str, run: Callable[[Any], object], inputs: list[Any], each: int = size) -> Step:
        return Step(name=name, run=run, inputs=inputs, messages_each=each)

    return [
        step("Kafka in: Avro of the copy", encoder.decode_copy, list(map(encoder.encode_copy, copies)), 1),
        step("array: joined", lambda group: array([one.body for one in group]), groups),
        step("signature: the whole", lambda body: SENDER.headers(URL, body), arrays),
        step("  of it the hash", content_hash, arrays),
        step("TLS: encrypted", _encrypting(), arrays),
        step("answer: read and judged", lambda one: judge(one[0], one[1], now=NOW), answers),
        step("Kafka out: Avro of the audit", encoder.encode_audit, records),
    ]


def print_table(table: dict[str, dict[int, float]]) -> None:
    """Print one line a step."""
    print(f"{'CPU us a copy, in arrays of':44}" + "".join(f"{size:>7}" for size in SIZES))
    for name, row in table.items():
        print(f"{name:44}" + "".join(f"{row[size]:>7.1f}" for size in SIZES))


def _copy(number: int) -> Copy:
    transaction = TransactionId(f"T-{number:010d}")
    return Copy(
        delivery_id=DeliveryId(f"{transaction}>2300000001"),
        recipient=ParticipantId("2300000001"),
        channel=InterfaceId("IF-021"),
        transaction_id=transaction,
        sender_id=ParticipantId("2200000001"),
        sender_reference=None,
        interface=InterfaceId("IF-021"),
        event=EventCode("ActivePower"),
        mpan=None,
        received_at=NOW,
        routed_at=NOW,
        body=bodies()[number % len(bodies())],
    )


def _identity(copy: Copy) -> Identity:
    return Identity(transaction_id=copy.transaction_id, sender_reference=copy.sender_reference)


def _answered(group: list[Copy]) -> Answered:
    results = [
        {
            "transactionID": one.transaction_id,
            "senderUniqueReference": None,
            "message": "RCP0000 - Taken",
            "help": None,
        }
        for one in group
    ]
    return Answered(status=201, body=orjson.dumps({"messageArray": results, "timestamp": "x"}))


def _record(group: list[Copy]) -> AuditRecord:
    copies = tuple(
        AuditCopy(
            delivery_id=one.delivery_id,
            transaction_id=one.transaction_id,
            sender_id=one.sender_id,
            sender_reference=one.sender_reference,
            mpan=one.mpan,
        )
        for one in group
    )
    record = AuditRecord(at=NOW, stage=Stage.OUTBOUND, status=Status.DELIVERED, status_code=201, attempt=1)
    return replace(record, recipient=group[0].recipient, channel=group[0].channel, copies=copies)


def _encrypting() -> Callable[[bytes], object]:
    """Return what writes bytes into an established connection and throws away what comes out."""
    authority = CertificateAuthority.create("a benchmark")
    issued = authority.issue("server", hosts=("127.0.0.1",), usage="server")
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    client_context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _written(issued.certificate_pem, issued.key_pem) as (certificate, key):
        server_context.load_cert_chain(certificate, key)
    client = client_context.wrap_bio(client_in, client_out, server_hostname="127.0.0.1")
    server = server_context.wrap_bio(server_in, server_out, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        server_in.write(client_out.read())
        client_in.write(server_out.read())

    def encrypt(body: bytes) -> None:
        client.write(body)
        client_out.read()

    return encrypt


@contextmanager
def _written(certificate: bytes, key: bytes) -> Iterator[tuple[Path, Path]]:
    """Put a certificate and its key where a context reads them from."""
    with tempfile.TemporaryDirectory() as name:
        paths = Path(name) / "server.pem", Path(name) / "server.key"
        for path, content in zip(paths, (certificate, key), strict=True):
            path.write_bytes(content)
        yield paths
