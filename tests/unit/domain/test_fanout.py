"""One copy per recipient."""

import json
from datetime import timedelta
from typing import Any

from pipeline.domain.addressing import Addressed, address
from pipeline.domain.envelope import Copy
from pipeline.domain.fanout import Correlation, correlation_id, fan_out, outbound_key
from pipeline.limits import TRANSACTION_ID_CHARS_MAX
from tests.support.builders import CONSUMPTION, NOW, market, message, message_object, ordinary_history

LATER = NOW + timedelta(seconds=1)


def addressed() -> Addressed:
    found = address(message(), routing=CONSUMPTION, history=ordinary_history(), participants=market())
    assert isinstance(found, Addressed)
    return found


def fanned(*about: Any, **changes: Any) -> tuple[Copy, ...]:
    return fan_out(*about, **({"correlation": Correlation.NONE} | changes))


def test_every_addressee_gets_exactly_one_copy() -> None:
    copies = fanned(message(), addressed(), routed_at=LATER, publication="PUB-021")
    assert [one.recipient for one in copies] == [one.recipient for one in addressed().addressees]
    assert len({one.delivery_id for one in copies}) == len(copies) == 4


def test_copies_keep_their_ids_and_bytes_when_the_stage_runs_again() -> None:
    """A replay of the stage must give the webhook the same message, or it could not tell it is the same."""
    once = fanned(message(), addressed(), routed_at=LATER, publication="PUB-021")
    again = fanned(message(), addressed(), routed_at=LATER + timedelta(hours=1), publication="PUB-021")
    assert [(one.delivery_id, one.body) for one in once] == [(one.delivery_id, one.body) for one in again]


def test_the_transaction_time_is_the_receipt() -> None:
    copy = fanned(message(), addressed(), routed_at=LATER, publication="PUB-021")[0]
    block = json.loads(copy.body)["payload"]["CommonBlock"]["D0"]
    assert block["transactionTimestamp"] == "2026-01-05T12:30:15+00:00"
    assert (copy.received_at, copy.routed_at) == (NOW, LATER)


def test_a_message_in_another_letter_case_leaves_in_the_specifications() -> None:
    wrong = message(body=b'{"PAYLOAD":{}}')
    copy = fanned(wrong, addressed(), routed_at=LATER, publication="PUB-021", canonical=message_object())[0]
    assert json.loads(copy.body)["payload"]["CommonBlock"]["S0"]["interfaceID"] == "IF-021"


def test_a_minted_correlation_id_is_short_enough_and_the_same_for_a_retry() -> None:
    one, retry = message(interface="IF-031"), message(interface="IF-031", received_at=LATER)
    minted = correlation_id(one, Correlation.MINT)
    assert minted is not None
    assert minted == correlation_id(retry, Correlation.MINT)
    assert minted.startswith("CI-20260105-")
    assert len(minted) <= 60
    assert len(one.transaction_id) <= TRANSACTION_ID_CHARS_MAX


def test_a_minted_id_takes_the_place_of_whatever_the_sender_wrote() -> None:
    """Its own stays where it is, in S1."""
    one = message(interface="IF-031", senderCorrelationID="CI-1")
    assert correlation_id(one, Correlation.MINT) != "CI-1"
    assert correlation_id(one, Correlation.COPY) == "CI-1"
    assert correlation_id(one, Correlation.NONE) is None


def test_a_reply_without_an_id_to_hand_back_gets_null_not_an_empty_text() -> None:
    assert correlation_id(message(), Correlation.COPY) is None


def test_a_recipients_copies_of_one_mpan_share_their_key() -> None:
    first, second = (
        fanned(
            message(senderUniqueReference=f"S-IF-021-1400000001-SDS-20260105-{n}"),
            addressed(),
            routed_at=LATER,
            publication="PUB-021",
        )[0]
        for n in (1, 2)
    )
    assert first.delivery_id != second.delivery_id
    assert outbound_key(first) == outbound_key(second)


def test_recipients_do_not_share_keys() -> None:
    copies = fanned(message(), addressed(), routed_at=LATER, publication="PUB-021")
    assert len({outbound_key(one) for one in copies}) == len(copies)
