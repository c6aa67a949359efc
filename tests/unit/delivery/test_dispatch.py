"""Lanes at work: what happens to copies when recipients behave, misbehave and come back."""

import asyncio
from datetime import timedelta

import orjson
import pytest

from pipeline.domain.attempt_times import Timings
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Schedule
from pipeline.domain.envelope import Stage, Status
from pipeline.domain.identifiers import DeliveryId
from pipeline.limits import BATCH_MESSAGES_MAX, LANE_COPIES_MAX, WINDOW_COPIES_MAX
from tests.support.fake_engine import (
    DEAD,
    START,
    STATUS,
    FakeParticipants,
    World,
    make_copy,
    make_participants,
)

REFUSED = Failed(error=ErrorClass.CONNECT, text="connection refused")
DOWN = Answered(status=503)
OK = Answered(status=201)


def sent(world: World) -> list[DeliveryId]:
    return [one for post in world.webhooks.posts for one in post.delivery_ids]


async def test_a_healthy_recipient_gets_one_array_and_its_offsets_are_committed() -> None:
    world = World()
    await world.own()
    world.send(*(make_copy(number) for number in range(10)))
    await world.settle_down()
    assert [len(post.bodies) for post in world.webhooks.posts] == [10]
    assert world.engine.committed("dip.outbound", 0) == 10
    assert world.engine.parked() == []
    (audit,) = world.engine.audits()
    assert (audit.status, audit.status_code, audit.attempt, len(audit.copies)) == (
        Status.DELIVERED,
        201,
        1,
        10,
    )
    assert world.dispatcher.figures().copies == 0


async def test_arrays_honour_what_the_recipient_registered() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=3, payload_kb_max=0.2))
    world = World(people=people)
    await world.own()
    world.send(*(make_copy(number, size=90) for number in range(7)), make_copy(8, size=500))
    await world.settle_down()
    sizes = [2 + sum(map(len, post.bodies)) + len(post.bodies) - 1 for post in world.webhooks.posts]
    assert all(
        size <= 200 or len(post.bodies) == 1 for size, post in zip(sizes, world.webhooks.posts, strict=True)
    )
    assert all(len(post.bodies) <= 3 for post in world.webhooks.posts)
    assert len(sent(world)) == 8


async def test_a_lane_never_has_more_calls_under_way_than_it_may() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people, lane_in_flight_max=3)
    await world.own()
    gate = world.webhooks.hold("2300000001")
    world.send(*(make_copy(number) for number in range(20)))
    await world.settle_down()
    assert len(world.webhooks.posts) == 3
    gate.set()
    await world.settle_down()
    assert len(world.webhooks.taken) == 20
    assert world.webhooks.most_under_way == {"2300000001": 3}


async def test_the_worker_never_has_more_calls_under_way_than_it_may_and_all_lanes_get_their_turn() -> None:
    names = [f"23000000{number:02d}" for number in range(10)]
    world = World(people=FakeParticipants(make_participants(*names)), in_flight_max=4)
    await world.own()
    gates = [world.webhooks.hold(name) for name in names]
    world.send(*(make_copy(number, recipient=name) for number, name in enumerate(names)))
    await world.settle_down()
    assert len(world.webhooks.posts) == 4
    for gate in gates:
        gate.set()
    await world.settle_down()
    assert len(world.webhooks.taken) == 10


async def test_a_failed_array_is_parked_whole_and_its_offsets_move_on() -> None:
    """A dead recipient must not hold back the offsets of everybody else."""
    world = World()
    world.webhooks.then("2300000001", REFUSED)
    await world.own()
    world.send(*(make_copy(number) for number in range(5)))
    await world.settle_down()
    assert world.engine.committed("dip.outbound", 0) == 5
    assert len(world.engine.parked()) == 5
    (audit,) = world.engine.audits()
    assert (audit.status, audit.error_class, audit.attempt) == (Status.RETRYING, "connect", 1)
    assert {row.attempts for row in world.engine.table[0].values()} == {1}


async def test_a_failing_lane_parks_arrivals_without_calling() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN)
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    world.send(*(make_copy(number) for number in range(2, 50)))
    await world.settle_down()
    assert len(world.webhooks.posts) == 1
    assert len(world.engine.parked()) == 49
    assert world.engine.committed("dip.outbound", 0) == 49
    assert world.dispatcher.figures().unsettled == 0


