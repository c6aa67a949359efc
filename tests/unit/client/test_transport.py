"""Retries: the same bytes, signed anew, never sooner than asked, and never what could start work twice."""

import asyncio

import orjson
import pytest
from aiohttp import web

from pipeline.client import (
    Accepted,
    Call,
    MessageRequest,
    Participant,
    PartlyAccepted,
    Received,
    Refused,
    RetryPolicy,
    Transport,
    Unsettled,
)
from tests.unit.client.conftest import NOW, QUICK

BODY = b'[ {"payload": {}} ]'
TAKEN = {"messageArray": [{"message": "MSG0000 - Success", "transactionID": "T-1"}], "timestamp": "t"}


def answer(status, value=None, **headers):
    body = b"" if value is None else orjson.dumps(value)
    return web.Response(
        status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def hang_up(request):
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again_with_the_same_bytes_and_a_fresh_signature(
    dip, participant, status
):
    dip.script = [answer(status), answer(status), answer(201, TAKEN)]
    outcome = await participant.post_messages("IF-021", BODY)
    assert isinstance(outcome, Accepted)
    assert (outcome.tries, outcome.response.results[0].transaction_id) == (3, "T-1")
    assert [one.body for one in dip.asked] == [BODY] * 3
    assert dip.flaws() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 413, 501, 505])
async def test_what_will_not_change_is_asked_once(dip, participant, status):
    dip.script = [answer(status, X_DIP_Help="change it")]
    outcome = await participant.post_messages("IF-021", BODY)
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.help, len(dip.asked)) == (status, "change it", 1)


async def test_a_lost_connection_is_tried_again(dip, participant):
    dip.script = [hang_up, hang_up, answer(201, TAKEN)]
    outcome = await participant.post_messages("IF-021", BODY)
    assert isinstance(outcome, Accepted)
    assert len(dip.asked) == 3


async def test_a_closed_port_is_tried_until_the_time_is_over_and_then_unsettled(identity):
    transport = Transport(
        "http://127.0.0.1:1",
        tls=None,
        now=lambda: NOW,
        retry=RetryPolicy(wait_s_min=0.01, wait_s_max=0.01, give_up_s=0.2),
    )
    async with transport, Participant("", identity, now=lambda: NOW, transport=transport) as one:
        outcome = await one.post_messages("IF-021", BODY)
    assert isinstance(outcome, Unsettled)
    assert outcome.tries > 1
    assert outcome.status is None
    assert "127.0.0.1" in outcome.reason


async def test_retry_after_is_waited_for_in_full(dip, participant):
    """A shorter wait would take back what the DIP asked for; jitter is only ever added."""
    loop = asyncio.get_running_loop()
    dip.script = [answer(503, Retry_After="1"), answer(201, TAKEN)]
    began_s = loop.time()
    assert isinstance(await participant.post_messages("IF-021", BODY), Accepted)
    assert loop.time() - began_s >= 1


async def test_a_wait_beyond_the_time_given_is_told_instead_of_waited_for(dip, participant):
    dip.script = [answer(429, Retry_After="3000")]
    outcome = await participant.post_messages("IF-021", BODY)
    assert outcome == Unsettled(reason="answered 429", status=429, retry_after_s=3000, tries=1)


@pytest.mark.parametrize("script", [[hang_up], [answer(500)], [answer(502)], [answer(504)]])
async def test_a_requeue_whose_answer_was_lost_is_not_started_twice(dip, participant, script):
    dip.script = script
    outcome = await participant.requeue("IF-021", MessageRequest())
    assert isinstance(outcome, Unsettled)
    assert len(dip.asked) == 1


async def test_a_requeue_while_one_runs_is_refused_at_once(dip, participant):
    dip.script = [answer(429, Retry_After="60")]
    outcome = await participant.requeue("IF-021", MessageRequest())
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.retry_after_s, len(dip.asked)) == (429, 60, 1)


async def test_a_requeue_that_was_surely_not_begun_is_tried_again(dip, participant):
    dip.script = [answer(503), answer(202, "R-1")]
    outcome = await participant.requeue("IF-021", MessageRequest())
    assert (outcome.status, outcome.value, outcome.tries) == (202, "R-1", 2)


async def test_a_207_says_which_were_taken(dip, participant):
    results = [
        {"message": "MSG0000 - Success"},
        {"message": "MSG1001 - Schema Failure", "help": "/1/payload"},
    ]
    dip.script = [answer(207, {"messageArray": results, "timestamp": "t"})]
    outcome = await participant.post_messages("IF-021", BODY, partial=True)
    assert isinstance(outcome, PartlyAccepted)
    assert [one.help for one in outcome.response.refused()] == ["/1/payload"]


async def test_a_201_whose_body_cannot_be_read_is_accepted_all_the_same(dip, participant):
    """The status decides: to send again would be harmless, to report a failure would be wrong."""
    dip.script = [web.Response(status=201, body=b"<ok/>")]
    outcome = await participant.post_messages("IF-021", BODY)
    assert isinstance(outcome, Accepted)
    assert outcome.response.results == ()


async def test_a_207_whose_body_cannot_be_read_settles_nothing(dip, participant):
    dip.script = [web.Response(status=207, body=b"<ok/>")]
    outcome = await participant.post_messages("IF-021", BODY, partial=True)
    assert isinstance(outcome, Unsettled)
    assert outcome.status == 207


async def test_redirects_are_not_followed(dip, participant):
    """What was signed for one address must not be sent to another."""
    dip.script = [answer(307, Location=f"{dip.origin}/elsewhere")]
    outcome = await participant.post_messages("IF-021", BODY)
    assert isinstance(outcome, Refused)
    assert len(dip.asked) == 1


async def test_no_more_calls_than_allowed_are_under_way(dip, identity):
    running, most = 0, 0

    async def slowly(_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return answer(201, TAKEN)

    dip.script = [slowly]
    transport = Transport(dip.origin, tls=None, now=lambda: NOW, retry=QUICK, in_flight_max=3)
    async with transport:
        call = Call(method="POST", path="/x", body=b"[]")
        got = await asyncio.gather(*(transport.send(call, identity.credentials) for _ in range(20)))
    assert all(isinstance(one, Received) for one in got)
    assert most == 3
