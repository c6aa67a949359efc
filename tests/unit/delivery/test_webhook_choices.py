"""Participants change and take away their webhooks while copies are in flight: parked, sent later, never lost."""

from pipeline.domain.delivery import Answered
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.market import WebhookChoice, picture
from pipeline.domain.participants import Participants, Webhook
from tests.support.fake_engine import START, FakeParticipants, World, make_copy, make_participants

RECIPIENT = ParticipantId("2300000001")
READINGS = InterfaceId("IF-021")
LOADED = make_participants(RECIPIENT)


def _after(url: str | None, **limits: int) -> Participants:
    """Return the market after the recipient has said where its readings go: nowhere, or a URL."""
    hook = None if url is None else Webhook(channel=READINGS, url=url, **limits)  # type: ignore[arg-type]  # messages_max only
    choice = WebhookChoice(participant=RECIPIENT, channel=READINGS, webhook=hook, by=RECIPIENT, at=START)
    return picture(LOADED.values(), [choice], ())


async def _pass(world: World) -> None:
    await world.pass_time(1_000)
    for _ in range(8):
        await world.settle_down()


async def test_copies_that_arrive_after_a_webhook_was_taken_away_wait_and_are_sent_to_the_next_one() -> None:
    people = FakeParticipants(LOADED)
    world = World(people=people)
    await world.own()
    people.picture = _after(None)
    world.send(*(make_copy(number) for number in range(30)))
    await world.settle_down()
    assert world.webhooks.posts == [], (
        "the webhook for all channels does not stand in for one that was taken away"
    )
    assert len(world.engine.parked()) == 30
    assert world.engine.committed("dip.outbound", 0) == 30
    people.picture = _after("https://new.example/dip")
    await _pass(world)
    assert {post.url for post in world.webhooks.posts} == {"https://new.example/dip"}
    assert [one for _, one in world.webhooks.taken] == [make_copy(number).delivery_id for number in range(30)]
    assert world.engine.parked() == []


async def test_a_call_under_way_ends_and_what_is_behind_it_waits() -> None:
    people = FakeParticipants(make_participants(RECIPIENT, messages_max=1))
    world = World(people=people, lane_in_flight_max=2)
    await world.own()
    gate = world.webhooks.hold(RECIPIENT)
    world.send(*(make_copy(number) for number in range(10)))
    await world.settle_down()
    assert len(world.webhooks.posts) == 2
    people.picture = _after(None)
    gate.set()
    await world.settle_down()
    assert len(world.webhooks.taken) == 2
    assert len(world.engine.parked()) == 8
    assert world.dispatcher.figures().unsettled == 0
    people.picture = _after("https://new.example/dip", messages_max=3)
    await _pass(world)
    assert len(world.webhooks.taken) == 10
    assert len({one for _, one in world.webhooks.taken}) == 10
    assert all(len(post.bodies) <= 3 for post in world.webhooks.posts[2:])


async def test_a_failed_call_of_a_webhook_that_was_taken_away_meanwhile_is_parked_and_not_tried_there_again() -> (
    None
):
    people = FakeParticipants(LOADED)
    world = World(people=people)
    world.webhooks.then(RECIPIENT, Answered(status=503), Answered(status=201))
    await world.own()
    gate = world.webhooks.hold(RECIPIENT)
    world.send(make_copy(1))
    await world.settle_down()
    people.picture = _after(None)
    gate.set()
    await world.settle_down()
    await _pass(world)
    assert len(world.webhooks.posts) == 1
    assert world.engine.parked() == [make_copy(1).delivery_id]
    people.picture = _after("https://new.example/dip")
    await _pass(world)
    assert [one for _, one in world.webhooks.taken] == [make_copy(1).delivery_id]


async def test_other_channels_of_the_recipient_go_on() -> None:
    people = FakeParticipants(_after(None))
    world = World(people=people)
    await world.own()
    world.send(make_copy(1), make_copy(2, channel="IF-006"))
    await world.settle_down()
    assert [one for _, one in world.webhooks.taken] == [make_copy(2, channel="IF-006").delivery_id]
    assert world.engine.parked() == [make_copy(1).delivery_id]