async def test_a_dead_lane_costs_one_message_per_step_of_the_schedule_not_one_per_copy() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN)
    await world.own()
    world.send(*(make_copy(number) for number in range(300)))
    await world.settle_down()
    before = len(world.webhooks.posts)
    for _ in range(4):
        await world.pass_time(700)
    probes = world.webhooks.posts[before:]
    assert [len(post.bodies) for post in probes] == [1, 1, 1, 1]
    assert len(world.engine.parked()) == 300
    # The oldest copy is the one that is tried: its tries are on its row.
    assert max(row.attempts for row in world.engine.table[0].values()) >= 4


async def test_a_recipient_that_returns_is_ramped_up_and_gets_everything_oldest_first() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN)
    await world.own()
    world.send(*(make_copy(number) for number in range(400)))
    await world.settle_down()
    world.webhooks.then("2300000001", OK)
    tried = len(world.webhooks.posts)
    await world.pass_time(700)
    for _ in range(10):
        await world.settle_down()
    sizes = [len(post.bodies) for post in world.webhooks.posts[tried:]]
    assert sizes[:3] == [1, 2, 4]
    assert all(size <= min(2**number, BATCH_MESSAGES_MAX) for number, size in enumerate(sizes))
    assert max(sizes) > 50
    assert [one for _, one in world.webhooks.taken] == [
        make_copy(number).delivery_id for number in range(400)
    ]
    assert world.engine.parked() == []
    assert world.dispatcher.figures().parked == 0


async def test_after_draining_the_lane_sends_straight_from_its_topic_again() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN, OK)
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    await world.pass_time(5)
    read = len(world.engine.read)
    world.send(make_copy(2))
    await world.settle_down()
    assert len(world.webhooks.taken) == 2
    assert len(world.engine.read) == read, "the second copy did not go through the table"


async def test_one_bad_message_of_an_array_is_found_and_the_others_are_delivered() -> None:
    """An array may hold messages of other senders; they must not pay for one."""
    bad = make_copy(37)
    world = World()

    class OneBad(type(world.webhooks)):  # type: ignore[misc]
        def result(self, post):
            return Answered(status=400) if bad.delivery_id in post.delivery_ids else OK

    world.webhooks = OneBad()
    world.dispatcher = world.make()
    await world.own()
    world.send(*(make_copy(number) for number in range(64)))
    for _ in range(5):
        await world.settle_down()
    assert len(world.webhooks.taken) == 63
    (letter,) = world.engine.dead()
    headers = dict(letter.headers)
    assert headers["dlq.status"] == b"RejectedByRecipient"
    assert headers["dlq.http"] == b"400"
    assert headers["dlq.stage"] == b"Outbound"
    assert len(world.webhooks.posts) <= 1 + 2 * 6 + 1
    assert world.engine.committed("dip.outbound", 0) == 64
    # Every attempt is in the audit: the refused arrays, too.
    assert sum(one.status is Status.RETRYING for one in world.engine.audits()) == 6


async def test_a_207_settles_each_message_by_its_own_body_and_repeats_only_the_silent_one() -> None:
    bodies = [
        {"transactionID": "T-000001", "senderUniqueReference": "S-000001", "message": "RCP0000 - Taken"},
        {"transactionID": "T-000002", "message": "RCP1061 - MPAN unknown", "help": "not ours"},
    ]
    world = World()
    partly = Answered(status=207, body=orjson.dumps({"messageArray": bodies}))
    world.webhooks.then("2300000001", partly, OK)
    await world.own()
    world.send(make_copy(1), make_copy(2), make_copy(3))
    await world.settle_down()
    assert [post.delivery_ids for post in world.webhooks.posts[1:]] == [(make_copy(3).delivery_id,)]
    (letter,) = world.engine.dead()
    assert dict(letter.headers)["dlq.code"] == b"RCP1061"
    assert dict(letter.headers)["dlq.text"] == b"RCP1061 - MPAN unknown (not ours)"
    assert world.engine.committed("dip.outbound", 0) == 3
    by_status = {one.status: one for one in world.engine.audits()}
    assert by_status[Status.DELIVERED].status_code in {201, 207}
    assert by_status[Status.REJECTED_BY_RECIPIENT].code == "RCP1061"


