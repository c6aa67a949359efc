"""`dip deadletter` on real topics: 20,000 letters go back, killed in the middle, each once (test 69 of the list)."""

import json
import os
import subprocess
from collections import Counter
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from pipeline import topics
from pipeline.domain.dead_letters import MARK
from pipeline.domain.envelope import AuditCopy, AuditRecord, Copy, Stage, Status
from pipeline.domain.identifiers import ParticipantId
from tests.integration.delivery.rig import DIP, Rig
from tests.support.builders import NOW, message

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

LETTERS = 20_000
DELIVERED = 50
RATE = 8_000


def deadletter(rig: Rig, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [DIP, "deadletter", *arguments],
        env={**os.environ, "KAFKA_BOOTSTRAP": rig.bootstrap, "SCHEMA_REGISTRY_URL": rig.registry_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> str:
    out, told = process.communicate(timeout=150)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    return out


def put(rig: Rig, copies: list[Copy], **facts: str) -> None:
    """Write dead letters as delivery does."""
    producer = Producer({**rig.client, "linger.ms": 5, "partitioner": "murmur2"})
    headers = {
        "at": f"{NOW.timestamp():.3f}",
        "stage": "Outbound",
        "code": "RCP0001",
        "topic": topics.OUTBOUND,
    }
    written = [(f"dlq.{name}", value.encode()) for name, value in (headers | facts).items()]
    for one in copies:
        producer.produce(
            topics.DEAD_LETTER_DELIVERY,
            rig.codec.encode_copy(one),
            one.transaction_id.encode(),
            headers=written,
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def say_delivered(rig: Rig, copies: list[Copy]) -> None:
    named = tuple(
        AuditCopy(
            delivery_id=one.delivery_id,
            transaction_id=one.transaction_id,
            sender_id=one.sender_id,
            sender_reference=None,
            mpan=None,
        )
        for one in copies
    )
    record = AuditRecord(at=datetime.now(UTC), stage=Stage.OUTBOUND, status=Status.DELIVERED, copies=named)
    producer = Producer(rig.client)
    producer.produce(topics.AUDIT, rig.codec.encode_audit(record), b"key")
    assert producer.flush(60) == 0


def test_twenty_thousand_letters_go_back_once_each_though_the_command_is_killed(rig: Rig) -> None:
    mine, other = map(ParticipantId, rig.names(2))
    copies = [rig._copy(number, mine) for number in range(LETTERS)]
    put(rig, copies, text="HTTP 400: ünreadable")
    put(rig, [rig._copy(1, other)])
    say_delivered(rig, copies[:DELIVERED])
    expected = LETTERS - DELIVERED

    counts = json.loads(ended(deadletter(rig, "list", "--counts", "--recipient", mine, "--json")))
    assert counts == {
        "stage": "delivery", "code": "RCP0001", "sender": "2200000001", "recipient": mine, "count": LETTERS,
    }  # fmt: skip
    plan = ended(deadletter(rig, "requeue", "--recipient", mine, "--dry-run"))
    assert f"{expected}  go back" in plan, plan
    assert f"{DELIVERED}  stay: the recipient has it" in plan, plan
    assert not rig.read(topics.OUTBOUND)

    ask = ("requeue", "--recipient", mine, "--rate", str(RATE), "--yes", "--by", "ops", "--json")
    killed = deadletter(rig, *ask)
    assert killed.stderr is not None
    while "letters sent back" not in (line := killed.stderr.readline()):
        assert line, "it ended before it began"
    killed.kill()
    killed.communicate()
    before = len(rig.read(topics.OUTBOUND))
    assert 0 < before < expected, "killed in the middle"
    said = json.loads(ended(deadletter(rig, *ask)))
    assert said["sent"] == expected - said["staying"]["requeued"]
    assert said["staying"]["requeued"] >= before

    returned = rig.read(topics.OUTBOUND)
    found = Counter(rig.codec.decode_copy(one.value()).delivery_id for one in returned)
    assert found == Counter(one.delivery_id for one in copies[DELIVERED:]), (
        "each once, what was taken not at all"
    )
    one = rig.codec.decode_copy(returned[0].value())
    sent = next(copy for copy in copies if copy.delivery_id == one.delivery_id)
    assert (one.body, one.received_at) == (sent.body, sent.received_at)
    marks = Counter(dict(one.headers()).get(MARK) for one in rig.read(topics.AUDIT) if one.headers())
    assert set(marks.values()) == {1}
    assert len(marks) == expected
    assert json.loads(ended(deadletter(rig, *ask)))["going"] == 0


def test_a_message_goes_back_to_its_stage_as_it_came(rig: Rig) -> None:
    one = message()
    value = rig.codec.encode_message(one)
    headers = [
        ("dlq.at", b"1767616215.000"),
        ("dlq.topic", topics.VALIDATED.encode()),
        ("dlq.code", b"MSG1015"),
    ]
    producer = Producer(rig.client)
    producer.produce(topics.DEAD_LETTER_ADDRESSING, value, b"its key", headers=headers)
    assert producer.flush(60) == 0
    (letter,) = map(
        json.loads, ended(deadletter(rig, "list", "--stage", "addressing", "--json")).splitlines()
    )
    assert (letter["sender"], letter["code"]) == (one.sender_id, "MSG1015")
    shown = json.loads(ended(deadletter(rig, "show", letter["letter"])))
    assert shown["body"] == one.body.decode()
    ended(deadletter(rig, "requeue", "--stage", "addressing", "--yes"))
    (back,) = rig.read(topics.VALIDATED)
    assert (back.key(), back.value()) == (b"its key", value)


def test_wrong_use_is_told_in_one_line(rig: Rig) -> None:
    for arguments, expected in (
        (("requeue", "--stage", "reporting"), "is a letter of another stage already"),
        (("requeue", "--rate", "0"), "0"),
        (("list", "--since", "yesterday"), "'yesterday' is no time: write 2026-01-05"),
        (("show", "17"), "write topic[partition]@offset"),
        (("show", "dip.dead-letter.delivery[99]@1"), "there is no dead letter at"),
        (("show", "dip.outbound[0]@0"), "there is no dead letter at"),
    ):
        process = deadletter(rig, *arguments)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 2
        assert expected in told
        assert "Traceback" not in told
