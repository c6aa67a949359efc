"""The journal's calls from the signed request to the answer, with a worker that holds everything."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from pipeline.domain.envelope import Addressee, AuditCopy, AuditRecord, Kind, Reason, Stage, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, ParticipantId, Role, delivery_id
from pipeline.domain.times import format_instant
from pipeline.ingress.replaying import CONTINUATION
from tests.support.bridge import NOW, OTHER, SENDER, SUPPLIER, Party, World, open_world
from tests.support.journal_rig import CODEC, JournalRig, copy_of, reference, status_of, transaction
from tests.support.shards import SECRET

AT = NOW - timedelta(hours=1)
EVERYTHING: dict[str, Any] = {
    "datetimeFrom": None, "datetimeTo": None, "eventCode": None, "MPAN": None, "version": None,
}  # fmt: skip
DISTRIBUTOR = ParticipantId("2500000001")
AT_TEXT = format_instant(AT)
REQUEUE, STATUS = (f"/dip-channel/IF-021/{call}/{SUPPLIER.id}" for call in ("requeue", "requeueStatus"))


@pytest.fixture
def rig() -> JournalRig:
    return JournalRig(page=2)


@pytest.fixture
async def asked(rig: JournalRig) -> AsyncIterator[World]:
    world = await open_world(shards=rig.worker.client(), shard_secret=SECRET)
    yield world
    await world.close()


async def post(
    world: World, path: str, party: Party = SUPPLIER, token: str | None = None, **body: Any
) -> Any:
    headers = {CONTINUATION: token} if token is not None else {}
    return await world.call("POST", path, orjson.dumps(EVERYTHING | body), party=party, headers=headers)


# --- replay ---

REPLAY = f"/dip-channel/IF-021/replay/{SUPPLIER.id}"


async def test_pages_come_with_a_token_until_the_last(asked: World, rig: JournalRig) -> None:
    for number in range(5):
        rig.sent(copy_of(number, SUPPLIER.id, at=AT + timedelta(seconds=number)))
    rig.sent(copy_of(9, OTHER.id, at=AT))
    told, token = [], None
    for status in (206, 206, 200):
        answer = await post(asked, REPLAY, token=token)
        assert answer.status == status, answer.headers
        told += [one["payload"]["CommonBlock"]["D0"] for one in answer.value]
        token = answer.headers.get(CONTINUATION)
    assert token is None
    assert [one["transactionID"] for one in told] == [transaction(number) for number in range(5)]
    assert all(one["replayIndicator"] for one in told)


async def test_nothing_found_is_an_empty_array(asked: World) -> None:
    answer = await post(asked, REPLAY)
    assert (answer.status, answer.value) == (200, [])


async def test_the_body_leaves_as_it_was_sent_but_for_the_mark(asked: World, rig: JournalRig) -> None:
    """Numbers keep their last nought, names their order."""
    copy = copy_of(1, SUPPLIER.id, at=AT)
    body = copy.body.replace(b'"n":1.1', b'"n":1.10')
    rig.sent(copy_of(1, SUPPLIER.id, at=AT, body=body))
    answer = await post(asked, REPLAY)
    marked = body.replace(b'"replayIndicator":false', b'"replayIndicator":true')
    assert answer.body == b"[" + marked + b"]"


async def test_what_is_older_than_the_retention_is_not_there(asked: World, rig: JournalRig) -> None:
    rig.sent(copy_of(1, SUPPLIER.id, at=NOW - timedelta(days=14, seconds=2)))
    rig.sent(copy_of(2, SUPPLIER.id, at=NOW - timedelta(days=13, hours=23)))
    answer = await post(asked, REPLAY, datetimeFrom="1999-01-01T00:00:00+00:00")
    assert len(answer.value) == 1


async def test_records_that_are_gone_are_passed_over(asked: World, rig: JournalRig) -> None:
    partition, offset = rig.sent(copy_of(1, SUPPLIER.id, at=AT))
    rig.sent(copy_of(2, SUPPLIER.id, at=AT))
    rig.log.gone.add(("dip.outbound", partition, offset))
    answer = await post(asked, REPLAY)
    assert [one["payload"]["CommonBlock"]["D0"]["transactionID"] for one in answer.value] == [transaction(2)]


async def test_a_record_that_cannot_be_read_any_more_is_passed_over(asked: World, rig: JournalRig) -> None:
    """Once such a one made every page that it was on 503 for ever."""
    copy = copy_of(1, SUPPLIER.id, at=AT)
    name = copy.delivery_id.encode()
    rig.log.append(
        "dip.outbound", outbound_key(copy), CODEC.encode_copy(copy).replace(name, b"\xff" + name[1:])
    )
    rig.sent(copy_of(2, SUPPLIER.id, at=AT))
    answer = await post(asked, REPLAY)
    assert [one["payload"]["CommonBlock"]["D0"]["transactionID"] for one in answer.value] == [transaction(2)]


async def test_while_kafka_is_away_it_is_503(asked: World, rig: JournalRig) -> None:
    rig.sent(copy_of(1, SUPPLIER.id, at=AT))
    rig.log.away = True
    answer = await post(asked, REPLAY)
    assert answer.status == 503
    assert "Retry-After" in answer.headers


async def test_more_pages_at_a_time_than_there_are_turns_is_429(asked: World, rig: JournalRig) -> None:
    rig.sent(copy_of(1, SUPPLIER.id, at=AT))
    rig.turns.left = 0
    answer = await post(asked, REPLAY)
    assert answer.status == 429
    rig.turns.left = 1
    assert (await post(asked, REPLAY)).status == 200
    assert rig.turns.left == 1


@pytest.fixture
async def token(asked: World, rig: JournalRig) -> str:
    for number in range(3):
        rig.sent(copy_of(number, SUPPLIER.id, at=AT))
        rig.sent(copy_of(number + 10, OTHER.id, at=AT))
    answer = await post(asked, REPLAY)
    assert answer.status == 206
    return str(answer.headers[CONTINUATION])


async def test_an_altered_token_is_refused(asked: World, token: str) -> None:
    for place in (0, 40, 90, len(token) - 2):
        other = "A" if token[place] != "A" else "B"
        answer = await post(asked, REPLAY, token=token[:place] + other + token[place + 1 :])
        assert answer.status == 400, place
        assert "altered" in answer.bodies[0]["help"]


@pytest.mark.parametrize("text", ["x", "=" * 40, "ä".encode().decode("latin-1"), "A" * 5_000])
async def test_what_was_never_a_token_is_refused(asked: World, text: str) -> None:
    assert (await post(asked, REPLAY, token=text)).status == 400


async def test_a_stolen_token_is_of_no_use(asked: World, token: str) -> None:
    """Another participant cannot ask for the owner's path, and on its own path the token is none."""
    assert (await post(asked, REPLAY, party=OTHER, token=token)).status == 403
    own = f"/dip-channel/IF-021/replay/{OTHER.id}"
    answer = await post(asked, own, party=OTHER, token=token)
    assert answer.status == 400
    assert "another request" in answer.bodies[0]["help"]


