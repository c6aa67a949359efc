"""The receiver kit: nothing that is not the DIP's is taken, nothing is taken twice, each message has its answer."""

import base64
import csv
import json
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web
from cryptography import x509
from multidict import CIMultiDict

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.client import (
    TAKEN,
    Delivery,
    Rcp,
    RecentIds,
    Reply,
    SetupWrong,
    SignerTrust,
    SigningKey,
    Verdict,
    Webhook,
    complaint,
    handler,
    receive,
)
from pipeline.client.verdicts import TEXTS
from pipeline.domain.signing import Signer
from tests.unit.client.conftest import NOW

URL = "https://me.example:8443/Messages?x=1"
HEADERS = ["X-DIP-Signature", "X-DIP-Signature-Date", "X-DIP-Content-Hash", "X-DIP-Signature-Certificate"]
NO_MESSAGES = [
    b"",
    b"{}",
    b"[]",
    b"[1]",
    b'[{"payload":{}}]',
    b"[{",
    b'[{"payload":"x"}]',
    b'[{"payload":{"CommonBlock":{"D0":{"transactionID":1},"S1":{"senderUniqueReference":"S"}}}}]',
]
VECTORS = json.loads((Path(__file__).parents[2] / "contract" / "signature_vectors.json").read_text())


@pytest.fixture(scope="session")
def router():
    return CertificateAuthority.create("of the router", now=NOW).issue("router", usage="signing", now=NOW)


@pytest.fixture(scope="session")
def webhook(router):
    return Webhook(recipient="2300000001", url=URL, trust=SignerTrust.of(router.certificate_pem))


def message(number, **d0):
    return {
        "payload": {
            "CommonBlock": {
                "S1": {"senderUniqueReference": f"S-{number}"},
                "D0": {"transactionID": f"T-{number}", "replayIndicator": False, **d0},
            }
        }
    }


def signed(router, body, *, url=URL, now=NOW, **more):
    """Sign with the product's own signer: the kit must take what the router sends."""
    signer = Signer.from_pem(key_pem=router.key_pem, certificate_pem=router.certificate_pem)
    return CIMultiDict({**signer.headers("POST", url, body, now), **more})


def array(*numbers):
    return orjson.dumps([message(one) for one in numbers])


def test_what_the_router_signs_is_opened(router, webhook):
    body = array(1, 2)
    more = {"X-Open-DIP-Delivery": "d1,d2", "X-Open-DIP-Attempt": "3", "X-DIP-MPO": "2300000001"}
    delivery = webhook.open(signed(router, body, **more), body, now=NOW)
    assert isinstance(delivery, Delivery)
    assert [one.delivery_id for one in delivery.items] == ["d1", "d2"]
    assert (delivery.attempt, delivery.participant) == (3, "2300000001")
    assert [one.sender_reference for one in delivery.items] == ["S-1", "S-2"]
    assert not delivery.items[0].is_replay


def test_without_ids_of_the_dip_the_transaction_names_a_message(router, webhook):
    body = array(7)
    delivery = webhook.open(signed(router, body), body, now=NOW)
    assert delivery.items[0].delivery_id == "T-7"


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("wrong", ["", None, "garbage", "AAAA", "\u00e9"])
def test_a_header_that_is_missing_or_wrong_is_401_and_named(router, webhook, header, wrong):
    body = array(1)
    headers = signed(router, body)
    del headers[header]
    if wrong is not None:
        headers[header] = wrong
    reply = webhook.open(headers, body, now=NOW)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (401, b"")
    assert header in reply.reason


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_date_outside_the_skew_is_refused_and_at_its_edge_taken(router, webhook, seconds):
    body = array(1)
    far = signed(router, body, now=NOW + timedelta(seconds=seconds))
    near = signed(router, body, now=NOW + timedelta(seconds=300 if seconds > 0 else -300))
    assert "away from this clock" in webhook.open(far, body, now=NOW).reason
    assert isinstance(webhook.open(near, body, now=NOW), Delivery)


def test_another_body_another_address_and_another_signer_are_noticed(router, webhook):
    body = array(1)
    headers = signed(router, body)
    assert "bytes received" in webhook.open(headers, body + b" ", now=NOW).reason
    elsewhere = signed(router, body, url=URL + "2")
    assert f"checked for POST {URL}" in webhook.open(elsewhere, body, now=NOW).reason
    stranger = CertificateAuthority.create("of the router", now=NOW).issue("router", usage="signing", now=NOW)
    assert "not the DIP's" in webhook.open(signed(stranger, body), body, now=NOW).reason


