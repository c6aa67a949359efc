"""What the router says beside the DIP's protocol is believed as it was signed, and only so."""

from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec.structs import replace
from multidict import CIMultiDict

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.webhook import extension_headers
from pipeline.client import Delivery, SignerTrust, Webhook
from pipeline.client.deliveries import Reply
from pipeline.client.extensions import Gap as TheirGap
from pipeline.client.extensions import extension_complaint
from pipeline.delivery.ports import Post
from pipeline.domain.extension_signing import ExtensionKey
from pipeline.domain.gaps import Gap
from pipeline.domain.identifiers import DeliveryId, ParticipantId
from pipeline.domain.sequences import Place
from pipeline.domain.signing import Signer
from tests.unit.client.conftest import NOW

URL = "https://me.example:8443/Messages?x=1"
WHO = ParticipantId("2300000001")
BODY = orjson.dumps([
    {"payload": {"CommonBlock": {"S1": {"senderUniqueReference": f"S-{one}"}, "D0": {"transactionID": f"T-{one}"}}}}
    for one in (1, 2)
])  # fmt: skip
POST = Post(
    url=URL,
    recipient=WHO,
    bodies=(b"", b""),
    delivery_ids=(DeliveryId(f"T-1>{WHO}"), DeliveryId(f"T-2>{WHO}")),
    attempt=3,
    places=(Place(partition=3, offset=70), Place(partition=3, offset=71, previous=68)),
)
SIGNED = "X-Open-DIP-Signature"
KNOWN_KEY = "uomQ2UXq6TPeR6tAJM3gtAHjKH4QDAeqvLqe3bsII84="
KNOWN_SIGNATURE = "7jeS/k3bKDlbJcH2zJbwTrMezGtJLNRKy8a6vss5FKNXKHIJf/wXr8tUDoOecxHUFQ1ZpvQZJyQTjgqtmswZAA=="
KNOWN_WORD = (
    "IIcwb0ii02EFMMdwhuW3bpkn57x9XMICRIUiHQ2/g6RPOA5mpDTZ1vioxQOlGdGeC+LeMi2/dKbL+c2AWe7Xyb"
    "ThDt4BrudN10t2sl+NablqjECKgwbpZVJRzlE2K7b8Tyu497LThK8m7s1Z3JJX5bd7ulaESDSqh5WsGcIHoxfO"
    "ggz3zepPZ9H1dS9m4NYf8qGT67EuxzpqdWhLZILalfv49TPfWcdZ8Tiyi/jR9C7WcF7lujWKjqLvq07yxK6Sqj"
    "xzBr9cs82+PZauVOFYFSAjeZkidVm3Lz8+V/3p7pXaNu8HhbiJA5pNxpzZJbwQn8pnEkGpHZj+PpVLLy/GPw=="
)


def signer_of(name):
    issued = CertificateAuthority.create(name, now=NOW).issue("router", usage="signing", now=NOW)
    return issued, Signer.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)


@pytest.fixture(scope="module")
def router():
    return signer_of("of the router")


@pytest.fixture(scope="module")
def webhook(router):
    return Webhook(recipient=WHO, url=URL, trust=SignerTrust.of(router[0].certificate_pem))


def headers(signer, *, now=NOW, post=POST):
    signature = signer.headers("POST", URL, BODY, now)
    return CIMultiDict(signer.extended("POST", URL, signature, extension_headers(post)))


def test_ids_attempt_and_sequences_arrive_as_they_were_signed(router, webhook):
    delivery = webhook.open(headers(router[1]), BODY, now=NOW)
    assert isinstance(delivery, Delivery)
    assert [one.delivery_id for one in delivery.items] == [f"T-1>{WHO}", f"T-2>{WHO}"]
    places = [(one.place.sequence, one.place.previous) for one in delivery.items]
    assert places == [("3-70", None), ("3-71", "3-68")]
    assert delivery.attempt == 3


GAPPED = replace(POST, gaps=(None, Gap(first=65, last=68, count=2)))


def test_what_was_given_up_before_a_message_is_told_with_it(router, webhook):
    delivery = webhook.open(headers(router[1], post=GAPPED), BODY, now=NOW)
    gaps = [one.place.gap for one in delivery.items]
    assert gaps == [None, TheirGap(first="3-65", last="3-68", count=2)]