async def test_a_token_is_of_one_request(asked: World, token: str) -> None:
    assert (await post(asked, REPLAY, token=token)).status == 200
    assert (await post(asked, REPLAY, token=token, MPAN="2000056535971")).status == 400
    assert (await post(asked, REPLAY.replace("021", "035"), token=token)).status == 400


async def test_a_token_grows_old(rig: JournalRig, token: str) -> None:
    later = await open_world(
        shards=rig.worker.client(), shard_secret=SECRET, now=NOW + timedelta(days=1, seconds=1)
    )
    url = later.origin + REPLAY
    body = orjson.dumps(EVERYTHING)
    headers = SUPPLIER.headers(url, body, now=NOW + timedelta(days=1, seconds=1)) | {CONTINUATION: token}
    answer = await later.call("POST", REPLAY, body, party=SUPPLIER, headers=headers)
    assert answer.status == 400
    assert "too old" in answer.bodies[0]["help"]
    await later.close()


PERIODS = (
    ("without an end", AT_TEXT, None, 2),
    ("without a beginning", None, AT_TEXT, 1),
    ("to the end of time", AT_TEXT, "9999-12-31T23:59:59+00:00", 2),
    ("to the end of time elsewhere", AT_TEXT, "9999-12-31T23:59:59-12:00", None),
    ("from the beginning of time", "0001-01-01T00:00:00+00:00", AT_TEXT, 1),
    ("from before it", "0001-01-01T00:00:00+12:00", AT_TEXT, None),
    ("from the end of time", "9999-12-31T23:59:59+00:00", None, 0),
    ("upside down", "2026-01-05T12:00:00+00:00", "2026-01-05T00:00:00+00:00", None),
)