def test_letter_case_of_the_address_does_not_matter(router, webhook):
    body = array(1)
    assert isinstance(webhook.open(signed(router, body, url=URL.upper()), body, now=NOW), Delivery)


def test_an_expired_pinned_certificate_is_refused(router, webhook):
    body = array(1)
    later = NOW + timedelta(days=1_000)
    assert "not valid today" in webhook.open(signed(router, body, now=later), body, now=later).reason


def test_pinned_certificates_overlap_while_the_router_changes_its_own(router):
    following = CertificateAuthority.create("next", now=NOW).issue("router", usage="signing", now=NOW)
    both = SignerTrust.of(router.certificate_pem, following.certificate_pem)
    body = array(1)
    for one in (router, following):
        headers = signed(one, body)
        assert complaint(headers, method="POST", url=URL, body=body, trust=both, now=NOW) is None


def test_an_authority_that_did_not_issue_the_pinned_certificate_refuses_it(router):
    other = CertificateAuthority.create("of somebody else", now=NOW)
    trust = SignerTrust.of(router.certificate_pem)
    strict = SignerTrust(fingerprints=trust.fingerprints, authorities=(other.certificate,))
    body = array(1)
    found = complaint(signed(router, body), method="POST", url=URL, body=body, trust=strict, now=NOW)
    assert "not issued by an authority" in found


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda one: one["name"])
def test_known_answers_made_with_openssl_are_met_in_both_directions(vector):
    from datetime import datetime

    body = base64.b64decode(vector["body_base64"])
    pem = base64.b64decode(vector["certificate_header"])
    at = datetime.fromisoformat(vector["date"])
    key = SigningKey.from_pem(key_pem=VECTORS["keys"][vector["signer"]].encode(), certificate_pem=pem)
    sent = {
        "X-DIP-Signature": vector["signature"],
        "X-DIP-Content-Hash": vector["content_hash"],
        "X-DIP-Signature-Date": vector["date"],
    }
    if not vector["only_accepted"]:  # what others may send, and nobody of us writes
        made = key.headers(vector["method"], vector["url"], body, now=at)
        assert {name: made[name] for name in sent} == sent
    received = {**sent, "X-DIP-Signature-Certificate": vector["certificate_header"]}
    valid = x509.load_pem_x509_certificate(pem).not_valid_before_utc + timedelta(days=1)
    trust = SignerTrust.of(pem, skew_s=10**10)
    asked = {"method": vector["method"], "url": vector["url"], "trust": trust, "now": valid}
    assert complaint(received, body=body, **asked) is None
    assert complaint(received, body=body + b" ", **asked) is not None


def test_a_key_that_does_not_belong_to_its_certificate_says_so(router, issued):
    with pytest.raises(SetupWrong, match="does not belong"):
        SigningKey.from_pem(key_pem=issued.key_pem, certificate_pem=router.certificate_pem)
    with pytest.raises(SetupWrong, match="private key"):
        SigningKey.from_pem(key_pem=b"x", certificate_pem=router.certificate_pem)
    with pytest.raises(SetupWrong, match=r"nowhere\.key"):
        SigningKey.load(key=Path("nowhere.key"), certificate=Path("nowhere.pem"))


@pytest.mark.parametrize("body", NO_MESSAGES)
def test_what_is_no_array_of_messages_is_400_with_a_reason_in_a_standard_response(router, webhook, body):
    reply = webhook.open(signed(router, body), body, now=NOW)
    assert reply.status == 400
    [told] = orjson.loads(reply.body)["messageArray"]
    assert len(told) == 10
    assert told["message"] == "RCP1001 - Schema failure"


def test_ids_that_do_not_match_the_messages_are_refused(router, webhook):
    """To guess which id belongs to which message would let one be taken twice, or never."""
    body = array(1, 2)
    for ids in ("d1", "d1,d2,d3"):
        reply = webhook.open(signed(router, body, **{"X-Open-DIP-Delivery": ids}), body, now=NOW)
        assert reply.status == 400


def test_a_body_over_the_limit_is_413_before_it_is_hashed(router):
    small = Webhook(recipient="1", url=URL, trust=SignerTrust.of(router.certificate_pem), body_bytes_max=10)
    assert small.open({}, b" " * 11, now=NOW).status == 413


