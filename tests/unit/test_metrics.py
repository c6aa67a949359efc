"""Metrics: what is shown is what is documented, bounded, and true of what happened."""

import re
from datetime import timedelta

import pytest

from pipeline.adapters.exposition import exposition
from pipeline.delivery.counters import DeliveryCounters
from pipeline.delivery.ports import Ended
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.domain.envelope import Status
from pipeline.domain.identifiers import ParticipantId
from pipeline.engine.counters import Counters
from pipeline.engine.writer import RoundWork
from pipeline.limits import METRIC_LANES_MAX, METRIC_RECIPIENTS_MAX
from pipeline.metrics import METRICS, OTHER, Kind, Sample, Spread, Tally
from tests.support.bridge import SENDER, array, open_world, reading
from tests.support.fake_engine import FakeParticipants, World, make_copy, make_participants
from tests.support.metrics_page import Figures, figures

REFUSED = Failed(error=ErrorClass.CONNECT, text="connection refused")


def shown(world: World) -> Figures:
    return figures(exposition(world.dispatcher.samples()))


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_names_follow_the_conventions_that_monitors_rely_on(metric) -> None:
    assert re.fullmatch(r"dip_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.kind is not Kind.HISTOGRAM or metric.name.endswith("_seconds")
    assert metric.text
    assert not metric.text.endswith(".")


def test_no_name_is_taken_twice() -> None:
    names = [one.name for one in METRICS]
    assert len(names) == len(set(names))


def test_what_is_not_documented_is_not_shown() -> None:
    with pytest.raises(KeyError):
        exposition([Sample("dip_surprise", 1)])


def test_a_spread_is_read_as_the_histogram_it_is() -> None:
    spread = Spread(bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        spread.note(value)
    found = figures(exposition([Sample("dip_attempt_seconds", spread)]))
    assert found["dip_attempt_seconds_bucket", "1.0"] == 2
    assert found["dip_attempt_seconds_bucket", "2.0"] == 3
    assert found["dip_attempt_seconds_bucket", "+Inf"] == found["dip_attempt_seconds_count",] == 4
    assert found["dip_attempt_seconds_sum",] == 10


def test_labels_that_others_choose_cannot_make_a_worker_grow() -> None:
    tally = Tally(limit=3)
    for number in range(1_000):
        tally.add(f"code {number}")
    tally.add("code 1")
    assert tally.counts == {("code 0",): 1, ("code 1",): 2, ("code 2",): 1, (OTHER,): 997}


def test_ages_have_a_bound_in_recipients() -> None:
    counters = DeliveryCounters()
    for number in range(2 * METRIC_RECIPIENTS_MAX + 50):
        counters.settled([Ended(Status.DELIVERED, ParticipantId(str(number)), 1.0)], 0)
    assert len(counters.ages) == 2 * METRIC_RECIPIENTS_MAX + 1
    assert sum(counters.ages[OTHER, OTHER].counts) == 50


def test_a_round_counts_once_what_it_read_and_wrote() -> None:
    counters, work = Counters(), RoundWork()
    work.read.update({"dip.inbound": 3})
    letter = [("dlq.topic", b"dip.inbound"), ("dlq.code", b"MSG1006")]
    failed = [("dlq.topic", b"dip.inbound"), ("dlq.error", b"ValueError")]
    work.outputs += [
        ("dip.validated", b"x", b"k", -1, None),
        ("dip.dead-letter.validation", b"y", b"k", -1, letter),
        ("dip.dead-letter.validation", b"z", b"k", -1, failed),
        ("dip.audit", b"a", b"k", -1, [("trace", b"1")]),
    ]
    counters.committed(work, 0.0)
    assert counters.read == {"dip.inbound": 3}
    assert counters.written == {"dip.validated": 1, "dip.dead-letter.validation": 2, "dip.audit": 1}
    assert counters.dead_letters.counts == {
        ("dip.dead-letter.validation", "MSG1006"): 1,
        ("dip.dead-letter.validation", "exception"): 1,
    }
    assert (counters.rounds, counters.records, sum(counters.commits.counts)) == (1, 3, 1)


async def test_delivery_shows_what_became_of_every_copy() -> None:
    """Delivered at once, delivered after a wait, and given up: with ages since acceptance."""
    world = World(people=FakeParticipants(make_participants("2300000001", "2300000002")))
    world.webhooks.then("2300000002", *[REFUSED] * 3, Answered(status=201))
    await world.own()
    world.send(make_copy(1, recipient="2300000001"), make_copy(2, recipient="2300000002"))
    await world.settle_down()
    early = shown(world)
    assert early["dip_copies_total", "Delivered"] == 1
    assert early["dip_copies_parked_total",] == early["dip_copies_parked",] == 1
    assert early["dip_lanes", "waiting"] == early["dip_lanes", "healthy"] == 1
    assert early["dip_attempts_total", "settled", "2xx"] == 1
    assert early["dip_attempts_total", "retry", "connect"] >= 1
    assert early["dip_lane_failures", "2300000002", "IF-021"] >= 1
    assert early["dip_lane_parked", "2300000002", "IF-021"] == 1

    for _ in range(8):
        await world.pass_time(120)
    late = shown(world)
    assert late["dip_copies_total", "Delivered"] == 2
    assert late["dip_copies_parked_total",] == 1, "a row that is kept again is not parked again"
    assert late["dip_copies_parked",] == 0
    assert late["dip_delivery_age_seconds_count", "2300000001", "direct"] == 1
    assert late["dip_delivery_age_seconds_count", "2300000002", "parked"] == 1
    assert late["dip_delivery_age_seconds_sum", "2300000002", "parked"] >= 120
    assert late["dip_lane_parked", "2300000002", "IF-021"] == 0
    assert ("dip_lane_parked", "2300000001", "IF-021") not in late, "lanes that are well have no series"


async def test_an_old_row_shows_its_age_and_an_old_copy_too() -> None:
    world = World()
    world.webhooks.then("2300000001", *[REFUSED] * 50)
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    world.clock.forward(timedelta(hours=2).total_seconds())
    found = shown(world)
    assert found["dip_lane_oldest_parked_seconds", "2300000001", "IF-021"] == pytest.approx(7_200, abs=5)
    assert found["dip_unsettled_oldest_seconds",] == 0, "a parked copy is durable"

    world = World()
    release = world.webhooks.hold("2300000001")
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    world.clock.forward(40)
    assert shown(world)["dip_unsettled_oldest_seconds",] >= 40
    release.set()
    await world.settle_down()


async def test_copies_that_are_given_up_are_counted_by_why() -> None:
    world = World()
    world.webhooks.then("2300000001", Answered(status=400))
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    assert shown(world)["dip_copies_total", "RejectedByRecipient"] == 1


async def test_lanes_in_trouble_are_shown_up_to_a_bound() -> None:
    names = [f"23000{number:05}" for number in range(METRIC_LANES_MAX + 7)]
    world = World(people=FakeParticipants(make_participants(*names)))
    for name in names:
        world.webhooks.then(name, *[REFUSED] * 20)
    await world.own()
    world.send(*(make_copy(number, recipient=name) for number, name in enumerate(names)))
    await world.settle_down(300)
    found = shown(world)
    assert found["dip_lanes", "waiting"] == len(names)
    assert sum(name[0] == "dip_lane_parked" for name in found) == METRIC_LANES_MAX


async def test_the_bridge_counts_messages_by_what_became_of_them() -> None:
    world = await open_world()
    await world.post(array(reading(1), reading(2)))
    await world.post(array(reading(3), reading(4, senderTimestamp="yesterday")))
    found = figures(exposition(world.bridge.entrance.samples()))
    await world.close()
    assert found["dip_bridge_accepted_total",] == 2
    assert sum(value for name, value in found.items() if name[0] == "dip_bridge_rejected_total") == 1
    assert (found["dip_bridge_answers_total", "201"], found["dip_bridge_answers_total", "400"]) == (1, 1)
    assert found["dip_bridge_request_seconds_count",] == 2
    assert found["dip_bridge_participant_requests_total", SENDER.id, "400"] == 1
    assert found["dip_bridge_participant_bytes_total", SENDER.id] > 2_000
