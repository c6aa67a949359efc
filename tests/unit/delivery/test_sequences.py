"""Every copy says where it stands among its recipient's copies, whatever became of it meanwhile."""

from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered
from pipeline.domain.identifiers import InterfaceId, Mpan, ParticipantId
from pipeline.domain.parked import LaneKey
from pipeline.domain.sequences import Place, Predecessors, sequences_text
from pipeline.limits import SEQUENCES_HEADER_CHARS_MAX
from tests.support.fake_engine import World, make_copy

LANE = LaneKey(recipient=ParticipantId("2300000001"), channel=InterfaceId("IF-021"))
ONE, OTHER = Mpan("2000056535971"), Mpan("2000056535980")


def places(posts: list[Post]) -> list[str]:
    return [str(place) for post in posts for place in post.places]


async def test_a_copy_names_the_one_of_its_mpan_before_it() -> None:
    world = World()
    await world.own()
    world.send(
        make_copy(0, mpan=ONE), make_copy(1, mpan=OTHER), make_copy(2, mpan=ONE), make_copy(3, mpan=ONE)
    )
    await world.settle_down()
    assert places(world.webhooks.posts) == ["0-0", "0-1", "0-2;0-0", "0-3;0-2"]


async def test_a_place_is_the_same_for_every_try_and_over_parking_and_a_crash() -> None:
    world = World()
    world.webhooks.then("2300000001", Answered(status=503))
    await world.own()
    world.send(make_copy(0), make_copy(1))
    await world.settle_down()
    assert len(world.engine.parked()) == 2
    await world.crash()
    world.webhooks.then("2300000001", Answered(status=201))
    await world.own()
    for _ in range(5):
        await world.pass_time(700)
    assert not world.engine.parked()
    assert set(places(world.webhooks.posts)) == {"0-0", "0-1;0-0"}


async def test_what_came_before_a_worker_took_over_is_not_guessed() -> None:
    world = World()
    await world.own()
    world.send(make_copy(0))
    await world.settle_down()
    await world.lose()
    await world.own()
    world.send(make_copy(1), make_copy(2))
    await world.settle_down()
    assert places(world.webhooks.posts) == ["0-0", "0-1", "0-2;0-1"]


def test_only_the_most_recent_mpans_are_known() -> None:
    known = Predecessors(count_max=2)
    for offset, mpan in enumerate(("a", "b", "a", "c")):
        known.follow(LANE, Mpan(mpan), "claim", offset)
    assert known.follow(LANE, Mpan("a"), "claim", 9) == 2
    assert known.follow(LANE, Mpan("b"), "claim", 10) is None


def test_another_claim_and_an_offset_that_comes_again_have_no_predecessor() -> None:
    known = Predecessors()
    assert known.follow(LANE, ONE, "first", 5) is None
    assert known.follow(LANE, ONE, "second", 6) is None
    assert known.follow(LANE, ONE, "second", 6) is None
    assert known.follow(LANE, None, "second", 7) is None
    assert known.follow(LANE, ONE, "second", 8) == 6


def test_a_list_that_is_too_long_for_a_header_is_left_out_whole() -> None:
    """Half a list would be read as of other messages."""
    place = Place(partition=11, offset=10**12, previous=10**12 - 1)
    assert sequences_text([place] * 100) is not None
    longest = sequences_text([place] * 1_000)
    assert longest is None or len(longest) <= SEQUENCES_HEADER_CHARS_MAX
    assert longest is None
    assert sequences_text([]) is None
