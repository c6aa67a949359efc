"""Every call of the protocol: the right method, path, query, body and headers, and what its answer becomes."""

from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web

from pipeline.client import (
    Done,
    MessageRequest,
    Refused,
    StatusMessageRequest,
    Unsettled,
    WebhookConfig,
    array_of,
)
from tests.support.fact_interpreter import table

FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
STATUSES = StatusMessageRequest(since=FROM, until=UNTIL, transaction_id="T-1")
HOOK = WebhookConfig(callback_url="https://me.example/x", message_count_max=10, payload_kbytes_max=500)
REFERENCE = "S-IF-021-1400000001-SDS-20260105-a1"
ME = "1400000001"
WORDS = {
    "dip-channel", "pubconfig", "replay", "requeue", "requeueStatus", "deliveryStatus", "statusmessage", "config",
    "companyDetails", "validate",
}  # fmt: skip

CALLS = {
    "validate": (
        lambda one: one.validate("IF-021", "ActivePower", b"[1]"), "POST", "/validate/IF-021/ActivePower", b"[1]",
    ),
    "configure webhook": (
        lambda one: one.configure_webhook("IF-021", HOOK), "POST", f"/dip-channel/IF-021/pubconfig/{ME}",
        {"callbackURL": "https://me.example/x", "maxMessageCount": 10, "maxPayloadSize": 500},
    ),
    "configure webhook of another": (
        lambda one: one.configure_webhook("IF-021", WebhookConfig(callback_url="https://x"), recipient="2300000001"),
        "POST", "/dip-channel/IF-021/pubconfig/2300000001", {"callbackURL": "https://x"},
    ),
    "delete webhook": (
        lambda one: one.delete_webhook("IF-021"), "DELETE", f"/dip-channel/IF-021/pubconfig/{ME}", b"",
    ),
    "configure status webhook": (
        lambda one: one.configure_status_webhook(WebhookConfig(callback_url="https://x")), "POST",
        f"/statusmessage/config/{ME}", {"callbackURL": "https://x"},
    ),
    "delete status webhook": (
        lambda one: one.delete_status_webhook(), "DELETE", f"/statusmessage/config/{ME}", b"",
    ),
    "replay": (
        lambda one: one.replay("IF-021", MessageRequest(since=FROM, mpan="2000056535971")), "POST",
        f"/dip-channel/IF-021/replay/{ME}",
        {"datetimeFrom": "2026-01-01T00:00:00+00:00", "datetimeTo": None, "eventCode": None,
         "MPAN": "2000056535971", "version": None},
    ),
    "replay of status messages": (
        lambda one: one.replay_statuses(STATUSES), "POST", f"/statusmessage/replay/{ME}",
        {"datetimeFrom": "2026-01-01T00:00:00+00:00", "datetimeTo": "2026-01-02T00:00:00+00:00",
         "transactionID": "T-1"},
    ),
    "requeue": (
        lambda one: one.requeue("IF-021", MessageRequest(transaction_ids=("T-1",))), "POST",
        f"/dip-channel/IF-021/requeue/{ME}",
        {"datetimeFrom": None, "datetimeTo": None, "eventCode": None, "MPAN": None, "version": None,
         "transactionIDs": ["T-1"]},
    ),
    "requeue of status messages": (
        lambda one: one.requeue_statuses(STATUSES), "POST", f"/statusmessage/requeue/{ME}",
        {"datetimeFrom": "2026-01-01T00:00:00+00:00", "datetimeTo": "2026-01-02T00:00:00+00:00",
         "transactionID": "T-1"},
    ),
    "requeue status": (
        lambda one: one.requeue_status("IF-021", requeue_id="a b"), "GET",
        f"/dip-channel/IF-021/requeueStatus/{ME}?requeue-id=a+b", b"",
    ),
    "requeue status of status messages": (
        lambda one: one.status_requeue_status(), "GET", f"/statusmessage/requeueStatus/{ME}", b"",
    ),
    "delivery status": (
        lambda one: one.delivery_status("IF-021", REFERENCE), "GET",
        f"/dip-channel/IF-021/deliveryStatus/{ME}/{REFERENCE}", b"",
    ),
    "all companies": (lambda one: one.companies(), "GET", "/companyDetails", b""),
    "one company": (
        lambda one: one.companies("01234567"), "GET", "/companyDetails?X-company-number=01234567", b"",
    ),
    "declare company": (
        lambda one: one.declare_company(number="01234567", mpid="ABCD", market_role="X", dip_role="SUP"), "POST",
        "/companyDetails?X-company-number=01234567&X-MPID=ABCD&X-market-role=X&X-DIP-role=SUP", b"",
    ),
    "status messages": (lambda one: one.post_statuses(b"[2]"), "POST", "/statusmessage", b"[2]"),
    "messages": (lambda one: one.post_messages("IF-021", b"[3]"), "POST", "/dip-channel/IF-021", b"[3]"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_goes_where_the_protocol_says_with_its_parameters(dip, participant, name):
    call, method, target, body = CALLS[name]
    dip.script = [web.Response(status=403)]
    outcome = await call(participant)
    assert isinstance(outcome, Refused)
    [asked] = dip.asked
    assert (asked.method, asked.target) == (method, target)
    assert (asked.body if isinstance(body, bytes) else orjson.loads(asked.body)) == body
    assert asked.headers["X-API-Key"] == "k" * 20
    assert asked.headers.get("Content-Type") == ("application/json" if asked.body else None)
    if name == "validate":
        assert "X-DIP-Signature" not in asked.headers, "this call lists only the key"
    else:
        assert dip.flaws() == []


def test_every_published_call_to_the_dip_is_here():
    """By the fact table: a new row that the client has no method for is named."""
    ours = {(method, *_form(target)) for _, method, target, _ in CALLS.values()}
    published = {
        (row["method"], *_form(row["path"])) for row in table("endpoints.tsv") if row["direction"] == "to DIP"
    }
    assert published - ours == set()


def _form(path):
    """Return what is left of a path without its parameters: its length and its fixed words."""
    parts = path.split("?")[0].split("/")
    return len(parts), *(one for one in parts if one in WORDS)


async def answered(dip, participant, call, status, body=b"", **headers):
    dip.script = [web.Response(status=status, body=body, headers=headers)]
    return await call(participant)


async def test_validation_gives_the_dips_text(dip, participant):
    call = CALLS["validate"][0]
    outcome = await answered(dip, participant, call, 201, b'"valid"')
    assert outcome == Done(status=201, value="valid")
    outcome = await answered(dip, participant, call, 400, b'"S1 is missing"')
    assert isinstance(outcome, Refused)
    assert outcome.help == "S1 is missing"


async def test_a_replay_is_read_page_by_page(dip, participant):
    dip.script = [
        web.Response(status=206, body=b'[{"payload":{}}]', headers={"X-Continuation-Token": "next"}),
        web.Response(status=200, body=b"[]"),
    ]
    request = MessageRequest()
    first = await participant.replay("IF-021", request)
    assert (first.status, first.value.items, first.value.continuation) == (206, ({"payload": {}},), "next")
    last = await participant.replay("IF-021", request, continuation=first.value.continuation)
    assert (last.value.items, last.value.continuation) == ((), None)
    assert dip.asked[1].headers["X-Continuation-Token"] == "next"


async def test_requeues_are_told_with_their_progress_and_204_means_none(dip, participant):
    call = CALLS["requeue status"][0]
    row = {"requeueId": "R", "percentComplete": 50, "totalTransactions": 4, "processedTransactions": 2,
           "status": "Processing"}  # fmt: skip
    outcome = await answered(dip, participant, call, 200, orjson.dumps([row]))
    [progress] = outcome.value
    assert (progress.requeue_id, progress.transactions_done, progress.status) == ("R", 2, "Processing")
    assert (await answered(dip, participant, call, 204)).value == ()


async def test_the_older_requeue_answers_200_without_an_id(dip, participant):
    outcome = await answered(dip, participant, CALLS["requeue"][0], 200)
    assert outcome == Done(status=200, value=None)


async def test_a_journal_record_is_read_and_204_means_that_nothing_is_known(dip, participant):
    call = CALLS["delivery status"][0]
    record = {
        "SentDateTime": "2026-07-01 09:58:08.692",
        "Interface": "IF-021",
        "SenderUniqueReference": REFERENCE,
        "DIPTransactionID": "T-1",
        "MPANCore": "2000056535971",
        "JournalEntries": [{"DIPStage": "Inbound"}],
    }
    outcome = await answered(dip, participant, call, 200, orjson.dumps(record))
    assert outcome.value.entries == ({"DIPStage": "Inbound"},)
    assert (await answered(dip, participant, call, 204)).value is None


@pytest.mark.parametrize("wrapped", [True, False])
async def test_companies_are_read_with_and_without_the_payload_of_the_schema(dip, participant, wrapped):
    role = {
        "MPID": "ABCD",
        "marketRole": "X",
        "DIPID": None,
        "DIPRole": "SUP",
        "datetimeFrom": "f",
        "datetimeTo": None,
    }
    row = {"companyRegNumber": "01234567", "companyName": "A company", "companyDetails": [role]}
    body = orjson.dumps([{"payload": row} if wrapped else row])
    outcome = await answered(dip, participant, CALLS["all companies"][0], 200, body)
    [company] = outcome.value
    assert (company.number, company.roles[0].dip_role, company.roles[0].until) == ("01234567", "SUP", None)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"\xff", b'"text"'])
