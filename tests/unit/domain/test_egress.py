"""The message as it leaves."""

import json
from typing import Any

import pytest

from pipeline.domain.addressing import A0
from pipeline.domain.egress import D0, egress
from pipeline.domain.identifiers import ParticipantId, TransactionId
from tests.support.builders import DISTRIBUTOR, MARKET_DATA, NOW, SUPPLIER, compact, message_object

BLOCK = D0(
    transaction_id=TransactionId("T-IF-021-1400000001-SDS-20260105-7f"),
    transaction_timestamp=NOW,
    publication_id="PUB-021",
    initial_correlation_id=None,
)
RECIPIENTS = A0(
    primary=(ParticipantId(SUPPLIER),),
    secondary=(ParticipantId(DISTRIBUTOR),),
    always=(ParticipantId(MARKET_DATA),),
)


def leave(body: bytes) -> bytes:
    return egress(body, d0=BLOCK, a0=RECIPIENTS)


def common(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(leave(body))["payload"]["CommonBlock"]
    return found


def test_the_routers_block_is_added_with_all_six_fields() -> None:
    assert common(compact(message_object()))["D0"] == {
        "transactionID": "T-IF-021-1400000001-SDS-20260105-7f",
        "transactionTimestamp": "2026-01-05T12:30:15+00:00",
        "publicationID": "PUB-021",
        "initialCorrelationID": None,
        "replayIndicator": False,
        "serviceTicketURL": None,
    }


def test_primary_recipients_leave_as_sent_and_the_router_fills_the_rest() -> None:
    sent = message_object(primary=[SUPPLIER, None, SUPPLIER])
    sent["payload"]["CommonBlock"]["A0"]["secondaryRecipients"] = ["0000000404"]
    assert common(compact(sent))["A0"] == {
        "primaryRecipients": [SUPPLIER, None, SUPPLIER],
        "secondaryRecipients": [DISTRIBUTOR],
        "always": [MARKET_DATA],
    }


def test_a_message_without_addressing_block_gets_one() -> None:
    assert common(compact(message_object(primary=None)))["A0"]["primaryRecipients"] == [SUPPLIER]


@pytest.mark.parametrize(
    "custom",
    [
        b'{ "B1" : {"v":1.000, "w":-0.0,"x":1e2, "y":12345678901234567890123 } }',
        '{"B1":{"name":"Zoë \\u00e9\\/ \\ud83d\\ude00 😀"}}'.encode(),
        b'{\r\n\t"B1":{"a":null,"a2":[ ] }}',
        b'{"B1":{"text":"\\"CustomBlock\\":{}"}}',
    ],
)
def test_the_custom_block_leaves_byte_for_byte(custom: bytes) -> None:
    """Numbers keep their digits, texts their escapes, and blanks their place: nobody re-wrote what was signed off."""
    body = compact(message_object()).replace(b'{"B1":{}}', custom)
    assert leave(body).endswith(b'"CustomBlock":' + custom + b"}}")


def test_blocks_leave_in_the_order_of_the_specification_whatever_order_they_came_in() -> None:
    sent = message_object(primary=[SUPPLIER])
    blocks = sent["payload"]["CommonBlock"] | {"R1": {}, "R0": {}, "S2": {}}
    sent["payload"] = {"CustomBlock": {}, "CommonBlock": dict(reversed(list(blocks.items())))}
    left = json.loads(leave(compact(sent)))["payload"]
    assert list(left) == ["CommonBlock", "CustomBlock"]
    assert list(left["CommonBlock"]) == ["S0", "S1", "S2", "A0", "D0", "M0", "R0", "R1"]


def test_blocks_that_a_channel_allows_beyond_the_known_ones_are_kept() -> None:
    sent = message_object()
    sent["payload"]["CommonBlock"]["X9"] = {"extra": True}
    assert common(compact(sent))["X9"] == {"extra": True}


def test_a_d0_from_the_sender_is_replaced() -> None:
    sent = message_object()
    sent["payload"]["CommonBlock"]["D0"] = {"transactionID": "forged"}
    assert common(compact(sent))["D0"]["transactionID"] == BLOCK.transaction_id


def test_a_message_without_custom_block_gets_none() -> None:
    sent = message_object()
    del sent["payload"]["CustomBlock"]
    assert list(json.loads(leave(compact(sent)))["payload"]) == ["CommonBlock"]


def test_the_same_message_leaves_as_the_same_bytes() -> None:
    body = compact(message_object())
    assert leave(body) == leave(body)


def test_an_object_with_its_names_put_right_leaves_as_its_bytes_would() -> None:
    sent = message_object(primary=[SUPPLIER])
    wrong = compact(sent).replace(b'"S0"', b'"s0"').replace(b'"CustomBlock"', b'"CUSTOMBLOCK"')
    assert egress(wrong, d0=BLOCK, a0=RECIPIENTS, canonical=sent) == leave(compact(sent))


def test_a_body_block_in_the_right_letter_case_leaves_as_it_came_whatever_the_header_looks_like() -> None:
    """Blanks, escapes and the form of numbers are the sender's, also where the router mends its header."""
    custom = b'{ "B1" : {"a": 1.50, "b": "\\u00e9"} }'
    right = compact(message_object()).replace(b'{"B1":{}}', custom)
    wrong = right.replace(b'"CommonBlock"', b'"COMMONBLOCK"').replace(b'"CustomBlock"', b'"customblock"')
    left = egress(wrong, d0=BLOCK, a0=RECIPIENTS, canonical=json.loads(right))
    assert left.endswith(b'"CustomBlock":' + custom + b"}}")
    assert left == leave(right)