NO = Verdict(code=Rcp.MPAN_UNKNOWN, help="x" * 600)


@pytest.mark.parametrize(
    ("verdicts", "whole", "status", "named"),
    [
        ((TAKEN, TAKEN), False, 201, ["RCP0000", "RCP0000"]),
        ((TAKEN, NO), False, 207, ["RCP0000", "RCP1061"]),
        ((NO, NO), False, 400, ["RCP1061", "RCP1061"]),
        ((TAKEN, NO), True, 400, ["RCP1061"]),
        ((TAKEN, TAKEN), True, 201, ["RCP0000", "RCP0000"]),
    ],
)
def test_the_answer_follows_from_the_verdicts(router, webhook, verdicts, whole, status, named):  # noqa: PLR0917  # a table's columns
    body = array(1, 2)
    delivery = webhook.open(signed(router, body), body, now=NOW)
    reply = delivery.answer(verdicts, now=NOW, whole_or_nothing=whole)
    told = orjson.loads(reply.body)
    assert reply.status == status
    assert [one["message"][:7] for one in told["messageArray"]] == named
    assert all(len(one) == 10 and len(one["help"] or "") <= 500 for one in told["messageArray"])
    assert told["timestamp"] == "2026-01-05T09:30:00+00:00"
    assert told["messageArray"][-1]["transactionID"] == "T-2"


def test_an_answer_for_another_number_of_messages_is_a_mistake_of_the_caller(router, webhook):
    body = array(1, 2)
    delivery = webhook.open(signed(router, body), body, now=NOW)
    with pytest.raises(ValueError, match="2 messages"):
        delivery.answer([TAKEN], now=NOW)


async def test_a_copy_that_comes_again_is_answered_and_not_taken_again(router, webhook):
    taken, memory = [], RecentIds()

    async def take(one):
        taken.append(one.transaction_id)
        return NO if one.transaction_id == "T-2" else TAKEN

    body = array(1, 2)
    for _ in range(3):
        reply = await receive(webhook, signed(router, body), body, take=take, memory=memory, now=lambda: NOW)
        assert reply.status == 207
    assert taken == ["T-1", "T-2", "T-2", "T-2"], "what was refused may be looked at again"


async def test_the_memory_in_memory_is_bounded():
    memory = RecentIds(count_max=3)
    for one in "abcd":
        await memory.keep(one)
    assert [await memory.has(one) for one in "abcd"] == [False, True, True, True]


async def test_status_messages_are_opened_by_their_own_form(router):
    hook = Webhook(recipient="1", url=URL, trust=SignerTrust.of(router.certificate_pem), statuses=True)
    body = orjson.dumps(
        [{"transactionID": "T-1", "senderUniqueReference": None, "message": "MSG1037 - x"}] * 2
    )
    delivery = hook.open(signed(router, body), body, now=NOW)
    assert isinstance(delivery, Delivery)
    assert delivery.items[0].delivery_id == delivery.items[1].delivery_id
    assert delivery.items[0].common == {}


async def test_over_http_a_delivery_is_taken_refused_and_too_large_as_it_should(router):
    stored = []

    async def take(one):
        stored.append(one.transaction_id)
        return TAKEN

    app = web.Application()
    runner = web.AppRunner(app, access_log=None)
    hook = Webhook(recipient="1", url=URL, trust=SignerTrust.of(router.certificate_pem), body_bytes_max=5_000)
    app.router.add_post("/m", handler(hook, take=take, memory=RecentIds(), now=lambda: NOW))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/m"
    body = array(1)
    async with aiohttp.ClientSession() as session:
        for sent, headers, status in [
            (body, signed(router, body), 201),
            (body, {}, 401),
            (b" " * 6_000, {}, 413),
        ]:
            async with session.post(address, data=sent, headers=headers) as response:
                assert response.status == status
    await runner.cleanup()
    assert stored == ["T-1"]


def test_the_codes_are_those_of_the_table():
    text = (files("pipeline.catalogue") / "response_codes.tsv").read_text()
    known = {
        row["code"] for row in csv.DictReader(text.splitlines(), delimiter="\t") if row["family"] == "RCP"
    }
    assert {one.value for one in Rcp} == known
    assert TEXTS.keys() == set(Rcp)