async def test_a_success_in_another_form_than_published_settles_nothing(dip, participant, body):
    outcome = await answered(dip, participant, CALLS["all companies"][0], 200, body)
    assert isinstance(outcome, Unsettled)


async def test_a_refusal_has_the_code_and_the_help_of_its_first_body(dip, participant):
    bodies = [{"message": "MSG1001 -Schema Failure", "help": "/0/payload: is missing"}]
    body = orjson.dumps({"messageArray": bodies, "timestamp": "t"})
    outcome = await answered(dip, participant, CALLS["messages"][0], 400, body)
    assert outcome.codes() == {"MSG1001"}
    assert outcome.help == "MSG1001 -Schema Failure; /0/payload: is missing"


def test_the_header_block_names_the_identity(identity):
    at = datetime(2026, 1, 5, 9, 30, 1, 999, tzinfo=UTC)
    reference = identity.reference("IF-021", at=at, sequence="a1")
    assert reference == REFERENCE
    block = identity.sender_block(reference, at=at, environment="UIT")
    assert len(block) == 8
    assert (block["senderTimestamp"], block["senderDIPID"]) == ("2026-01-05T09:30:01+00:00", ME)


def test_secrets_do_not_show(identity):
    assert "kkkk" not in repr(identity)
    assert "PRIVATE" not in repr(identity)


def test_an_array_is_bytes_that_can_be_kept():
    assert array_of({"a": n} for n in (1, 2)) == b'[{"a":1},{"a":2}]'