@pytest.mark.parametrize("status", [401, 403, 404, 410, 302])
async def test_a_wrong_set_up_parks_the_lane_on_the_slow_schedule_and_loses_nothing(status: int) -> None:
    world = World()
    world.webhooks.then("2300000001", Answered(status=status))
    await world.own()
    world.send(*(make_copy(number) for number in range(3)))
    await world.settle_down()
    assert len(world.engine.parked()) == 3
    assert world.engine.dead() == []
    await world.pass_time(40)
    assert len(world.webhooks.posts) == 1, "the slow schedule begins at a minute"
    await world.pass_time(40)
    assert len(world.webhooks.posts) == 2


async def test_retry_after_is_waited_for() -> None:
    world = World()
    world.webhooks.then("2300000001", Answered(status=429, retry_after="120"), OK)
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    await world.pass_time(119)
    assert len(world.webhooks.posts) == 1
    await world.pass_time(1)
    assert len(world.webhooks.taken) == 1


async def test_what_is_our_fault_is_not_counted_against_the_copy() -> None:
    world = World()
    world.webhooks.then("2300000001", Failed(error=ErrorClass.OURS, text="no resolver"))
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    (row,) = world.engine.table[0].values()
    assert row.attempts == 0


async def test_a_copy_whose_hold_ended_goes_to_the_dead_letters_with_a_report() -> None:
    world = World(schedule=Schedule(delays_s=(0, 60), hold_s=3_600))
    world.webhooks.then("2300000001", DOWN)
    await world.own()
    world.send(*(make_copy(number) for number in range(25)))
    await world.settle_down()
    young = make_copy(99, at=START + timedelta(seconds=3_000))
    world.send(young)
    await world.settle_down()
    for _ in range(4):
        await world.pass_time(1_000)
    for _ in range(5):
        await world.settle_down()
    assert len(world.engine.dead()) == 25
    assert {dict(one.headers)["dlq.status"] for one in world.engine.dead()} == {b"RetriesExhausted"}
    assert world.engine.parked() == [young.delivery_id]


async def test_a_status_message_is_audited_in_the_words_of_its_stage() -> None:
    """StatusMessage knows no RejectedByRecipient (protocol.md 8)."""
    world = World()
    world.webhooks.then("2300000001", Answered(status=400))
    await world.own()
    world.send(make_copy(1, channel="status"), topic=STATUS)
    await world.settle_down()
    (audit,) = world.engine.audits()
    assert (audit.stage, audit.status) == (Stage.STATUS_MESSAGE, Status.DELIVERY_FAILURE)
    assert dict(world.engine.dead()[0].headers)["dlq.stage"] == b"StatusMessage"


async def test_a_recipient_without_webhook_is_parked_for_and_served_when_it_registers() -> None:
    world = World(people=FakeParticipants(make_participants()))
    await world.own()
    world.send(make_copy(1), make_copy(2))
    await world.settle_down()
    assert len(world.engine.parked()) == 2
    assert {row.reason for row in world.engine.table[0].values()} == {
        "waits in turn: not among the participants"
    }
    world.people.picture = make_participants("2300000001")
    await world.pass_time(1)
    assert len(world.webhooks.taken) == 2
    assert world.engine.parked() == []


async def test_one_dead_recipient_does_not_delay_the_healthy_ones() -> None:
    """A black hole holds its own calls open; the others are served meanwhile."""
    names = [f"23000000{number:02d}" for number in range(8)]
    world = World(people=FakeParticipants(make_participants(*names)))
    await world.own()
    world.webhooks.hold(names[0])
    world.send(*(make_copy(number, recipient=names[number % 8]) for number in range(160)))
    for _ in range(3):
        await world.settle_down()
    assert len(world.webhooks.taken) == 140
    assert all(recipient != names[0] for recipient, _ in world.webhooks.taken)


