"""A recipient that refuses everything is at fault itself: its copies wait instead of dying one by one."""

from collections.abc import Container, Sequence
from datetime import timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.delivery import Answered
from pipeline.domain.envelope import Copy, Status
from pipeline.domain.letter_tokens import LetterTokens
from pipeline.limits import LETTER_TOKEN_S, LETTER_TOKENS_MAX
from tests.support.fake_engine import START, FakeParticipants, World, make_copy, make_participants

MANY = LETTER_TOKENS_MAX + 150


async def test_a_lane_that_refuses_everything_is_parked_and_delivers_once_it_is_mended() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people)
    world.webhooks.then("2300000001", Answered(status=400))
    await world.own()
    world.send(*(make_copy(number) for number in range(MANY)))
    await world.settle_down(2_000)
    assert len(world.engine.dead()) == LETTER_TOKENS_MAX
    assert len(world.engine.parked()) == 150
    assert any("refuses nearly everything" in (one.reason or "") for one in world.engine.audits())
    await world.pass_time(700)
    assert len(world.engine.dead()) <= LETTER_TOKENS_MAX + 2, "a probe now and then is believed"
    world.webhooks.then("2300000001", Answered(status=201))
    for _ in range(40):
        await world.pass_time(700)
    assert not world.engine.parked()
    assert len(world.webhooks.taken) + len(world.engine.dead()) == MANY


async def test_a_recipient_that_takes_most_of_it_may_refuse_as_much_as_it_likes() -> None:
    people = FakeParticipants(make_participants("2300000001", messages_max=1))
    world = World(people=people)
    world.webhooks.then("2300000001", *(Answered(status=400 if n % 2 else 201) for n in range(600)))
    await world.own()
    world.send(*(make_copy(number) for number in range(600)))
    await world.settle_down(6_000)
    assert len(world.engine.dead()) == 300
    assert not world.engine.parked()


async def test_what_was_taken_beside_refusals_that_are_not_believed_does_not_come_again() -> None:
    """The rest waits, and goes out when the recipient is well: each copy is taken once."""
    world = World()
    await world.own()
    copies = [make_copy(number) for number in range(300)]
    taken = {one.transaction_id for one in copies[::10]}
    world.webhooks.then("2300000001", partly(copies, taken))
    world.send(*copies)
    await world.settle_down(400)
    delivered = [
        one.transaction_id
        for audit in world.engine.audits()
        if audit.status is Status.DELIVERED
        for one in audit.copies
    ]
    assert {*delivered} == {one.transaction_id for one in copies if one.transaction_id in taken}
    assert len(world.engine.dead()) + len(world.engine.parked()) + len(delivered) == 300
    assert world.engine.parked(), "not all refusals were believed"
    waiting = set(world.engine.parked())
    world.webhooks.then("2300000001", Answered(status=201))
    world.webhooks.posts.clear()
    for _ in range(40):
        await world.pass_time(700)
    assert not world.engine.parked()
    again = [one for post in world.webhooks.posts for one in post.delivery_ids]
    assert set(again) == waiting
    assert len(again) == len(waiting)


def partly(copies: Sequence[Copy], taken: Container[str]) -> Answered:
    """A 207 that takes some and refuses the others."""
    bodies = [
        {
            "transactionID": one.transaction_id,
            "message": "RCP0000 - Taken" if one.transaction_id in taken else "RCP1061 - MPAN unknown",
        }
        for one in copies
    ]
    return Answered(status=207, body=orjson.dumps({"messageArray": bodies}))


@given(
    st.lists(
        st.tuples(st.sampled_from(["delivered", "refused"]), st.integers(1, 30), st.floats(0, 3_000)),
        max_size=40,
    )
)
def test_never_more_refusals_are_believed_than_the_bucket_successes_and_time_allow(
    steps: list[tuple[str, int, float]],
) -> None:
    tokens, now = LetterTokens(), START
    believed, allowed, passed_s = 0, LETTER_TOKENS_MAX, 0.0
    for kind, count, wait_s in steps:
        now += timedelta(seconds=wait_s)
        passed_s += wait_s
        if kind == "delivered":
            tokens.delivered(count)
            allowed += count
        elif tokens.take(count, now=now):
            believed += count
        assert believed <= allowed + passed_s / LETTER_TOKEN_S + 1e-6
        assert 0 <= tokens.left <= LETTER_TOKENS_MAX
