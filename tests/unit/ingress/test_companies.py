"""GET and POST /companyDetails: effective-dated standing data, in the schema's form, by whom the operator lets."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from pipeline import topics
from pipeline.adapters.participants import company_key
from pipeline.catalogue.company_details import read_details, write_details
from pipeline.catalogue.explanation import explain
from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.market import picture
from pipeline.domain.participants import Participants
from pipeline.domain.standing_data import CompanyRow
from pipeline.ingress.bodies import shape_of
from tests.support.bridge import EVERYBODY, NOW, SENDER, Party, World, codec, open_world

ISD = Party(id=ParticipantId("5000000001"), role=Role("ISD"))
COMBINATION = "X-company-number=SC876123&X-MPID=XOYO&X-market-role=N&X-DIP-role=SDS"
ADD = f"/companyDetails?{COMBINATION}"
FROM, TO = datetime(2024, 4, 3, 12, tzinfo=UTC), datetime(2025, 4, 3, 12, tzinfo=UTC)


def _row(**changes: object) -> CompanyRow:
    fields = {
        "number": "SC876123",
        "company": "Little Energy Ltd",
        "mpid": "XOYO",
        "market_role": "N",
        "role": Role("SDS"),
        "dip_id": ParticipantId("1400000009"),
        "valid_from": FROM,
    }
    return CompanyRow(**fields | changes)  # type: ignore[arg-type]  # each test names fields of the right type


ROWS = (
    _row(valid_to=TO),
    _row(valid_from=TO),
    _row(mpid="AAAA", market_role=None, role=Role("SUP"), dip_id=None),
    _row(number="98765432", company=None, dip_id=ParticipantId("1400000008")),
)


async def _world(*rows: CompanyRow, **settings: Any) -> World:
    people = picture([*EVERYBODY.values(), ISD.row], (), rows)
    return await open_world(participants=people, **settings)


def _stored(world: World) -> list[CompanyRow]:
    found = [one for one in world.publisher.records if one.topic == topics.PARTICIPANTS]
    rows = [codec().decode_company_row(one.value or b"") for one in found]
    assert [one.key for one in found] == [company_key(row) for row in rows]
    assert [one.topic for one in world.publisher.records] == [topics.PARTICIPANTS] * len(rows) + [
        topics.AUDIT
    ]
    return rows


async def test_all_companies_are_read_with_their_inactive_rows_in_the_schemas_form() -> None:
    world = await _world(*ROWS)
    answer = await world.call("GET", "/companyDetails")
    assert answer.status == 200
    assert [one["payload"]["companyRegNumber"] for one in answer.value] == ["98765432", "SC876123"]
    little = answer.value[1]["payload"]
    assert little["companyName"] == "Little Energy Ltd"
    former = {
        "MPID": "XOYO",
        "marketRole": "N",
        "DIPID": "1400000009",
        "DIPRole": "SDS",
        "datetimeFrom": "2024-04-03T12:00:00+00:00",
        "datetimeTo": "2025-04-03T12:00:00+00:00",
    }
    announced = {"MPID": "AAAA", "marketRole": None, "DIPID": None, "DIPRole": "SUP", "datetimeTo": None}
    assert little["companyDetails"] == [
        former | announced,
        former,
        former | {"datetimeFrom": "2025-04-03T12:00:00+00:00", "datetimeTo": None},
    ]
    for one in answer.value:
        assert list(explain(one["payload"], shape_of("api:marketParticipantDetail"))) == []
    await world.close()


async def test_one_company_is_read_by_its_number_in_any_letter_case_of_the_parameter() -> None:
    world = await _world(*ROWS)
    answer = await world.call("GET", "/companydetails?x-Company-Number=98765432")
    assert [one["payload"]["companyRegNumber"] for one in answer.value] == ["98765432"]
    unknown = await world.call("GET", "/companyDetails?X-company-number=00000000")
    assert (unknown.status, unknown.body) == (404, b"")
    assert "00000000" in unknown.help
    await world.close()


async def test_no_companies_are_an_empty_array() -> None:
    world = await _world()
    answer = await world.call("GET", "/companyDetails")
    assert (answer.status, answer.value) == (200, [])
    await world.close()


@pytest.mark.parametrize("number", ["1", "12345678901", "1234567%7C", "%20%20%20%20%20%20%20%20", ""])
async def test_a_number_that_is_none_is_400(number: str) -> None:
    world = await _world(*ROWS)
    answer = await world.call("GET", f"/companyDetails?X-company-number={number}")
    assert (answer.status, answer.body) == (400, b"")
    assert "X-company-number" in answer.help
    await world.close()


async def test_who_may_read_is_a_setting() -> None:
    world = await _world(*ROWS, company_readers="ISD")
    assert (await world.call("GET", "/companyDetails")).status == 403
    assert (await world.call("GET", "/companyDetails", party=ISD)).status == 200
    assert (await world.call("GET", "/companyDetails", headers={"X-API-Key": "no"})).status == 401
    await world.close()


async def test_a_new_combination_is_announced_without_a_dip_id() -> None:
    world = await _world()
    answer = await world.post(b"", path=ADD, party=ISD)
    assert (answer.status, answer.body) == (201, b"")
    (row,) = _stored(world)
    assert row == _row(company=None, dip_id=None, valid_from=NOW)
    await world.close()


async def test_a_combination_that_is_there_is_201_again_and_nothing_is_stored() -> None:
    for there in (_row(), _row(dip_id=None)):
        world = await _world(there)
        assert (await world.post(b"{}", path=ADD, party=ISD)).status == 201
        assert world.publisher.records == []
        await world.close()


async def test_two_bridges_that_announce_the_same_at_once_write_the_same_record() -> None:
    keys = []
    for _ in range(2):
        world = await _world()
        await world.post(b"", path=ADD, party=ISD)
        keys.append(world.publisher.records[0].key)
        await world.close()
    assert keys[0] == keys[1]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("as_array", [True, False])
async def test_a_body_gives_dates_and_dip_id_with_and_without_payload(wrapped: bool, as_array: bool) -> None:  # noqa: FBT001  # a test's cases
    world = await _world()
    detail: Any = write_details([_row(valid_to=TO)])[0]
    detail = detail if wrapped else detail["payload"]
    body = orjson.dumps([detail] if as_array else detail)
    assert (await world.post(body, path=ADD, party=ISD)).status == 201
    assert _stored(world) == [_row(valid_to=TO)]
    await world.close()


async def test_a_row_is_ended_by_writing_it_with_its_end() -> None:
    world = await _world(_row())
    body = orjson.dumps(write_details([_row(valid_to=TO)]))
    assert (await world.post(body, path=ADD, party=ISD)).status == 201
    (ended,) = _stored(world)
    assert company_key(ended) == company_key(_row())
    world.publisher.records.clear()
    assert (await world.post(orjson.dumps(write_details([_row()])), path=ADD, party=ISD)).status == 201
    assert world.publisher.records == [], "the row is there already, just so"
    await world.close()


async def test_only_the_roles_of_the_setting_may_add() -> None:
    world = await _world()
    answer = await world.post(b"", path=ADD, party=SENDER)
    assert (answer.status, answer.body) == (403, b"")
    assert "ISD" in answer.help
    assert (await world.post(b"", path=ADD, party=ISD, headers={"X-API-Key": "nobody"})).status == 401
    assert world.publisher.records == []
    await world.close()
    world = await _world(company_writers="SDS")
    assert (await world.post(b"", path=ADD, party=SENDER)).status == 201
    assert (await world.post(b"", path=ADD, party=ISD)).status == 403
    await world.close()


async def test_a_role_held_only_formerly_does_not_count() -> None:
    (grant,) = ISD.row.roles
    former = replace(ISD.row, roles=(replace(grant, valid_to=NOW),))
    world = await open_world(participants=Participants([former]))
    assert (await world.post(b"", path=ADD, party=ISD)).status == 403
    await world.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/companyDetails", 400),
        ("/companyDetails?X-company-number=SC876123&X-MPID=XOYO&X-market-role=N", 400),
        (ADD.replace("XOYO", "xoyo"), 400),
        (ADD.replace("market-role=N", "market-role=NN"), 400),
        (ADD.replace("SC876123", "SC8%7C6123"), 400),
        (ADD.replace("role=SDS", "role=SD"), 400),
        (ADD.replace("role=SDS", "role=XYZ"), 404),
    ],
)
async def test_a_combination_that_cannot_be_is_refused_and_says_why(path: str, status: int) -> None:
    world = await _world()
    answer = await world.post(b"", path=path, party=ISD)
    assert (answer.status, answer.body) == (status, b"")
    assert answer.help
    assert world.publisher.records == []
    await world.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"5",
        b"[]",
        orjson.dumps({"companyRegNumber": "SC876123"}),
        orjson.dumps(write_details([_row(mpid="AAAA")])),
        orjson.dumps(write_details([_row()])).replace(b"2024-04-03T12", b"2024-04-03T99"),
        orjson.dumps(write_details([_row()])).replace(b'"DIPID"', b'"DIPIDX"'),
    ],
)
async def test_a_body_that_does_not_fit_the_call_is_400(body: bytes) -> None:
    world = await _world()
    answer = await world.post(body, path=ADD, party=ISD, headers={"Accept": "application/problem+json, */*"})
    assert answer.status == 400
    assert answer.value["problems"]
    assert world.publisher.records == []
    await world.close()


def test_times_without_an_offset_as_in_published_examples_are_utc() -> None:
    detail = write_details([_row(valid_to=TO)])
    text = orjson.dumps(detail).replace(b"+00:00", b"")
    rows, problems = read_details(orjson.loads(text))
    assert (rows, problems) == ((_row(valid_to=TO),), ())


def test_reading_what_was_written_gives_the_same_rows() -> None:
    rows, problems = read_details(write_details(ROWS))
    assert problems == ()
    assert sorted(rows, key=lambda row: row.key) == sorted(ROWS, key=lambda row: row.key)
