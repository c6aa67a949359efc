"""The router's public keys: what recipients fetch fits what signs, and no private key is ever shown."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.jwk import OKPKey

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.domain.identifiers import DeliveryId
from pipeline.domain.key_set import checked_key_set, jwk_of, key_set
from pipeline.domain.signing import Signer, extension_key_of
from pipeline.domain.standard_webhooks import standard_headers

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def issued():
    return CertificateAuthority.create("signers").issue("router", usage="signing")


def test_a_receiver_with_the_set_verifies_v1a_before_during_and_after_a_change() -> None:
    """The set holds both keys; the header two signatures, so a receiver that knows only one of them verifies, too."""
    old, new = issued(), issued()
    during = Signer.from_pem(key_pem=new.key_pem, certificate_pem=new.certificate_pem, other_pem=old.key_pem)
    published = json.loads(
        key_set(
            extension_key_of(one).key.public_key().public_bytes_raw() for one in (old.key_pem, new.key_pem)
        )
    )["keys"]
    body, ids = b"[{}]", (DeliveryId("T-1>2300000001"),)
    sent = standard_headers(body, ids, now=NOW, keys=during.delegated, secrets=())
    text = f"{ids[0]}.{int(NOW.timestamp())}.".encode() + body
    signatures = sent["webhook-signature"].split(" ")
    assert [one[:4] for one in signatures] == ["v1a,", "v1a,"]
    for jwk, signature in zip(reversed(published), signatures, strict=True):
        x = base64.urlsafe_b64decode(jwk["x"] + "=")
        Ed25519PublicKey.from_public_bytes(x).verify(base64.b64decode(signature[4:]), text)
    after = Signer.from_pem(key_pem=new.key_pem, certificate_pem=new.certificate_pem)
    assert (
        len(
            standard_headers(body, ids, now=NOW, keys=after.delegated, secrets=())[
                "webhook-signature"
            ].split()
        )
        == 1
    )


def test_a_key_is_as_the_rfcs_have_it() -> None:
    """RFC 8037, appendix A.2 and A.3: the public key of the example, and its thumbprint."""
    x = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    jwk = jwk_of(x)
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert OKPKey.import_key(jwk).thumbprint() == jwk["kid"], "as a library has it"


def test_each_key_is_there_once_in_the_order_given() -> None:
    one, other = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    keys = json.loads(key_set([one, other, one]))["keys"]
    assert keys == [jwk_of(one), jwk_of(other)]
    assert checked_key_set(key_set([one]))


WRONG = (
    (b"", "no JSON"),
    (b"[]", "no JWK set"),
    (b"{}", "no JWK set"),
    (b'{"keys":[]}', "no JWK set"),
    (b'{"keys":[{}]}', "no JWK set"),
    (b'{"keys":[{"kty":"OKP","x":"a","d":"secret"}]}', "private key"),
    (b'{"keys":[{"kty":"oct","k":"secret"}]}', "private key"),
    (b" " * 70_000, "bytes"),
)


@pytest.mark.parametrize(("content", "says"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_no_set_of_public_keys_is_not_shown(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says) as found:
        checked_key_set(content)
    assert "secret" not in str(found.value)