@pytest.mark.parametrize(
    ("since", "until", "count"), [row[1:] for row in PERIODS], ids=[row[0] for row in PERIODS]
)
async def test_periods_without_an_end_and_of_other_ages(
    asked: World, rig: JournalRig, since: str | None, until: str | None, count: int | None
) -> None:
    """Both ends belong to the period; what no clock can show is the caller's mistake.

    9999 is how many write "without an end": a requeue of it once would have stopped its worker again and again.
    """
    rig.sent(copy_of(1, SUPPLIER.id, at=AT))
    rig.sent(copy_of(2, SUPPLIER.id, at=AT + timedelta(seconds=1)))
    answer = await post(asked, REPLAY, datetimeFrom=since, datetimeTo=until)
    if count is None:
        assert answer.status == 400
    else:
        assert (answer.status, len(answer.value)) == (200, count)
    begun = await post(asked, REQUEUE, datetimeFrom=since, datetimeTo=until)
    assert begun.status == (400 if count is None else 202)


async def test_the_meter_points_of_others_give_nothing_of_theirs(asked: World, rig: JournalRig) -> None:
    """A participant sees what it was sent itself about an MPAN, whoever else was sent what."""
    rig.sent(copy_of(1, SUPPLIER.id, at=AT, mpan="2000056535971"))
    rig.sent(copy_of(2, OTHER.id, at=AT, mpan="1900012374324"))
    assert (await post(asked, REPLAY, MPAN="1900012374324")).value == []
    assert len((await post(asked, REPLAY, MPAN="2000056535971")).value) == 1
    begun = await post(asked, REQUEUE, MPAN="1900012374324")
    await rig.requeueing.step()
    await rig.requeueing.step()
    (row,) = (await asked.call("GET", f"{STATUS}?requeue-id={begun.value}", party=SUPPLIER)).value
    assert (row["status"], row["totalTransactions"]) == ("Completed", 0)


async def test_status_messages_are_replayed_as_they_were(asked: World, rig: JournalRig) -> None:
    rig.sent(status_of(1, SUPPLIER.id, at=AT))
    rig.sent(status_of(2, OTHER.id, at=AT))
    period = {"datetimeFrom": "2026-01-05T00:00:00+00:00", "datetimeTo": "2026-01-06T00:00:00+00:00"}
    path = f"/statusmessage/replay/{SUPPLIER.id}"
    answer = await asked.call("POST", path, orjson.dumps(period), party=SUPPLIER)
    assert answer.status == 200
    assert [one["transactionID"] for one in answer.value] == [transaction(1, SUPPLIER.id)]


# --- requeue ---


async def test_a_requeue_is_written_down_and_told(asked: World, rig: JournalRig) -> None:
    for number in range(3):
        rig.sent(copy_of(number, SUPPLIER.id, at=AT))
    assert (await asked.call("GET", STATUS, party=SUPPLIER)).status == 204
    begun = await post(asked, REQUEUE)
    assert begun.status == 202
    (row,) = (await asked.call("GET", STATUS, party=SUPPLIER)).value
    assert row["requeueId"] == begun.value
    assert (row["status"], row["percentComplete"]) == ("Processing", 0)
    while (await asked.call("GET", STATUS, party=SUPPLIER)).value[0]["status"] != "Completed":
        await rig.requeueing.step()
    (row,) = (await asked.call("GET", f"{STATUS}?requeue-id={begun.value}", party=SUPPLIER)).value
    assert row == {
        "requeueId": begun.value,
        "percentComplete": 100,
        "totalTransactions": 3,
        "processedTransactions": 3,
        "status": "Completed",
    }
    assert (await asked.call("GET", f"{STATUS}?requeue-id=RQ-none", party=SUPPLIER)).status == 204
    other = STATUS.replace("021", "035")
    assert (await asked.call("GET", other, party=SUPPLIER)).status == 204


