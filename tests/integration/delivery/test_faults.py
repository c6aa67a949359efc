"""Delivery against everything the fault server can do (delivery.md 9, groups C and D): the real client, no Kafka.

Each recipient has an endpoint with one fault. Whatever the endpoint does, every copy is in one place: delivered,
parked or a dead letter; and the healthy recipient beside them is served while the others hang.
"""

import asyncio
import re
from collections import Counter
from pathlib import Path

import orjson
import pytest

from pipeline.domain.delivery import Answered
from pipeline.domain.envelope import Status
from pipeline.limits import FAULT_NOTICE_S
from pipeline.simulator.hostile.expectation import Expected
from pipeline.simulator.hostile.table import ANSWER_FAULTS, HEALTHY
from tests.integration.delivery.test_webhook import post
from tests.support.fake_engine import START
from tests.support.fault_server import RunningFaults, client_of
from tests.support.fault_world import FAULTS, HEALTHY_BEFORE, HEALTHY_BESIDE, Met, ledger_of, meet_everything

NAMES = tuple(FAULTS)


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Met:
    with RunningFaults(tmp_path_factory.mktemp("faults")) as running:
        return meet_everything(running)


@pytest.mark.parametrize("name", NAMES)
def test_each_copy_that_meets_a_fault_is_in_one_place_and_the_right_one(met: Met, name: str) -> None:
    fault, places, sent = FAULTS[name], met.first[name], [one.delivery_id for one in met.sent[name]]
    assert ledger_of(places) == Counter(sent), (places, met.results.get(name))
    match fault.expected:
        case Expected.DELIVERED:
            refused = sent[1:2] if name.endswith("-marked") else []
            assert places.dead == refused
            assert len(places.delivered) == len(sent) - len(refused)
        case Expected.REJECTED:
            assert places.dead == sent
        case Expected.RETRIED:
            assert [one.attempts for one in places.parked] == [1]
            assert places.tries()[0].status is Status.RETRYING
        case Expected.WAITS:
            assert [one.attempts for one in places.parked] == [1]
            assert places.tries()[0].status is Status.DELIVERY_FAILURE
        case Expected.OURS:
            assert [one.attempts for one in places.parked] == [0], "not held against the recipient"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-marked")])
def test_the_audit_names_what_went_wrong(met: Met, name: str) -> None:
    assert [one.error_class or "" for one in met.first[name].tries()[:1]] == [FAULTS[name].notes], (
        met.results[name]
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_waited_is_delivered_once_the_endpoint_is_mended(met: Met, name: str) -> None:
    """With the same delivery id; what was refused for good is not sent again."""
    places, sent = met.last[name], Counter(one.delivery_id for one in met.sent[name])
    assert ledger_of(places) == sent
    assert not places.parked
    assert places.dead == met.first[name].dead
    assert {one for post in met.posts[name] for one in post.delivery_ids} == set(sent)


def test_the_healthy_are_served_while_everything_else_hangs(met: Met) -> None:
    """A handshake has less time than an answer, and may have ended before the healthy were served."""
    hanging = {name for name, fault in FAULTS.items() if fault.hangs}
    assert met.hung_beside | {"handshake-stalls"} == hanging
    assert len(met.first[HEALTHY.name].delivered) == HEALTHY_BEFORE + HEALTHY_BESIDE


@pytest.mark.parametrize("name", tuple(ANSWER_FAULTS))
def test_no_try_is_missing_in_the_audit_of_what_the_server_saw(met: Met, name: str) -> None:
    """Test 74: each call in the server's own log has its record, with the ids that it carried."""
    ours = {one.delivery_id for one in met.sent[name]}
    seen = Counter(one for call in met.calls for one in call.delivery_ids.split(",") if one in ours)
    told = Counter(one.delivery_id for record in met.last[name].tries() for one in record.copies)
    assert seen == told


@pytest.mark.parametrize("status", ["429", "503"])
@pytest.mark.parametrize(
    ("hint", "least_s", "most_s"),
    [
        ("0", 0, 60),
        ("5", 5, 60),
        ("minus-5", 0, 60),
        ("1e9", 3_600, 36_000),
        ("word", 0, 60),
        ("digits", 3_600, 36_000),
        ("past", 0, 60),
        ("future", 3_600, 36_000),
    ],
)
def test_a_wait_that_is_asked_for_is_kept_within_reason(
    met: Met, status: str, hint: str, least_s: float, most_s: float
) -> None:
    (row,) = met.first[f"{status}-after-{hint}"].parked
    assert least_s <= (row.next_due_at - START).total_seconds() <= most_s


def test_no_text_of_a_recipient_can_forge_a_line_of_a_log(met: Met) -> None:
    """Test 40: reasons are written to logs and shown to people; they are one line without control characters."""
    reasons = [one.reason for places in met.last.values() for one in places.audits if one.reason]
    assert any("INFO all is well" in one for one in reasons), "the text itself is kept"
    assert [one for one in reasons if not one.isprintable()] == []


def test_no_secret_of_a_request_comes_back_out_of_an_answer(met: Met) -> None:
    """Test 41: the endpoint quotes all headers of the call; none of them may reach audit, dead letter or report."""
    (result,) = met.results["echoes-headers"]
    assert isinstance(result, Answered)
    quoted = orjson.loads(result.body)["messageArray"][0]["help"]
    secrets = re.findall(r"(?im)^(?:authorization|x-dip-signature|[a-z-]*signature): *([^\r\n]{20,})", quoted)
    assert secrets
    assert [one for one in secrets if one[:20].encode() in met.written] == []


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_answer_to_the_next_call(
    tmp_path: Path,
) -> None:
    """Or a copy would count as delivered that its recipient never read. Server and client share one loop here."""
    faults = RunningFaults(tmp_path, answers_only=True)
    await faults.server.start()
    client = client_of(faults.settings())
    for round_ in range(3):
        taken = await client.post(post(faults.server.url("answers-twice")))
        assert isinstance(taken, Answered)
        await asyncio.sleep(4 * FAULT_NOTICE_S)
        for _ in range(20):  # what was sent before has arrived when the loop has looked so often
            await asyncio.sleep(0.001)
        refused = await client.post(post(faults.server.url("503-after-5")))
        assert isinstance(refused, Answered)
        assert refused.status == 503, f"round {round_}"
    await client.close()
    await faults.server.close()
