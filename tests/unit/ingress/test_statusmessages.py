"""`POST /statusmessage`: the fact tables decide what a Body is, and the original sender gets it."""

from typing import Any

import orjson
import pytest

from pipeline import topics
from tests.support.bridge import (
    OTHER,
    PROVIDER,
    SENDER,
    SUPPLIER,
    Answer,
    Party,
    World,
    array,
    codec,
    open_world,
)


def _status(**changes: object) -> dict[str, Any]:
    return {
        "transactionID": "T-IF-021-1400000001-SDS-20260105-ab",
        "senderUniqueReference": f"S-IF-021-{SENDER.id}-SDS-20260105-1",
        "correlationID": None,
        "sentTimestamp": "2026-01-05T09:30:00+00:00",
        "senderID": SUPPLIER.id,
        "recipientID": SENDER.id,
        "DIPConnectionProviderID": None,
        "message": "RCP1021 - Mandatory item absent",
        "help": None,
        "serviceTicketURL": None,
    } | changes


async def _post(world: World, *statuses: object, party: Party = SUPPLIER) -> Answer:
    return await world.post(array(*statuses), path="/StatusMessage", party=party)


async def test_a_status_message_is_forwarded_to_the_sender_it_is_about_with_an_audit_record(
    world: World,
) -> None:
    answer = await _post(world, _status())
    assert answer.status == 201, answer.headers
    (body,) = answer.bodies
    assert body["message"] == "MSG0000 - Success"
    assert (body["senderID"], body["recipientID"]) == ("0000000000", SUPPLIER.id)
    copy_record, audit_record = world.publisher.records
    copy = codec().decode_copy(copy_record.value)
    assert (copy_record.topic, copy_record.key.partition(b"|")[0]) == (topics.STATUS, SENDER.id.encode())
    assert (copy.recipient, copy.sender_id, copy.channel) == (SENDER.id, SUPPLIER.id, "status")
    assert copy.body == orjson.dumps(_status())
    audit = codec().decode_audit(audit_record.value)
    assert (audit_record.topic, audit.recipient, audit.sender_id) == (topics.AUDIT, SENDER.id, SUPPLIER.id)
    assert audit.transaction_id == copy.transaction_id == "T-IF-021-1400000001-SDS-20260105-ab"


async def test_a_retried_status_message_keeps_its_delivery_id(world: World) -> None:
    await _post(world, _status())
    await _post(world, _status())
    await _post(world, _status(help="other"))
    ids = [
        codec().decode_copy(one.value).delivery_id
        for one in world.publisher.records
        if one.topic == topics.STATUS
    ]
    assert ids[0] == ids[1] != ids[2]


async def test_without_a_recipient_the_reference_names_who_is_told(world: World) -> None:
    answer = await _post(world, _status(recipientID=None))
    assert answer.status == 201
    assert codec().decode_copy(world.publisher.records[0].value).recipient == SENDER.id


async def test_without_a_recipient_the_routers_own_id_outweighs_the_reference(world: World) -> None:
    """A reference is what its sender made of it; nobody checks whose DIP ID is in it."""
    foreign = f"S-IF-021-{OTHER.id}-SDS-20260105-1"
    answer = await _post(world, _status(recipientID=None, senderUniqueReference=foreign))
    assert answer.status == 201
    assert codec().decode_copy(world.publisher.records[0].value).recipient == SENDER.id


@pytest.mark.parametrize("named", ["T-IF-024-2300000001-SUP-20260105-ab", None])
async def test_only_who_can_have_received_a_message_may_speak_of_it(named: str | None, world: World) -> None:
    """Suppliers receive no IF-024; anybody could otherwise tell anybody anything."""
    reference = "S-024-2300000001-SUP-20260105-1"
    claim = _status(recipientID=SUPPLIER.id, transactionID=named, senderUniqueReference=reference)
    answer = await _post(world, claim)
    assert answer.status == 400
    assert answer.bodies[0]["message"].startswith("MSG1010")
    assert "/0/senderID: 2300000001 receives no messages of IF-024" in answer.help
    assert world.publisher.records == []


