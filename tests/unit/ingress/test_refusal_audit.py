"""Refused calls in the audit: who, where and by which check, never what; and never more than a ration."""

import asyncio
from datetime import datetime, timedelta
from http import HTTPStatus

from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.domain.identifiers import InterfaceId
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.ingress.refusal_audit import RefusalAudit
from pipeline.ingress.submission import Fault
from pipeline.limits import REFUSALS_NOTED_BURST
from tests.support.bridge import NOW, OTHER, SENDER, SUPPLIER, Recorder, World, array, codec, reading

SECRET = "2000056535971"
IF_021 = InterfaceId("IF-021")


def faults(index: int = 3) -> tuple[Fault, ...]:
    rejection = Rejection(
        check=CheckId.SENDER_ROLE,
        code=Code.SENDER_ROLE,
        pointer="/payload/CommonBlock/S1/senderRoleID",
        value=SECRET,
        help=f"not {SECRET}",
    )
    return (Fault(index=index, rejections=(rejection,)),)


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


def audit(publisher: Recorder, clock: Clock | None = None) -> RefusalAudit:
    return RefusalAudit(publisher=publisher, encoder=codec(), clock=clock or Clock())


async def written(publisher: Recorder) -> list[AuditRecord]:
    for _ in range(5):
        await asyncio.sleep(0)
    return [codec().decode_audit(one.value) for one in publisher.noted]


async def test_a_refused_array_is_in_the_audit_without_its_payload(world: World) -> None:
    """All API activity is reportable (protocol.md 13); somebody's data is no part of that."""
    bad = reading(1)
    bad["payload"]["CommonBlock"]["S1"]["senderRoleID"] = "SUPPLIER"
    assert (await world.post(array(reading(2), bad))).status == 400
    (record,) = await written(world.publisher)
    assert (record.stage, record.status, record.status_code) == (
        Stage.INBOUND,
        Status.INBOUND_RULE_FAILURE,
        400,
    )
    assert (record.sender_id, record.channel, record.code) == (SENDER.id, "IF-021", "MSG1001")
    assert record.reason == "1 messages refused: schema at /1/payload/CommonBlock/S1/senderRoleID"
    assert world.publisher.records == []


async def test_a_sender_that_is_not_the_callers_is_in_the_audit(world: World) -> None:
    foreign = reading(1, sender=OTHER)
    assert (await world.post(array(foreign))).status == 403
    (record,) = await written(world.publisher)
    assert (record.status_code, record.sender_id, record.code) == (403, SENDER.id, "MSG1000")


async def test_a_dry_run_that_finds_something_is_in_the_audit_as_one(world: World) -> None:
    bad = reading(1)
    bad["payload"]["CommonBlock"]["S1"]["senderRoleID"] = "SUPPLIER"
    path = "/validate/if-021/activepower"
    assert (await world.post(array(reading(2), bad), path=path)).status == 400
    assert (await world.post(b"{}", path=path)).status == 400
    assert (await world.post(array(reading(2)), path=path)).status == 201
    first, second = await written(world.publisher)
    assert (first.stage, first.status_code, first.sender_id, first.channel, first.code) == (
        Stage.INBOUND,
        400,
        SENDER.id,
        "IF-021",
        "MSG1001",
    )
    assert first.reason == (
        "1 messages refused in a dry run: schema at /1/payload/CommonBlock/S1/senderRoleID"
    )
    assert second.reason == "1 messages refused in a dry run: json at /"
    assert world.publisher.records == []


async def test_what_is_accepted_is_not_noted_here(world: World) -> None:
    assert (await world.post(array(reading(1)))).status == 201
    assert await written(world.publisher) == []


async def test_no_value_of_a_message_gets_into_the_record() -> None:
    publisher = Recorder()
    audit(publisher).note(SENDER.id, IF_021, HTTPStatus.BAD_REQUEST, faults())
    (record,) = await written(publisher)
    assert record.reason == "1 messages refused: sender-role at /3/payload/CommonBlock/S1/senderRoleID"
    assert SECRET.encode() not in publisher.noted[0].value


async def test_a_caller_that_is_refused_all_the_time_costs_little_and_hides_nobody() -> None:
    publisher, clock = Recorder(), Clock()
    notes = audit(publisher, clock)
    for _ in range(500):
        notes.note(SENDER.id, IF_021, HTTPStatus.BAD_REQUEST, faults())
    notes.note(SUPPLIER.id, IF_021, HTTPStatus.BAD_REQUEST, faults())
    records = await written(publisher)
    assert len(records) == REFUSALS_NOTED_BURST + 1
    assert records[-1].sender_id == SUPPLIER.id
    clock.at += timedelta(seconds=1)
    notes.note(SENDER.id, IF_021, HTTPStatus.BAD_REQUEST, faults())
    (*_, last) = await written(publisher)
    assert f"{500 - int(REFUSALS_NOTED_BURST)} refused calls before it are not recorded" in (
        last.reason or ""
    )


async def test_what_kafka_did_not_take_is_told_later() -> None:
    """A refusal waits for no broker, and the gap shows."""
    publisher = Recorder(failure="no broker")
    notes = audit(publisher)
    notes.note(SENDER.id, IF_021, HTTPStatus.BAD_REQUEST, faults())
    await written(publisher)
    publisher.failure = None
    notes.note(SENDER.id, IF_021, HTTPStatus.BAD_REQUEST, faults())
    (*_, last) = await written(publisher)
    assert "1 refused calls before it are not recorded" in (last.reason or "")


async def test_a_thousand_problems_fit_one_record() -> None:
    publisher = Recorder()
    many = tuple(fault for index in range(1_000) for fault in faults(index))
    audit(publisher).note(SENDER.id, IF_021, HTTPStatus.BAD_REQUEST, many)
    (record,) = await written(publisher)
    assert len(record.reason or "") <= 500
    assert (record.reason or "").startswith("1000 messages refused")
