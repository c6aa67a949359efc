"""The report counts what happened, and its percentiles are those of the sorted list."""

import math
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.monitoring import Monitoring, Spread

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


@given(st.lists(st.integers(0, 2_000_000), min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.99, 1.0)))
def test_percentiles_are_the_nearest_rank_exact_to_a_millisecond_or_a_second_beyond_a_minute(values, share):
    spread = Spread()
    for value in values:
        spread.note(value)
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    found = spread.percentile(share)
    assert found == exact if exact <= 60_000 else exact <= found < exact + 1_000
    assert spread.share_within(3_000) == sum(one <= 3_000 for one in values) / len(values)


def test_of_nothing_there_are_no_percentiles():
    assert Spread().percentile(0.9) is None
    assert Spread().share_within(1) is None


def post(recipient: str, ages_s: list[float], *, status: str = "Delivered", attempt: int | None = 1, **more):
    copies = [
        {"delivery_id": f"T>{recipient}", "sender_id": "S", "received_at": AT - timedelta(seconds=age)}
        for age in ages_s
    ]
    return {
        "at": AT,
        "stage": "Outbound",
        "status": status,
        "recipient": recipient,
        "channel": "IF-021",
        "attempt": attempt,
        "copies": copies,
        **more,
    }


def said(stage: str, status: str, **more):
    return {
        "at": AT,
        "stage": stage,
        "status": status,
        "transaction_id": "T",
        "sender_id": "S",
        "interface": "IF-021",
        **more,
    }


def rows(*records, **narrow):
    monitoring = Monitoring(**narrow)
    for one in records:
        monitoring.take(one)
    return {(one["participant"], one["part"], one["channel"]): one for one in monitoring.rows()}


def test_messages_count_for_their_sender_once_each():
    found = rows(
        said("Inbound", "GoodToGo"),
        said("Inbound", "GoodToGo"),
        said("Inbound", "GoodToGo", duplicate=True),
        said("Inbound", "InboundRuleFailure", code="MSG1006"),
        said("Addressing", "SentToTopic", addressees=[{"recipient": "A"}]),
        said("Addressing", "Failed", code="MSG1037"),
        said("MPANUpdateQueue", "OK"),
    )
    (row,) = found.values()
    assert (row["accepted"], row["repeated"], row["refused"], row["unrouted"]) == (2, 1, 1, 1)
    assert row["codes"] == {"MSG1006": 1, "MSG1037": 1}


def test_posts_count_for_recipient_and_sender_with_the_age_of_each_copy():
    found = rows(
        post("A", [0.5, 2.0, 4.0]),
        post("A", [40.0], status="Retrying", status_code=503, error_class="theirs"),
        post("A", [50.0], attempt=2),
        post("A", [1.0], status="Paused", attempt=None),
    )
    recipient, sender = found["A", "recipient", "IF-021"], found["S", "sender", "IF-021"]
    for row in (recipient, sender):
        assert (row["delivered"], row["tries"], row["failed_tries"]) == (4, 5, 1)
        assert (row["latency_p50_ms"], row["latency_max_ms"]) == (2_000, 50_000)
        assert row["within_3_s"] == 0.5
        assert row["first_try_within_30_s"] == 0.75
        assert row["meets_3_s"] is row["meets_30_s"] is False
        assert row["codes"] == {"503": 1}
    assert (recipient["calls"], recipient["calls_refused"]) == (3, 1)


def test_what_a_recipient_will_not_get_counts_for_both_and_status_messages_for_no_sender():
    given_up = said("StatusMessage", "OK", recipient="A", code="RCP1063")
    lost_report = said("StatusMessage", "Exception", recipient="S", interface=None)
    found = rows(given_up, lost_report, post("S", [1.0]) | {"channel": "status"})
    assert found["A", "recipient", "IF-021"]["given_up"] == 1
    assert found["S", "sender", "IF-021"]["given_up"] == 1
    assert found["S", "recipient", "status"]["given_up"] == 1
    assert ("S", "sender", "status") not in found


def test_refused_calls_count_with_those_that_were_not_recorded():
    call = {
        "at": AT,
        "stage": "Inbound",
        "status": "InboundRuleFailure",
        "status_code": 400,
        "sender_id": "S",
    }
    found = rows(call | {"code": "MSG1001", "channel": "IF-021", "left_out": 4, "messages": 3})
    row = found["S", "sender", "IF-021"]
    assert (row["calls"], row["calls_refused"], row["codes"]) == (5, 5, {"MSG1001": 3})


@pytest.mark.parametrize(
    ("narrow", "expected"), [({"participant": "A"}, {"A"}), ({"channel": "IF-001"}, set())]
)
def test_it_can_be_narrowed(narrow, expected):
    assert {key[0] for key in rows(post("A", [1.0]), post("B", [1.0]), **narrow)} == expected


def test_the_order_of_records_does_not_matter():
    rng = Random(1)
    records = [post(rng.choice("AB"), [rng.random() * 9]) for _ in range(50)] + [
        said("Inbound", "GoodToGo")
    ] * 9
    shuffled = records[:]
    rng.shuffle(shuffled)
    assert rows(*records) == rows(*shuffled)
