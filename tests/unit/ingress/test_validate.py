"""POST /validate/{interface}/{event}: the form of messages, for all pairs, with an API key alone, and nothing stored."""

import random
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from pipeline.catalogue.samples import sample
from pipeline.domain.identifiers import EventCode, InterfaceId
from tests.support.bridge import SENDER, Answer, Recorder, World, array, catalogue, open_world, reading

PAIRS = sorted(catalogue().pairs)
UNSIGNED = ["X-DIP-Signature", "X-DIP-Signature-Date", "X-DIP-Content-Hash", "X-DIP-Signature-Certificate"]
PATH = "/validate/IF-021/ActivePower"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[World]:
    world = await open_world()
    yield world
    await world.close()


async def _validate(world: World, body: bytes, path: str = PATH, **headers: str) -> Answer:
    return await world.post(body, path=path, without=UNSIGNED, headers=headers)


def test_there_are_146_pairs_to_validate() -> None:
    assert len(PAIRS) == 146


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
async def test_every_pair_says_yes_to_a_good_message_and_where_a_bad_one_is_wrong(
    pair: tuple[InterfaceId, EventCode], shared: World
) -> None:
    good = sample(catalogue(), *pair, random.Random(1))
    path = f"/validate/{pair[0]}/{pair[1]}"
    answer = await _validate(shared, array(good, good), path)
    assert answer.status == 201, answer.body
    assert isinstance(answer.value, str)
    bad = orjson.loads(orjson.dumps(good))
    bad["payload"]["CommonBlock"]["S1"]["senderTimestamp"] = "today"
    answer = await _validate(shared, array(good, bad), path.lower())
    assert answer.status == 400
    assert isinstance(answer.value, str)
    assert answer.value.startswith("MSG1001 - ")
    assert "/1/payload/CommonBlock/S1/senderTimestamp" in answer.value
    assert isinstance(shared.publisher, Recorder)
    assert shared.publisher.records == []


async def test_a_dry_run_needs_the_key_and_nothing_else(world: World) -> None:
    assert (await _validate(world, array(reading(1)))).status == 201
    unknown = await _validate(world, array(reading(1)), **{"X-API-Key": "nobody"})
    assert (unknown.status, unknown.body) == (401, b"")
    absent = await world.post(array(reading(1)), path=PATH, without=[*UNSIGNED, "X-API-Key"])
    assert absent.status == 401
    assert world.publisher.records == []


async def test_a_message_of_another_event_or_interface_than_the_path_names_is_refused(world: World) -> None:
    answer = await _validate(world, array(reading(1)), "/validate/IF-037/MSDeApp")
    assert answer.status == 400
    assert "MSG1002" in answer.value
    other = sample(catalogue(), InterfaceId("IF-037"), EventCode("MSDeApp"), random.Random(1))
    answer = await _validate(world, array(other), "/validate/IF-037/DSDeApp")
    assert answer.status == 400
    assert "/0/payload/CommonBlock/S0/eventCode" in answer.value
    assert "[DSDeApp]" in answer.value


@pytest.mark.parametrize(
    "path",
    [
        "/validate/IF-999/x",
        "/validate/IF-030/x",
        "/validate/IF-021/Nothing",
        "/validate/IF-021",
        "/validate/IF-021/[ActivePower]",
    ],
)
async def test_a_pair_that_does_not_exist_is_404_and_says_which_do(path: str, world: World) -> None:
    answer = await _validate(world, array(reading(1)), path)
    assert (answer.status, answer.body) == (404, b"")
    if path.count("/") == 3 and "IF-021" in path:
        assert "ActivePower" in answer.help


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1]", b"null", b"[" * 500, b"\xff"])
async def test_what_is_no_array_of_messages_is_400_with_a_text(body: bytes, world: World) -> None:
    answer = await _validate(world, body)
    assert answer.status == 400
    assert isinstance(answer.value, str)


async def test_all_problems_of_all_messages_are_told_as_data(world: World) -> None:
    bad, worse = reading(1, senderTimestamp="x"), {"payload": {}}
    answer = await _validate(world, array(reading(2), bad, worse), Accept="application/problem+json, */*")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problems = answer.value["problems"]
    assert problems[0]["pointer"] == "/1/payload/CommonBlock/S1/senderTimestamp"
    assert problems[0]["code"] == "MSG1001"
    assert problems[0]["value"] == '"x"'
    assert problems[0]["expected"]
    assert {one["pointer"].split("/")[1] for one in problems} == {"1", "2"}


async def test_a_thousand_bad_messages_are_a_bounded_answer(world: World) -> None:
    answer = await _validate(world, array(*[{"payload": {}}] * 1_000))
    assert answer.status == 400
    assert len(answer.value) <= 4_000


async def test_who_sends_is_not_judged_by_a_dry_run(world: World) -> None:
    """Whether a sender may send depends on who is registered, and is said when it posts."""
    stranger = reading(1, senderDIPID="8888888888")
    assert (await _validate(world, array(stranger))).status == 201
    assert (await world.post(array(stranger), party=SENDER)).status == 400


async def test_a_fault_of_ours_is_a_text_too(world: World) -> None:
    """The published 500 of this call is a plain JSON string, and tells nothing of our insides."""

    class Broken:
        def __call__(self, call: object) -> object:
            raise RuntimeError("secret insides")

    from pipeline.ingress.routes import Operation

    world.bridge._judge._operations[Operation.VALIDATE] = Broken()  # no request of a client can break it
    answer = await _validate(world, array(reading(1)))
    assert answer.status == 500
    assert isinstance(answer.value, str)
    assert "secret" not in answer.value