@pytest.mark.parametrize(
    ("post", "changes"),
    [
        (GAPPED, {"X-Open-DIP-Gap": None}),
        (GAPPED, {"X-Open-DIP-Gap": "3-65;3-68;2,"}),
        (
            GAPPED,
            {"X-Open-DIP-Gap": None, "X-Open-DIP-Sequence": "3-70,3-71;3-68;X-Open-DIP-Gap:,3-65;3-68;2"},
        ),
        (POST, {"X-Open-DIP-Gap": ",3-65;3-68;2"}),
        (POST, {"X-Open-DIP-Gap": ""}),
    ],
)
def test_a_gap_can_be_neither_taken_away_nor_added_nor_moved(router, webhook, post, changes):
    sent = headers(router[1], post=post)
    for name, value in changes.items():
        sent.pop(name, None)
        if value is not None:
            sent[name] = value
    assert webhook.open(sent, BODY, now=NOW).status == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Open-DIP-Delivery", f"T-1>{WHO},T-9>{WHO}"),
        ("X-Open-DIP-Delivery", None),
        ("X-Open-DIP-Attempt", "1"),
        ("X-Open-DIP-Sequence", "3-70,3-71;3-69"),
        ("X-Open-DIP-Sequence", "3-70,3-72;3-68"),
        ("X-Open-DIP-Sequence", None),
        ("X-Open-DIP-Sequence", ""),
        (SIGNED, ""),
        (SIGNED, "v1,,,"),
        (SIGNED, "v2"),
    ],
)
def test_an_altered_header_is_refused(router, webhook, name, value):
    sent = headers(router[1])
    del sent[name]
    if value is not None:
        sent[name] = value
    reply = webhook.open(sent, BODY, now=NOW)
    assert isinstance(reply, Reply)
    assert reply.status == 401
    assert SIGNED in reply.reason


def test_the_signature_of_another_request_does_not_fit(router, webhook):
    """The same ids and sequences under another date: the text of the request itself is covered."""
    sent = headers(router[1])
    sent[SIGNED] = headers(router[1], now=NOW - timedelta(seconds=9))[SIGNED]
    assert webhook.open(sent, BODY, now=NOW).status == 401


def test_a_delegated_key_of_somebody_else_is_refused(router, webhook):
    _, stranger = signer_of("of somebody else")
    sent = headers(router[1])
    signature = {name: value for name, value in sent.items() if "Open" not in name}
    sent[SIGNED] = stranger.extended("POST", URL, signature, extension_headers(POST))[SIGNED]
    reply = webhook.open(sent, BODY, now=NOW)
    assert "is not one of the signing certificate's" in reply.reason


def test_without_the_signature_the_sequences_say_nothing(router, webhook):
    """As from another DIP: the message counts, and what is not signed does not."""
    sent = headers(router[1])
    del sent[SIGNED]
    delivery = webhook.open(sent, BODY, now=NOW)
    assert isinstance(delivery, Delivery)
    assert [one.place for one in delivery.items] == [None, None]


def test_a_retry_has_a_new_date_the_same_ids_and_the_same_sequences(router, webhook):
    later = NOW + timedelta(seconds=3_600)
    first, again = headers(router[1]), headers(router[1], now=later)
    same = ("X-Open-DIP-Delivery", "X-Open-DIP-Sequence", "X-DIP-Content-Hash")
    assert [first[name] for name in same] == [again[name] for name in same]
    assert first["X-DIP-Signature-Date"] != again["X-DIP-Signature-Date"]
    assert isinstance(webhook.open(again, BODY, now=later), Delivery)
    assert webhook.open(first, BODY, now=later).status == 401, "an old delivery that is played again"


def test_the_known_answer_made_with_openssl_is_met():
    """Key, word and signature by `openssl kdf`, `pkeyutl -sign -rawin` and `dgst -sign`."""
    vectors = orjson.loads(Path("tests/contract/signature_vectors.json").read_bytes())
    key = load_pem_private_key(vectors["keys"]["dip"].encode(), None)
    names = ("X-Open-DIP-Delivery", "X-Open-DIP-Attempt", "X-Open-DIP-Sequence")
    extra = dict(zip(names, ("T-1>2300000001", "1", "3-71;3-68"), strict=True))
    signed = b"POST;https://me.example/x;2026-01-05T01:00:00.000Z;hash"
    made = ExtensionKey.of(key).header(signed, extra)
    assert made == f"v1,{KNOWN_SIGNATURE},{KNOWN_KEY},{KNOWN_WORD}"
    assert extension_complaint({**extra, SIGNED: made}, signed, key.public_key()) is None


def test_a_worker_derives_the_same_key_again_and_shows_no_secret(router):
    issued, signer = router
    other = Signer.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)
    assert other.extensions.public == signer.extensions.public
    assert "PRIVATE" not in repr(signer)
    assert "object at" not in repr(signer.extensions)