async def test_one_requeue_at_a_time_for_a_recipient(asked: World, rig: JournalRig) -> None:
    rig.sent(copy_of(1, SUPPLIER.id, at=AT))
    rig.sent(copy_of(1, OTHER.id, at=AT))
    assert (await post(asked, REQUEUE)).status == 202
    second = await post(asked, REQUEUE.replace("021", "035"))
    assert second.status == 429
    assert int(second.headers["Retry-After"]) > 0
    assert "RQ-1" in second.help
    assert (await post(asked, f"/dip-channel/IF-021/requeue/{OTHER.id}", party=OTHER)).status == 202
    for _ in range(6):
        await rig.requeueing.step()
    assert (await post(asked, REQUEUE)).status == 202


# --- delivery status ---


def story(rig: JournalRig, number: int = 1, sender: Party = SENDER) -> None:
    """Write what the stages write of a message to two recipients, one of which was slow to take it."""
    one = transaction(number, sender.id)
    about: dict[str, Any] = {
        "transaction_id": one,
        "received_at": AT,
        "interface": InterfaceId("IF-021"),
        "event": EventCode("ActivePower"),
        "sender_id": sender.id,
        "sender_reference": reference(number, sender.id),
        "mpan": Mpan("2000056535971"),
    }
    reasons = {
        SUPPLIER.id: (Reason(kind=Kind.SECONDARY, role=Role("SUP")),),
        DISTRIBUTOR: (
            Reason(kind=Kind.SECONDARY, role=Role("LDSO")),
            Reason(kind=Kind.ALWAYS, role=Role("LDSO")),
        ),
    }
    rig.said(
        AuditRecord(
            at=_after(5),
            stage=Stage.INBOUND,
            status=Status.GOOD_TO_GO,
            code="MSG0000",
            duration_ms=5,
            **about,
        )
    )
    rig.said(
        AuditRecord(
            at=_after(20), stage=Stage.ADDRESSING, status=Status.SENT_TO_TOPIC, duration_ms=20, correlation_id="CI-9",
            addressees=tuple(Addressee(recipient=name, reasons=why) for name, why in reasons.items()), **about,
        )
    )  # fmt: skip
    for at, recipient, status, code in (
        (900, SUPPLIER.id, Status.DELIVERED, 201),
        (950, DISTRIBUTOR, Status.RETRYING, None),
        (1_950, DISTRIBUTOR, Status.DELIVERED, 201),
    ):
        posted = AuditRecord(
            at=_after(at), stage=Stage.OUTBOUND, status=status, status_code=code, duration_ms=30, attempt=1,
            reason=f"about {recipient}", recipient=recipient, channel=InterfaceId("IF-021"),
            copies=tuple(_copy(each, recipient, sender) for each in (number, number + 500)),
        )  # fmt: skip
        rig.said(posted, key=f"batch {at}")
    rig.index()


def _after(milliseconds: int) -> Any:
    return AT + timedelta(milliseconds=milliseconds)


def _copy(number: int, recipient: ParticipantId, sender: Party) -> AuditCopy:
    one = transaction(number, sender.id)
    return AuditCopy(
        delivery_id=delivery_id(one, recipient),
        transaction_id=one,
        sender_id=sender.id,
        sender_reference=reference(number, sender.id),
        mpan=None,
    )


def status_path(party: Party, number: int = 1, sender: Party = SENDER, channel: str = "IF-021") -> str:
    return f"/dip-channel/{channel}/deliveryStatus/{party.id}/{reference(number, sender.id)}"