async def test_copies_that_wait_for_five_seconds_are_parked_and_still_delivered_in_turn() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people, lane_in_flight_max=1)
    await world.own()
    gate = world.webhooks.hold("2300000001")
    world.send(*(make_copy(number) for number in range(10)))
    await world.settle_down()
    await world.pass_time(6)
    assert len(world.engine.parked()) == 9
    assert world.engine.unsettled["dip.outbound", 0] == {0}
    gate.set()
    for _ in range(10):
        await world.settle_down()
    assert [one for _, one in world.webhooks.taken] == [make_copy(number).delivery_id for number in range(10)]
    assert world.engine.parked() == []


async def test_a_full_lane_parks_what_more_arrives() -> None:
    world = World()
    await world.own()
    gate = world.webhooks.hold("2300000001")
    world.send(*(make_copy(number) for number in range(LANE_COPIES_MAX + 50)))
    await world.settle_down()
    assert len(world.engine.parked()) == 50
    gate.set()
    for _ in range(20):
        await world.settle_down()
    assert len(world.webhooks.taken) == LANE_COPIES_MAX + 50
    assert world.engine.parked() == []


async def test_a_full_window_parks_its_oldest_copies_even_under_way_and_never_stops() -> None:
    """A copy under way becomes a row; when its call succeeds the row goes, and nothing is sent twice."""
    names = [f"23{number:08d}" for number in range(WINDOW_COPIES_MAX // 1_000 + 2)]
    world = World(people=FakeParticipants(make_participants(*names)))
    await world.own()
    gates = [world.webhooks.hold(name) for name in names]
    total = WINDOW_COPIES_MAX + 700
    world.send(*(make_copy(number, recipient=names[number % len(names)]) for number in range(total)))
    await world.settle_down()
    assert world.dispatcher.figures().unsettled <= WINDOW_COPIES_MAX
    assert world.engine.committed("dip.outbound", 0) >= 500
    for gate in gates:
        gate.set()
    for _ in range(60):
        await world.settle_down()
    taken = [one for _, one in world.webhooks.taken]
    assert len(taken) == len(set(taken)) == total
    assert world.engine.parked() == []
    assert world.engine.double == []


async def test_a_lost_partition_is_dropped_and_its_next_owner_delivers_again_with_the_same_ids() -> None:
    world = World()
    await world.own()
    gate = world.webhooks.hold("2300000001")
    world.send(make_copy(1), make_copy(2))
    await world.settle_down()
    await world.lose()
    gate.set()
    await world.settle_down()
    assert world.engine.outputs == [], "nothing of a lost claim is settled"
    assert world.dispatcher.figures().copies == 0
    await world.own()
    await world.settle_down()
    assert [post.delivery_ids for post in world.webhooks.posts] == [
        (make_copy(1).delivery_id, make_copy(2).delivery_id)
    ] * 2
    assert world.engine.committed("dip.outbound", 0) == 2


async def test_nothing_is_posted_for_a_partition_that_was_lost() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people, lane_in_flight_max=1)
    await world.own(0, 1)
    gate = world.webhooks.hold("2300000001")
    world.send(*(make_copy(number) for number in range(5)), partition=0)
    world.send(*(make_copy(number) for number in range(5, 10)), partition=1)
    await world.settle_down()
    await world.lose(0)
    gate.set()
    await world.settle_down()
    assert sent(world)[1:] == [make_copy(number).delivery_id for number in range(5, 10)]


async def test_a_restart_takes_up_parked_copies_and_the_schedule_where_they_were() -> None:
    world = World(schedule=Schedule(delays_s=(0, 60, 120), hold_s=86_400))
    world.webhooks.then("2300000001", DOWN)
    await world.own()
    world.send(*(make_copy(number) for number in range(3)))
    await world.settle_down()
    await world.crash()
    await world.own()
    world.webhooks.then("2300000001", OK)
    world.send(make_copy(3))
    await world.pass_time(30)
    assert world.webhooks.taken == [], "a restart does not cut a wait short"
    assert len(world.engine.parked()) == 4, "and a new copy does not overtake"
    await world.pass_time(60)
    await world.settle_down()
    assert [one for _, one in world.webhooks.taken] == [make_copy(number).delivery_id for number in range(4)]
    assert world.engine.parked() == []


async def test_a_row_whose_record_is_gone_is_given_up_loudly_and_the_lane_goes_on() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN)
    await world.own()
    world.send(make_copy(1), make_copy(2))
    await world.settle_down()
    world.engine.lost_offsets.add(("dip.outbound", 0, 0))
    world.webhooks.then("2300000001", OK)
    await world.pass_time(5)
    (letter,) = world.engine.dead()
    assert dict(letter.headers)["dlq.delivery-id"] == make_copy(1).delivery_id.encode()
    assert b"no longer" in dict(letter.headers)["dlq.text"]
    assert [one for _, one in world.webhooks.taken] == [make_copy(2).delivery_id]