async def test_that_can_be_turned_off() -> None:
    world = await open_world(status_sender_checked=False)
    claim = _status(recipientID=OTHER.id, transactionID=None, senderUniqueReference=None)
    assert (await _post(world, claim)).status == 201
    away = _status(recipientID=SUPPLIER.id, senderUniqueReference="S-024-2300000001-SUP-20260105-1")
    assert (await _post(world, away)).status == 201
    await world.close()


async def test_a_status_message_about_nothing_known_is_still_one_message(world: World) -> None:
    """Everything but the sender may be null as long as the recipient is named."""
    answer = await _post(world, _status(transactionID=None, senderUniqueReference=None))
    assert answer.status == 201
    copy = codec().decode_copy(world.publisher.records[0].value)
    assert copy.transaction_id.startswith("T-status-")
    assert len(copy.transaction_id) <= 65


async def test_names_in_another_letter_case_are_forwarded_in_the_published_one(world: World) -> None:
    status = _status()
    status["TRANSACTIONID"] = status.pop("transactionID")
    assert (await _post(world, status)).status == 201
    copy = codec().decode_copy(world.publisher.records[0].value)
    assert orjson.loads(copy.body) == _status()


@pytest.mark.parametrize(
    ("changes", "code", "piece"),
    [
        ({"senderID": None}, "MSG1001", "/0/senderID: null does not fit"),
        ({"senderID": "00000000000"}, "MSG1001", "/0/senderID"),
        ({"sentTimestamp": "now"}, "MSG1001", "/0/sentTimestamp"),
        ({"message": "x" * 201}, "MSG1001", "/0/message"),
        ({"senderUniqueReference": "mine"}, "MSG1001", "/0/senderUniqueReference"),
        (
            {"recipientID": None, "senderUniqueReference": None, "transactionID": None},
            "MSG1001",
            "/0/recipientID",
        ),
        ({"recipientID": "8888888888"}, "MSG1031", "/0/recipientID"),
        ({"recipientID": OTHER.id}, "MSG1031", "was sent by 1400000001, not by 1400000002"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_its_place(
    changes: dict[str, object], code: str, piece: str, world: World
) -> None:
    answer = await _post(world, _status(**changes))
    assert answer.status == 400, answer.headers
    assert answer.bodies[0]["message"].startswith(code)
    assert piece in answer.help
    assert world.publisher.records == []


@pytest.mark.parametrize("name", list(_status()))
async def test_each_of_the_ten_keys_must_be_there(name: str, world: World) -> None:
    status = _status()
    del status[name]
    answer = await _post(world, _status(), status)
    assert answer.status == 400
    assert f"/1/{name}: missing" in answer.help
    assert world.publisher.records == []


async def test_nobody_speaks_for_another_participant(world: World) -> None:
    answer = await _post(world, _status(senderID=OTHER.id))
    assert (answer.status, answer.body) == (403, b"")
    assert "/0/senderID" in answer.help
    assert world.publisher.records == []


async def test_a_provider_speaks_for_those_that_nominated_it(world: World) -> None:
    own = _status(
        transactionID="T-IF-024-2300000001-SUP-20260105-ab",
        senderUniqueReference=f"S-IF-024-{SUPPLIER.id}-SUP-20260105-1",
        senderID=SENDER.id,
        recipientID=SUPPLIER.id,
        DIPConnectionProviderID=PROVIDER.id,
    )
    assert (await _post(world, own, party=PROVIDER)).status == 201
    other = own | {"senderID": OTHER.id}
    assert (await _post(world, other, party=PROVIDER)).status == 403


async def test_something_else_than_objects_is_refused(world: World) -> None:
    answer = await _post(world, 5)
    assert answer.status == 400
    assert "expected an object" in answer.help