async def test_the_sender_sees_every_stage(asked: World, rig: JournalRig) -> None:
    story(rig)
    answer = await asked.call("GET", status_path(SENDER), party=SENDER)
    assert answer.status == 200
    told = answer.value
    assert told["SentDateTime"] == "2026-01-05 08:30:00.250"
    assert told["DIPTransactionID"] == transaction(1)
    assert told["DIPCorrelationID"] == "CI-9"
    entries = told["JournalEntries"]
    assert [(one["DIPStage"], one["Status"], one["StatusCode"]) for one in entries] == [
        ("Inbound", "GoodToGo", 200),
        ("Addressing", "SentToTopic", 200),
        ("Outbound", "Delivered", 201),
        ("Outbound", "Retrying", 0),
        ("Outbound", "Delivered", 201),
    ]
    assert [one["rn"] for one in entries] == [1, 2, 3, 4, 5]
    assert [one["MessageDelayInMilliSeconds"] for one in entries] == [5, 20, 900, 950, 1950]
    assert entries[1]["Recipients"] == [SUPPLIER.id, DISTRIBUTOR]
    assert entries[1]["RecipientMap"] == {
        "Primary": [],
        "Secondary": [{"role": "SUP", "dipId": SUPPLIER.id}, {"role": "LDSO", "dipId": DISTRIBUTOR}],
        "Always": [{"role": "LDSO", "dipId": DISTRIBUTOR}],
    }
    assert entries[0]["Message"].startswith("MSG0000 - ")
    assert {one["EventCode"] for one in entries} == {"[ActivePower]"}


async def test_a_recipient_sees_the_way_to_itself(asked: World, rig: JournalRig) -> None:
    story(rig)
    answer = await asked.call("GET", status_path(SUPPLIER), party=SUPPLIER)
    assert answer.status == 200
    assert DISTRIBUTOR not in answer.body.decode()
    assert [one["DIPStage"] for one in answer.value["JournalEntries"]] == [
        "Inbound",
        "Addressing",
        "Outbound",
    ]


async def test_who_has_nothing_to_do_with_it_learns_nothing(asked: World, rig: JournalRig) -> None:
    story(rig)
    assert (await asked.call("GET", status_path(OTHER), party=OTHER)).status == 204
    assert (await asked.call("GET", status_path(OTHER, number=77), party=OTHER)).status == 204
    assert (await asked.call("GET", status_path(SENDER, channel="IF-035"), party=SENDER)).status == 204


async def test_a_reference_that_two_senders_used_is_each_ones_own(asked: World, rig: JournalRig) -> None:
    """References are unique for their sender only; who asks gets the message that is its business."""
    story(rig)
    story(rig, sender=OTHER)
    stranger = status_path(OTHER, sender=SENDER)
    assert (await asked.call("GET", stranger, party=OTHER)).status == 204
    own = await asked.call("GET", status_path(OTHER, sender=OTHER), party=OTHER)
    assert own.value["DIPTransactionID"] == transaction(1, OTHER.id)


async def test_a_message_costs_one_read_for_its_receipt_and_one_for_all_its_records(
    asked: World, rig: JournalRig
) -> None:
    """Its records lie in any partition; each read waits for Kafka once, however many partitions it is of."""
    story(rig)
    found = await asked.call("GET", status_path(SENDER), party=SENDER)
    assert len(found.value["JournalEntries"]) == 5
    assert rig.log.reads == 2


async def test_a_missing_partition_makes_no_shorter_journal(asked: World, rig: JournalRig) -> None:
    """Entries lie in any partition: with one away nothing is told, since a part would be a wrong answer."""
    story(rig)
    one = min(rig.worker.held, key=lambda claim: (claim.group, claim.partition))
    rig.worker.held.discard(one)
    assert (await asked.call("GET", status_path(SENDER), party=SENDER)).status == 503
    rig.worker.held.add(one)
    assert (await asked.call("GET", status_path(SENDER), party=SENDER)).status == 200