async def test_nothing_is_given_up_while_the_topic_cannot_be_read() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN, OK)
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    world.engine.unavailable = True
    await world.pass_time(5)
    await world.pass_time(5)
    assert world.engine.dead() == []
    world.engine.unavailable = False
    await world.pass_time(5)
    assert len(world.webhooks.taken) == 1


async def test_an_array_over_two_partitions_is_settled_in_each() -> None:
    world = World()
    await world.own(0, 1)
    for number in world.claims:
        world.engine.append(make_copy(number), partition=number)
    world.dispatcher.accept([one for claim in world.claims.values() for one in world.engine.arrivals(claim)])
    await world.settle_down()
    assert [len(post.bodies) for post in world.webhooks.posts] == [2]
    assert world.engine.committed("dip.outbound", 0) == world.engine.committed("dip.outbound", 1) == 1
    assert [len(one.copies) for one in world.engine.audits()] == [1, 1]


async def test_what_breaks_inside_is_raised_by_run_so_that_the_worker_stops() -> None:
    class Broken(type(World().webhooks)):  # type: ignore[misc]
        async def post(self, post):
            raise RuntimeError("a defect")

    world = World(webhooks=Broken())
    running = asyncio.create_task(world.dispatcher.run())
    await world.own()
    world.send(make_copy(1))
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(running, 10)
    assert world.engine.committed("dip.outbound", 0) == 0


async def test_run_probes_by_itself_and_stop_ends_it() -> None:
    world = World()
    world.webhooks.then("2300000001", DOWN, OK)
    running = asyncio.create_task(world.dispatcher.run())
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    world.clock.forward(5)
    async with asyncio.timeout(20):
        while not world.webhooks.taken:
            await asyncio.sleep(0.01)
    await world.dispatcher.stop()
    await asyncio.wait_for(running, 20)
    assert not [one for one in world.engine.outputs if one.topic == DEAD]


async def test_what_breaks_at_intake_is_raised_by_run_even_if_run_begins_later() -> None:
    """A callback's exception is only logged by the loop; the copy's offset would wait for ever."""
    world = World()
    await world.own()
    world.clock.at = None  # type: ignore[assignment]  # the defect: no time, so nothing can be compared
    world.engine.append(make_copy(1))
    world.take_in()
    world.webhooks.then("2300000001", OK)
    with pytest.raises((TypeError, AttributeError)):
        await asyncio.wait_for(world.dispatcher.run(), 10)


async def test_the_audit_of_an_attempt_has_its_times_and_how_an_odd_answer_begins() -> None:
    world = World()
    timings = Timings(dns_ms=1, connect_ms=2, tls_ms=3, first_byte_ms=4)
    odd = Answered(
        status=503, body=b"<h1>down</h1>\r\nX-API-Key: 0123456789abcdef", timings=timings, duration_ms=9
    )
    fine = Answered(status=201, body=b'{"messageArray":[]}', timings=Timings(first_byte_ms=5))
    world.webhooks.then("2300000001", odd, fine)
    await world.own()
    world.send(make_copy(1))
    await world.settle_down()
    await world.pass_time(10)
    failed, delivered = [one for one in world.engine.audits() if one.attempt is not None]
    assert (failed.dns_ms, failed.connect_ms, failed.tls_ms, failed.first_byte_ms, failed.duration_ms) == (
        1,
        2,
        3,
        4,
        9,
    )
    assert failed.excerpt == r"<h1>down</h1>\r\nX-API-Key: ***"
    assert (delivered.connect_ms, delivered.first_byte_ms, delivered.excerpt) == (None, 5, None)
