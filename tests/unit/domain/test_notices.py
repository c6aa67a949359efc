"""What is told of failing endpoints and ending certificates: each thing once, in words that fit a status message."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.explanation import explain
from pipeline.catalogue.facts import load_items
from pipeline.catalogue.notices import load_notice_words, words_of
from pipeline.catalogue.shapes import Record, load_blocks
from pipeline.domain.delivery import ErrorClass, LaneFailure, ParkLane, Retry
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.notices import (
    DAYS,
    SHARES,
    News,
    Notice,
    SeenCertificate,
    Told,
    Topic,
    Trouble,
    Words,
    certificate_news,
    endpoint_news,
    notice_copy,
    recovery_news,
)
from pipeline.domain.parked import LaneKey
from pipeline.limits import NOTICE_AGAIN_S, NOTICE_REMARKS_MAX, NOTICE_SINCE_S
from tests.support.builders import NOW

LANE = LaneKey(recipient=ParticipantId("2300000001"), channel=InterfaceId("IF-021"))
THRESHOLD_S = 72 * 3600.0
TIMEOUT = Retry(error=ErrorClass.TIMEOUT, text="timeout: no answer")
FORBIDDEN = ParkLane(error=ErrorClass.STATUS, text="HTTP 403", status=403)
WORDS: Mapping[Topic, Words] = load_notice_words()
BODY: Record = load_blocks(load_items())["api:StandardResponseBodyType"]


def news(
    known: Told | None, hours: float, failure: LaneFailure = TIMEOUT, *, began: float = 0
) -> News | None:
    """Look at a lane that has failed since an hour, at an hour."""
    trouble = Trouble(lane=LANE, since=NOW + timedelta(hours=began), failure=failure)
    return endpoint_news(known, trouble, now=NOW + timedelta(hours=hours), threshold_s=THRESHOLD_S)


def test_a_hiccup_is_not_written_down() -> None:
    assert news(None, (NOTICE_SINCE_S - 1) / 3600) is None
    found = news(None, NOTICE_SINCE_S / 3600)
    assert found is not None
    assert (found.told.since, found.notices) == (NOW, ())


@pytest.mark.parametrize(("hours", "share"), [(36, 50), (50.4, 70), (64.8, 90), (72, 100), (500, 100)])
def test_each_share_is_told_when_it_is_reached(hours: float, share: int) -> None:
    before = news(None, 35)
    assert before is not None
    found = news(before.told, hours)
    assert found is not None
    assert [one.what for one in found.notices] == [f"{share}%"]
    assert found.notices[0].topic is (Topic.OUT if share == 100 else Topic.FAILING)
    assert news(found.told, hours) is None, "once"


def test_a_restart_makes_no_failure_younger() -> None:
    before = news(None, 30)
    assert before is not None
    found = news(before.told, 37, began=36.5)
    assert found is not None
    assert [one.what for one in found.notices] == ["50%"]


def test_a_new_failure_after_an_answer_is_told_of_anew() -> None:
    first = news(None, 40)
    assert first is not None
    healed = recovery_news(first.told)
    assert healed is not None
    assert healed.recovered
    assert recovery_news(healed.told) is None, "once"
    assert news(healed.told, 60, began=59) is not None
    found = news(healed.told, 59 + 36, began=59)
    assert found is not None
    assert [one.what for one in found.notices] == ["50%"]


def test_a_fault_of_set_up_is_told_at_once_and_then_once_a_day_though_it_comes_and_goes() -> None:
    known, told = None, []
    for minute in range(0, 3 * 1440, 10):
        found = news(known, minute / 60, FORBIDDEN, began=minute / 60)
        if found is not None:
            known, told = found.told, [*told, *((minute, one.what) for one in found.notices)]
        healed = recovery_news(known)
        known = healed.told if healed is not None else known
    assert told == [(0, "setup:403"), (1440, "setup:403"), (2880, "setup:403")]
    assert timedelta(minutes=1440) == timedelta(seconds=NOTICE_AGAIN_S)


def test_our_own_faults_are_nobodys_news() -> None:
    assert news(None, 100, Retry(error=ErrorClass.OURS, text="no file handles", counted=False)) is None


failures = st.sampled_from(
    [TIMEOUT, FORBIDDEN, ParkLane(error=ErrorClass.TLS, text="tls"), Retry(error=ErrorClass.OURS, text="x")]
)


@given(st.lists(st.tuples(st.floats(0.01, 20), st.one_of(failures, st.none()), st.booleans()), max_size=40))
def test_whatever_happens_no_share_is_told_twice_of_one_failure_and_the_record_stays_small(
    looks: list[tuple[float, LaneFailure | None, bool]],
) -> None:
    """Looks at any distance, answers in between, workers that know nothing but the record."""
    known: Told | None = None
    hours, began, told = 0.0, 0.0, Counter[tuple[object, str]]()
    for passed, failure, restarted in looks:
        hours += passed
        found = recovery_news(known) if failure is None else None
        if failure is not None:
            began = hours if restarted else began
            found = news(known, hours, failure, began=began)
        else:
            began = hours
        if found is not None:
            known = found.told
            told.update((known.since, one.what) for one in found.notices if one.what.endswith("%"))
            ids = [
                notice_copy(one, words_of(one, WORDS), told=known, now=NOW).delivery_id
                for one in found.notices
            ]
            assert len(set(ids)) == len(ids)
            assert len(known.told) <= NOTICE_REMARKS_MAX
    assert not told or max(told.values()) == 1


def certificate(days: float, **changes: str) -> SeenCertificate:
    return SeenCertificate(
        topic=Topic.SERVER_CERTIFICATE,
        recipient=LANE.recipient,
        name=changes.get("name", "ab" * 32),
        valid_to=NOW + timedelta(days=days),
    )


def test_a_certificate_is_told_of_at_sixty_thirty_and_seven_days() -> None:
    known, told = None, []
    for day in range(100):
        found = certificate_news(known, certificate(90), now=NOW + timedelta(days=day))
        if found is not None:
            known = found.told
            told.append((90 - day, found.notices[0].what))
    assert told == [(days, f"{days}d") for days in DAYS]


def test_one_that_is_first_seen_late_is_told_of_once_and_its_successor_by_itself() -> None:
    late = certificate_news(None, certificate(5), now=NOW)
    assert late is not None
    assert [one.what for one in late.notices] == ["7d"]
    assert certificate_news(late.told, certificate(5), now=NOW) is None
    successor = certificate_news(None, certificate(5, name="cd" * 32), now=NOW)
    assert successor is not None
    assert successor.told.key != late.told.key


def every_notice(channel: InterfaceId, long: str) -> list[Notice]:
    facts = {"channel": channel, "share": "50 %", "since": long, "threshold": "72 h", "fault": long}
    facts |= {"name": long, "where": long, "until": long, "days": "60"}
    return [
        Notice(topic=topic, recipient=LANE.recipient, channel=channel, what=f"{SHARES[0]}%", facts=facts)
        for topic in Topic
    ]


@pytest.mark.parametrize("text", ["HTTP 503", "x" * 2_000, "tls: ünknown\u2028CA"])
def test_every_notice_fits_the_schema_of_status_messages(text: str) -> None:
    """Test 72 of delivery.md: whatever is reported fits its schema."""
    for notice in every_notice(LANE.channel, text):
        told = Told(recipient=LANE.recipient, channel=LANE.channel, subject="endpoint", since=NOW)
        copy = notice_copy(notice, words_of(notice, WORDS), told=told, now=NOW)
        assert copy.channel == STATUS_CHANNEL
        body = orjson.loads(copy.body)
        assert not list(explain(body, BODY))
        assert body["message"]
        assert "{" not in body["message"] + body["help"]


def test_a_notice_about_the_status_webhook_is_for_operators() -> None:
    """It would go to the very webhook that fails, fail there, and be one more thing to tell of."""
    assert all(one.for_operators_only for one in every_notice(STATUS_CHANNEL, "x"))
    assert not any(one.for_operators_only for one in every_notice(LANE.channel, "x"))
