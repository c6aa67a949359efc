"""Names in any letter case come in; the specification's go out, for every interface and event (protocol.md 2)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.domain.addressing import A0, Addressed
from pipeline.domain.envelope import Addressee, Message
from pipeline.domain.fanout import Correlation, fan_out
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.intake import Gate, canonical_body, take_bytes

CATALOGUE = load_catalogue()
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
SENDER = ParticipantId("1400000001")
RECIPIENT = ParticipantId("2300000001")
PAIRS = sorted(CATALOGUE.pairs)
ROLES = frozenset().union(*(one.sender_roles for one in CATALOGUE.channels.values()))
GATE = Gate(
    participants=Participants(
        [
            Participant(
                id=SENDER,
                name="sends everything",
                roles=tuple(
                    RoleGrant(role=role, valid_from=datetime(2000, 1, 1, tzinfo=UTC)) for role in ROLES
                ),
            )
        ]
    )
)


def valid(interface: InterfaceId, event: EventCode, seed: int) -> dict[str, Any]:
    fixed = {
        "CommonBlock.S1.senderDIPID": SENDER,
        "CommonBlock.S1.senderRoleID": Role(min(CATALOGUE.channels[interface].sender_roles)),
        "CommonBlock.S1.DIPConnectionProviderID": None,
    }
    return sample(CATALOGUE, interface, event, Random(seed), sent_at=NOW, overrides=fixed)


def written(message: object, *, case: Callable[[str], str]) -> bytes:
    """Write a message with names in another letter case, values as they are, and blanks of its own."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {case(name): renamed(part) for name, part in value.items()}
        return [renamed(one) for one in value] if isinstance(value, list) else value

    return json.dumps(renamed(message), separators=(" , ", " : ")).encode()


def leaves(body: bytes, interface: InterfaceId) -> bytes:
    """Return the copy of a message that came in as `body`."""
    message = take_bytes(CATALOGUE, body, channel=interface, received_at=NOW, gate=GATE)
    assert isinstance(message, Message), message
    (copy,) = fan_out(
        message,
        Addressed(addressees=(Addressee(recipient=RECIPIENT, reasons=()),), a0=A0()),
        routed_at=NOW,
        publication=CATALOGUE.channels[interface].publication,
        canonical=None if message.exact_case else canonical_body(CATALOGUE, message),
        correlation=Correlation.NONE,
    )
    return copy.body


def without_routers_blocks(body: bytes) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(body)
    for name in ("A0", "D0"):
        read["payload"]["CommonBlock"].pop(name, None)
    return read


def plain(message: dict[str, Any]) -> dict[str, Any]:
    return without_routers_blocks(json.dumps(message).encode())


@pytest.mark.parametrize(("interface", "event"), PAIRS)
def test_random_case_comes_in_and_the_specifications_goes_out(
    interface: InterfaceId, event: EventCode
) -> None:
    rng = Random(f"{interface}{event}")

    def case(name: str) -> str:
        return "".join(rng.choice((char.upper(), char.lower())) for char in name)

    for seed, write in enumerate((case, str.upper, str.lower)):
        sent = valid(interface, event, seed)
        left = leaves(written(sent, case=write), interface)
        assert without_routers_blocks(left) == plain(sent)
        assert CATALOGUE.check(json.loads(left)).exact_case


@pytest.mark.parametrize(("interface", "event"), PAIRS)
def test_a_body_block_leaves_byte_for_byte_where_its_names_were_right(
    interface: InterfaceId, event: EventCode
) -> None:
    """Only the header's letter case is wrong here: the sender's blanks in its body block must survive."""
    sent = valid(interface, event, 7)
    body = written(sent, case=str)
    # The first of each: shells come before the body block, which holds no block of these names.
    wrong = body.replace(b'"payload"', b'"PAYLOAD"', 1).replace(b'"S1"', b'"s1"', 1)
    left = leaves(wrong, interface)
    assert without_routers_blocks(left) == plain(sent)
    if "CustomBlock" in sent["payload"]:
        custom = json.dumps(sent["payload"]["CustomBlock"], separators=(" , ", " : ")).encode()
        assert left.endswith(b'"CustomBlock":' + custom + b"}}")
