"""The client's side of the mailbox: the right calls, and what their answers become."""

import orjson
import pytest
from aiohttp import web

from pipeline.client import Acknowledged, Bundle, Done, Mailbox, Refused, Unsettled
from pipeline.client.extensions import Gap, Place

ME = "1400000001"
BUNDLE = {"receipt": "r1", "deliveryIDs": ["T-1>x"], "messages": [{"payload": {}}], "more": True}


def answer(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value))


async def test_a_bundle_is_asked_for_and_acknowledged(dip, participant) -> None:
    dip.script = [answer(BUNDLE), answer({"settled": 1, "before": 0, "underWay": 2})]
    box = Mailbox(participant, "IF-021")
    found = await box.peek(wait_s=20, messages=10, age_s=5, after="r0")
    assert isinstance(found, Done)
    assert found.value == Bundle(
        receipt="r1", delivery_ids=("T-1>x",), messages=({"payload": {}},), more=True, places=(None,)
    )
    done = await box.acknowledge("r1")
    assert isinstance(done, Done)
    assert done.value == Acknowledged(settled=1, before=0, under_way=2)
    looked, told = dip.asked
    assert (looked.method, looked.target) == (
        "GET",
        f"/dip-channel/IF-021/mailbox/{ME}?wait=20&messages=10&age=5&after=r0",
    )
    assert (told.method, told.target, told.body) == (
        "POST",
        f"/dip-channel/IF-021/mailbox/{ME}",
        b'{"receipts":["r1"]}',
    )
    assert not dip.flaws()


async def test_a_bundle_tells_where_its_copies_stand_and_what_was_given_up_before_them(
    dip, participant
) -> None:
    told = {"messages": [{}, {}], "deliveryIDs": ["a", "b"], "sequences": ["3-71;3-68", "3-72"]}
    dip.script = [answer(BUNDLE | told | {"gaps": [None, "3-65;3-68;2"]}), answer(BUNDLE | told)]
    box = Mailbox(participant, "IF-021")
    places = [found.value.places for _ in range(2) if isinstance(found := await box.peek(), Done)]
    first = Place(sequence="3-71", previous="3-68")
    gap = Gap(first="3-65", last="3-68", count=2)
    assert places == [
        (first, Place(sequence="3-72", gap=gap)),
        (first, Place(sequence="3-72")),
    ]


async def test_the_choice_and_the_lane_of_status_messages(dip, participant) -> None:
    dip.script = [web.Response(status=204), web.Response(status=204), answer({"state": "healthy"})]
    box = Mailbox(participant, None, recipient="2300000001")
    assert isinstance(await box.choose(pull=True), Done)
    assert isinstance(await box.choose(pull=False), Done)
    shown = await box.lane()
    assert isinstance(shown, Done)
    assert shown.value == {"state": "healthy"}
    assert [(one.method, one.target, one.body) for one in dip.asked] == [
        ("PUT", "/statusmessage/mailbox/2300000001", b'{"delivery":"pull"}'),
        ("PUT", "/statusmessage/mailbox/2300000001", b'{"delivery":"both"}'),
        ("GET", "/statusmessage/lane/2300000001", b""),
    ]


@pytest.mark.parametrize("body", [[], {"receipt": "r"}, "x", {"settled": 1}, BUNDLE | {"messages": None}])
async def test_an_answer_of_another_form_settles_nothing(body: object, dip, participant) -> None:
    dip.script = [answer(body)]
    box = Mailbox(participant, "IF-021")
    assert isinstance(await box.peek(), Unsettled)
    assert isinstance(await box.acknowledge("r"), Unsettled)


async def test_a_refusal_is_a_value(dip, participant) -> None:
    dip.script = [web.Response(status=400, headers={"X-DIP-Help": "receipts is ''"})]
    found = await Mailbox(participant, "IF-021").acknowledge("")
    assert isinstance(found, Refused)
    assert "receipts" in found.help
