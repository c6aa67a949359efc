"""Standard Webhooks beside the DIP's signature: the published library takes what the router sends."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.webhook_secrets import WebhookSecrets
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.domain.standard_webhooks import read_secrets, standard_headers, webhook_id
from tests.support.bridge import SENDER

WHO = ParticipantId("2300000001")
OLD, NEW = (f"whsec_{base64.b64encode(bytes([byte]) * 32).decode()}" for byte in (1, 2))
IDS = (DeliveryId(f"T-1>{WHO}"),)
BODY = b'[{"caf\xc3\xa9": 1.0}]'


def headers(
    *secrets: str, body: bytes = BODY, ids: tuple[DeliveryId, ...] = IDS, now: datetime | None = None
) -> dict[str, str]:
    return standard_headers(
        body, ids, now=now or SystemClock().now(), keys=(), secrets=read_secrets("\n".join(secrets))
    )


def test_the_published_vector_is_met() -> None:
    """From the specification's own test suite: secret, id, time, body and signature."""
    found = standard_headers(
        b'{"test": 2432232314}',
        (DeliveryId("msg_p5jXN8AQM9LWM0D4loKWxJek"),),
        now=datetime.fromtimestamp(1614265330, tz=UTC),
        keys=(),
        secrets=read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_library_takes_a_signature_and_refuses_another_body_id_or_time() -> None:
    sent = headers(NEW)
    Webhook(NEW).verify(BODY, sent)
    for changed in (
        {"webhook-id": "other"},
        {"webhook-timestamp": str(int(sent["webhook-timestamp"]) + 1)},
        {"webhook-signature": headers(OLD)["webhook-signature"]},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(BODY, {**sent, **changed})
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY + b" ", sent)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(NEW).verify(BODY, headers(NEW, now=SystemClock().now() - timedelta(minutes=6)))


def test_while_a_secret_changes_both_the_old_and_the_new_one_verify() -> None:
    sent = headers(NEW, OLD)
    Webhook(OLD).verify(BODY, sent)
    Webhook(NEW).verify(BODY, sent)


def test_the_delegated_key_signs_v1a() -> None:
    key = SENDER.signer.extensions
    now = datetime(2026, 1, 5, tzinfo=UTC)
    sent = standard_headers(BODY, IDS, now=now, keys=(key,), secrets=())
    scheme, _, signature = sent["webhook-signature"].partition(",")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public))
    text = f"{IDS[0]}.{int(now.timestamp())}.".encode() + BODY
    public.verify(base64.b64decode(signature), text)
    assert scheme == "v1a"
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), text + b" ")


def test_a_retry_has_the_same_id_and_a_new_time() -> None:
    first, again = headers(NEW), headers(NEW, now=SystemClock().now() + timedelta(seconds=90))
    assert first["webhook-id"] == again["webhook-id"] == IDS[0]
    assert first["webhook-timestamp"] != again["webhook-timestamp"]


def test_an_array_has_one_id_that_names_all_of_it() -> None:
    two = (*IDS, DeliveryId("T-2"))
    assert webhook_id(two) == webhook_id(two)
    assert webhook_id(two) != webhook_id(two[::-1])
    assert len({webhook_id(two), webhook_id(IDS), webhook_id((DeliveryId("T-2"),))}) == 3
    assert webhook_id(two).isascii()
    assert " " not in webhook_id((DeliveryId("T 1"),))


@pytest.mark.parametrize(
    "text",
    ["", "\n", "secret-in-clear-0123456789", "whsec_", "whsec_c2hvcnQ=", f"{OLD}\n{NEW}\n" * 2, f"{OLD}\nx"],
)
def test_what_is_no_secret_is_named_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        read_secrets(text)
    for line in filter(None, text.split("\n")):
        assert line in {"x", "whsec_"} or line not in str(raised.value)


def test_secrets_are_read_from_the_recipients_file_and_again_when_it_changes(tmp_path: Path) -> None:
    secrets = WebhookSecrets(str(tmp_path))
    assert str(tmp_path / WHO) in str(secrets.of(WHO))
    (tmp_path / WHO).write_text(OLD + "\n", encoding="ascii")
    assert secrets.of(WHO) == read_secrets(OLD)
    (tmp_path / WHO).write_text(f"{NEW}\n{OLD}\n", encoding="ascii")
    import os

    os.utime(tmp_path / WHO, ns=(1, 1))  # a clock that is coarse must not hide a change
    assert secrets.of(WHO) == read_secrets(f"{NEW}\n{OLD}")
    (tmp_path / WHO).write_text("garbage-0123", encoding="ascii")
    os.utime(tmp_path / WHO, ns=(2, 2))
    said = secrets.of(WHO)
    assert isinstance(said, str)
    assert "garbage" not in said
    assert "DIP_WEBHOOK_SECRETS" in str(WebhookSecrets("").of(WHO))
