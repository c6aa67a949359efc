"""Leaves a transaction open in a partition that its coordinator does not know of: what a lost marker leaves behind.

A batch is written by hand, with the producer id and epoch of a real transaction, past the coordinator.
"""

import struct

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from pipeline.engine.protocol import exchange
from pipeline.engine.wire import first_address


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def batch(value: bytes, *, producer_id: int, epoch: int, at_ms: int, sequence: int) -> bytes:
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    record = varint(len(record)) + record
    behind_crc = struct.pack(">hiqqqhii", 0x10, 0, at_ms, at_ms, producer_id, epoch, sequence, 1) + record
    behind_length = struct.pack(">ibI", -1, 2, crc32c(behind_crc)) + behind_crc
    return struct.pack(">qi", 0, len(behind_length)) + behind_length


def unguard(bootstrap: str) -> None:
    """Let the broker take transactional batches that its coordinator was not told of (as Kafka before 3.6 did)."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    entry = ConfigEntry(
        "transaction.partition.verification.enable", "false", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def write(bootstrap: str, topic: str, partition: int, data: bytes, *, transactional_id: str) -> None:
    """Send one batch (Produce version 8: no partition is added to the transaction by it)."""
    name, own = topic.encode(), transactional_id.encode()
    header = struct.pack(">hhih", 0, 8, 1, 4) + b"test"
    body = struct.pack(">h", len(own)) + own + struct.pack(">hii", -1, 10_000, 1)
    body += struct.pack(">h", len(name)) + name + struct.pack(">iii", 1, partition, len(data)) + data
    reader = exchange(first_address(bootstrap), header + body, 10)
    assert reader.number("i") == 1
    reader.skip(reader.number("h"))
    reader.number("i")
    reader.number("i")
    error = reader.number("h")
    assert error == 0, f"the broker refused the batch: error {error}"


assert crc32c(b"123456789") == 0xE3069283, "the known answer of CRC-32C"
