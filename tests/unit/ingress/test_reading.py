"""Reading bodies: bounded in bytes, in time, and over everybody."""

import asyncio

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from pipeline import limits
from pipeline.ingress.reading import Body, BodyBudget
from pipeline.ingress.refusals import Refusal


def _request() -> tuple[web.Request, StreamReader]:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()  # connected
    content = StreamReader(protocol, 2**16, loop=loop)
    return make_mocked_request("POST", "/", payload=content), content


@pytest.mark.parametrize("limit", [{"read_s_max": 0.05}, {"grace_s": 0.05}])
async def test_a_body_that_does_not_arrive_in_time_is_408(limit: dict[str, float]) -> None:
    request, content = _request()
    content.feed_data(b"[")
    budget = BodyBudget()
    with Body(request, budget, "a", bytes_max=10, **limit) as body:
        refusal = await body.read()
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.slug) == (408, "body-too-slow")
    assert budget.take("a", limits.BODIES_OF_ONE_BYTES_MAX), "its bytes were given back"


async def test_a_body_of_exactly_the_cap_is_read_and_one_byte_more_is_not() -> None:
    for extra, read in ((0, True), (1, False)):
        request, content = _request()
        content.feed_data(b"x" * 6)
        content.feed_data(b"y" * (4 + extra))
        content.feed_eof()
        with Body(request, BodyBudget(), "a", bytes_max=10) as body:
            found = await body.read()
        assert (found == b"xxxxxxyyyy") is read
        assert read or (isinstance(found, Refusal) and found.status == 413)


async def test_without_room_the_answer_is_503_with_retry_after() -> None:
    budget = BodyBudget()
    assert budget.take("a", limits.BODIES_OF_ONE_BYTES_MAX)
    request, content = _request()
    content.feed_data(b"x")
    content.feed_eof()
    with Body(request, budget, "a", bytes_max=10) as body:
        refusal = await body.read()
    assert isinstance(refusal, Refusal)
    assert (refusal.status, bool(refusal.retry_after_s)) == (503, True)


def test_one_participant_cannot_take_all_the_room() -> None:
    budget = BodyBudget()
    assert budget.take("greedy", limits.BODIES_OF_ONE_BYTES_MAX)
    assert not budget.take("greedy", 1)
    rest = limits.BODIES_BYTES_MAX - limits.BODIES_OF_ONE_BYTES_MAX
    assert budget.take("other", min(rest, limits.BODIES_OF_ONE_BYTES_MAX))
    assert not budget.take("third", rest)
    budget.give_back("greedy", limits.BODIES_OF_ONE_BYTES_MAX)
    assert budget.take("third", limits.BODIES_OF_ONE_BYTES_MAX)


@pytest.mark.parametrize("count", [0, 1])
def test_what_is_given_back_is_forgotten(count: int) -> None:
    budget = BodyBudget()
    for _ in range(1_000):
        assert budget.take("a", count)
        budget.give_back("a", count)
    assert budget._by_owner == {}


async def test_a_body_that_keeps_coming_may_take_longer_than_the_grace_but_not_than_the_whole() -> None:
    """The grace is for small bodies on bad lines; a large one earns its time by its bytes."""
    piece = limits.BODY_BYTES_PER_S_MIN
    for read_s_max, status in ((60.0, None), (0.3, 408)):
        request, content = _request()

        async def feed(content: StreamReader = content) -> None:
            for _ in range(8):
                content.feed_data(b"x" * piece)  # one second's worth
                await asyncio.sleep(0.1)
            content.feed_eof()

        feeding = asyncio.create_task(feed())
        with Body(request, BodyBudget(), "a", bytes_max=10**6, read_s_max=read_s_max, grace_s=0.2) as body:
            found = await body.read()
        await feeding
        assert (found.status if isinstance(found, Refusal) else None) == status


async def test_room_for_unpacked_bytes_is_given_back_with_the_rest() -> None:
    budget = BodyBudget()
    request, content = _request()
    content.feed_data(b"x")
    content.feed_eof()
    with Body(request, budget, "a", bytes_max=10) as body:
        assert await body.read() == b"x"
        assert body.room(1_000)
        assert not body.room(limits.BODIES_OF_ONE_BYTES_MAX)
        assert body.arrived == 1
        assert budget._by_owner == {"a": 1_001}
    assert budget._by_owner == {}
