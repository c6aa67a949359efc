"""The correlation rule of every channel, in the three places where the sender or a recipient meets it.

The rule is read from the table a second time here, without the product's code.
"""

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from agents.reporting import Reporting
from pipeline import schemas, topics
from pipeline.catalogue import load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.addressing import A0, Addressed
from pipeline.domain.envelope import Addressee, Copy
from pipeline.domain.fanout import fan_out
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.ingress.identity import Identity
from pipeline.ingress.slicing import Sliced, Slicer
from pipeline.ingress.submission import Acceptable, Circumstances, judge
from pipeline.intake import Gate
from tests.support.world import BusRecord

CATALOGUE = load_catalogue()
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
SENDER, RECIPIENT = ParticipantId("1400000001"), ParticipantId("2300000001")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
ROLES = frozenset().union(*(one.sender_roles for one in CATALOGUE.channels.values()))
EVERYTHING = Participant(
    id=SENDER, name="x", roles=tuple(RoleGrant(role=role, valid_from=LONG_AGO) for role in ROLES)
)
ABOUT = Gate(participants=Participants([EVERYTHING]))
OWN = "CI-20260601-own"
ROOT = Path(__file__).parents[2]


class NoSchemas:
    def schema(self, schema_id: int) -> str:
        raise KeyError(schema_id)


class Clock:
    def now(self) -> datetime:
        return NOW


CODEC = Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoSchemas())


def table() -> dict[str, str]:
    lines = (ROOT / "pipeline/catalogue/correlation.tsv").read_text(encoding="utf-8").splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    assert all(row["events"] == "*" and row["inferred"] == "y" for row in rows), "read them finer here"
    return {row["interface"]: row["rule"] for row in rows}


RULES = table()


def accepted(interface: InterfaceId, event: EventCode, own: str | None) -> Acceptable:
    """Send a message in and return what the bridge answers and publishes."""
    fixed: dict[str, Any] = {
        "senderDIPID": SENDER,
        "senderRoleID": min(CATALOGUE.channels[interface].sender_roles),
        "DIPConnectionProviderID": None,
        "senderCorrelationID": own,
    }
    overrides = {f"CommonBlock.S1.{name}": value for name, value in fixed.items()}
    body = sample(CATALOGUE, interface, event, Random(5), sent_at=NOW, overrides=overrides)
    sliced = Slicer(10)(orjson.dumps([body]))
    assert isinstance(sliced, Sliced)
    identity = Identity(key_owners=frozenset({SENDER}), signers=frozenset({SENDER}))
    about = Circumstances(channel=interface, identity=identity, gate=ABOUT, now=NOW)
    judged = judge(sliced, about, catalogue=CATALOGUE, encoder=CODEC)
    assert isinstance(judged, Acceptable), judged
    return judged


def told(value: bytes, *, copy: bool) -> dict[str, Any]:
    """Return the status message about a dead letter."""
    step = Reporting(
        codec=CODEC,
        catalogue=CATALOGUE,
        clock=Clock(),
        read=CODEC.decode_copy if copy else CODEC.decode_message,
    )
    letter = BusRecord(
        topic_name="x", partition_number=0, offset_number=0, key_bytes=b"", value_bytes=value, header_list=[]
    )
    (report,) = (one for one in step(letter) if one.topic == topics.STATUS)
    body: dict[str, Any] = orjson.loads(CODEC.decode_copy(report.value).body)
    return body


def sent_out(value: bytes) -> Copy:
    message = CODEC.decode_message(value)
    (copy,) = fan_out(
        message,
        Addressed(addressees=(Addressee(recipient=RECIPIENT, reasons=()),), a0=A0()),
        routed_at=NOW,
        publication="PUB-000",
        correlation=CATALOGUE.correlation(message.interface, message.event, NOW),
    )
    return copy


def test_every_channel_has_a_rule_and_the_table_has_no_other() -> None:
    assert RULES.keys() == CATALOGUE.channels.keys()
    assert set(RULES.values()) == {"Yes", "Copy", "No"}
    assert {one for one, rule in RULES.items() if rule == "No"} == {"IF-021", "IF-022", "IF-023", "IF-040"}


@pytest.mark.parametrize(("interface", "event"), sorted(CATALOGUE.pairs))
@pytest.mark.parametrize("own", [OWN, None], ids=["with-id", "without-id"])
def test_answer_copy_and_status_messages_have_the_same_id_by_the_rule(
    interface: InterfaceId, event: EventCode, own: str | None
) -> None:
    """A sender matches a late status message with its answer, and a recipient's reply with both."""
    judged = accepted(interface, event, own)
    answered = judged.answers[0].wire()["correlationID"]
    (record,) = judged.records
    copy = sent_out(record.value)
    common = orjson.loads(copy.body)["payload"]["CommonBlock"]
    assert common["D0"]["initialCorrelationID"] == answered
    assert common["S1"]["senderCorrelationID"] == own, "the sender's own words stay as they are"
    assert told(record.value, copy=False)["correlationID"] == answered
    assert told(CODEC.encode_copy(copy), copy=True)["correlationID"] == answered
    match RULES[interface]:
        case "Yes":
            assert answered.startswith("CI-")
            assert answered != own
            assert len(answered) <= 60
        case "Copy":
            assert answered == own
        case "No":
            assert answered is None
