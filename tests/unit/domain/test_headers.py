"""Reading a header and judging its sender."""

import hashlib
from datetime import timedelta

from pipeline.domain.headers import New, Repeat, Reused, Seen, decide_duplicate, message_key
from pipeline.domain.rejections import Code
from pipeline.limits import RETENTION_DAYS
from tests.support.builders import (
    DATA_SERVICE,
    MPAN,
    NOW,
    SUPPLIER,
    message,
)


def test_a_message_keeps_its_bytes_and_their_fingerprint() -> None:
    body = b'{"payload" : "as the sender wrote it"}'
    read = message(body=body)
    assert read.body == body
    assert read.fingerprint == hashlib.sha256(body).digest()


def test_the_mpan_is_found_in_either_block() -> None:
    assert message(m_block="M0").mpan == message(m_block="M1").mpan == MPAN


def test_primary_recipients_are_named_once_and_without_nulls() -> None:
    assert message(primary=[None, SUPPLIER, DATA_SERVICE, SUPPLIER]).primary == (SUPPLIER, DATA_SERVICE)


def test_a_message_may_have_no_addressing_block() -> None:
    assert message(primary=None).primary == ()


def test_messages_of_an_mpan_share_their_key() -> None:
    assert message_key(message()) == MPAN.encode()


def test_a_message_without_mpan_is_keyed_by_its_transaction() -> None:
    lone = message(mpan=None)
    assert message_key(lone) == lone.transaction_id.encode()


def test_a_reference_never_seen_is_new() -> None:
    assert decide_duplicate(None, message()) == New()


def test_the_same_body_again_is_a_repeat_of_the_first_transaction() -> None:
    first = message()
    seen = Seen(fingerprint=first.fingerprint, transaction_id=first.transaction_id, received_at=NOW)
    again = message(received_at=NOW + timedelta(hours=3))
    assert decide_duplicate(seen, again) == Repeat(transaction_id=first.transaction_id)
    assert again.transaction_id == first.transaction_id


def test_another_body_under_a_used_reference_is_refused() -> None:
    first = message()
    seen = Seen(fingerprint=first.fingerprint, transaction_id=first.transaction_id, received_at=NOW)
    decision = decide_duplicate(seen, message(custom={"B2": {}}))
    assert isinstance(decision, Reused)
    assert decision.rejection.code is Code.REFERENCE_USED
    assert (decision.rejection.pointer or "").endswith("/S1/senderUniqueReference")


def test_a_reference_older_than_the_window_counts_as_never_seen() -> None:
    first = message()
    seen = Seen(fingerprint=b"other", transaction_id=first.transaction_id, received_at=NOW)
    window = timedelta(days=RETENTION_DAYS)
    assert isinstance(decide_duplicate(seen, message(received_at=NOW + window)), Reused)
    assert decide_duplicate(seen, message(received_at=NOW + window + timedelta(seconds=1))) == New()
