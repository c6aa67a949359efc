"""Every way in which a request can be wrong: the right status and code, a help that helps, and nothing stored."""

import asyncio
import base64
import hashlib
from datetime import timedelta

import aiohttp
import orjson
import pytest

from pipeline.catalogue.json_text import Unreadable
from pipeline.domain.signing import CERTIFICATE_HEADER, DATE_HEADER, HASH_HEADER, HEADERS, SIGNATURE_HEADER
from pipeline.ingress.slicing import read_message_text
from tests.support.bridge import (
    NOW,
    OTHER,
    PROVIDER,
    SENDER,
    Answer,
    Recorder,
    World,
    array,
    catalogue,
    certificate_of,
    open_world,
    reading,
)

DEEP = 10_000


def _message(**s1: object) -> bytes:
    return orjson.dumps(reading(1, **s1))


async def _lives(world: World) -> None:
    """Show that the process goes on, and that nothing of what was refused has been stored."""
    assert world.publisher.records == []
    assert (await world.post(array(reading(99)))).status == 201


def _refused(answer: Answer, code: str, *pieces: str) -> None:
    assert answer.status == 400, (answer.status, answer.headers, answer.body)
    for body in answer.bodies:
        assert len(body) == 10
        assert body["message"].startswith(f"{code} - "), body
        assert len(body["help"]) <= 500
    for piece in pieces:
        assert piece in answer.bodies[0]["help"], answer.bodies[0]["help"]


NO_ARRAYS = {
    "nothing": (b"", "not JSON"),
    "white space": (b" \n", "not JSON"),
    "text": (b"hello", "not JSON"),
    "half an array": (b'[{"payload":', "not JSON"),
    "bytes after the array": (b"[" + _message() + b"] x", "not JSON"),
    "a trailing comma": (b"[" + _message() + b",]", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf[" + _message() + b"]", "byte order mark"),
    "UTF-16": (("[" + _message().decode() + "]").encode("utf-16"), "not JSON"),
    "an object": (_message(), "must be a JSON array"),
    "null": (b"null", "must be a JSON array"),
    "an empty array": (b"[]", "empty"),
    "10,000 nested arrays": (b"[" * DEEP + b"]" * DEEP, "nested"),
    "10,000 nested arrays, never closed": (b"[" * DEEP, "nested"),
}


@pytest.mark.parametrize("name", NO_ARRAYS)
async def test_a_body_that_is_no_array_of_messages_is_told_why(name: str, world: World) -> None:
    body, piece = NO_ARRAYS[name]
    answer = await world.post(body)
    _refused(answer, "MSG1001", piece)
    assert len(answer.bodies) == 1
    assert answer.bodies[0]["transactionID"] is None
    assert answer.bodies[0]["senderUniqueReference"] is None
    await _lives(world)


BAD_MESSAGES = {
    "a number": (b"5", "expected an object"),
    "null": (b"null", "expected an object"),
    "10,000 nested objects": (b'{"payload":' * DEEP + b"1" + b"}" * DEEP, "nested"),
    "nesting of 40 levels in an open place": (
        _message()[:-2] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}}",
        "nested deeper than 32",
    ),
    "a name twice": (_message().replace(b'"S1":{', b'"S1":{"subText":null,'), "twice"),
    "a name twice, once in escapes": (
        _message().replace(b'"S1":{', b'"S1":{"sub\\u0054ext":null,'),
        "twice",
    ),
    "a name twice in two letter cases": (
        _message().replace(b'"S1":{', b'"S1":{"SUBTEXT":null,'),
        "/0/payload/CommonBlock/S1",
    ),
    "invalid UTF-8": (_message().replace(b"ActivePower", b"Active\xffPower"), "UTF-8"),
    "a lone surrogate": (_message(subText="x").replace(b'"subText":"x"', b'"subText":"\\ud800"'), "not JSON"),
    "NaN": (b'{"payload":NaN}', "not JSON"),
    "no payload": (b"{}", "/0/payload"),
    "an unknown key": (_message().replace(b'"CommonBlock"', b'"Extra":1,"CommonBlock"'), "/0/payload/Extra"),
    "a missing key": (
        _message().replace(b'"senderCorrelationID":null,', b""),
        "/0/payload/CommonBlock/S1/senderCorrelationID: missing",
    ),
    "null where it is not allowed": (
        _message(senderTimestamp=None),
        "/0/payload/CommonBlock/S1/senderTimestamp: null does not fit",
    ),
    "a number for a text": (
        _message(senderTimestamp=7),
        "/0/payload/CommonBlock/S1/senderTimestamp: 7 does not fit",
    ),
}


SEEN_BY_THE_CUT = {"10,000 nested objects", "a lone surrogate", "NaN"}


@pytest.mark.parametrize("name", BAD_MESSAGES)
async def test_a_message_that_does_not_fit_is_told_where(name: str, world: World) -> None:
    message, piece = BAD_MESSAGES[name]
    answer = await world.post(b"[" + message + b"]")
    _refused(answer, "MSG1001", piece)
    if name not in SEEN_BY_THE_CUT:
        assert answer.bodies[0]["help"].startswith("/0")
    await _lives(world)


async def test_missing_and_null_are_told_apart(world: World) -> None:
    """A null where null is allowed is fine; the same key left out is not."""
    assert (await world.post(b"[" + _message(subText=None) + b"]")).status == 201
    world.publisher.records.clear()
    answer = await world.post(b"[" + _message(subText=None).replace(b'"subText":null,', b"") + b"]")
    _refused(answer, "MSG1001", "/S1/subText: missing")
    await _lives(world)


async def test_every_bad_message_of_an_array_is_reported_and_no_good_one_is_taken(world: World) -> None:
    good, bad, worse = reading(1), reading(2, senderTimestamp="today"), {"payload": {}}
    answer = await world.post(array(good, bad, good, worse))
    assert answer.status == 400
    assert [body["help"].split("/", 2)[1] for body in answer.bodies] == ["1", "3"]
    await _lives(world)


async def test_a_help_text_never_breaks_the_schema(world: World) -> None:
    message = reading(1)
    message["payload"]["CommonBlock"]["S1"] |= {"x" * 90 + str(number): "y" for number in range(50)}
    answer = await world.post(array(message))
    _refused(answer, "MSG1001")
    assert 400 < len(answer.bodies[0]["help"]) <= 500
    assert answer.bodies[0]["help"].endswith("; and at least 7 more")


@pytest.mark.parametrize(
    ("path", "s1"),
    [("/dip-channel/IF-035", {}), ("/dip-channel/IF-030", {}), ("/dip-channel/IF-042", {})],
)
async def test_a_message_on_another_channel_than_its_own_is_msg1002(
    path: str, s1: dict[str, object], world: World
) -> None:
    answer = await world.post(array(reading(1, **s1)), path=path)
    _refused(answer, "MSG1002", "/0/payload/CommonBlock/S0/interfaceID", "IF-021")
    await _lives(world)


@pytest.mark.parametrize(
    ("s1", "code"),
    [
        ({"senderTimestamp": "2026-01-05T09:30:00+99:00"}, "MSG1007"),
        ({"senderRoleID": "SUP"}, "MSG1010"),
        ({"senderRoleID": "ADS"}, "MSG1010"),
        ({"senderDIPID": "8888888888"}, "MSG1009"),
        ({"DIPConnectionProviderID": "8888888888"}, "MSG1011"),
        ({"DIPConnectionProviderID": OTHER.id}, "MSG1011"),
    ],
)
async def test_header_checks_have_their_own_codes(s1: dict[str, object], code: str, world: World) -> None:
    answer = await world.post(array(reading(1, **s1)))
    _refused(answer, code, "/0/payload/CommonBlock/S1/")
    assert answer.bodies[0]["senderUniqueReference"] is not None
    await _lives(world)


async def test_another_environments_messages_are_refused() -> None:
    world = await open_world(environment_tag="PRD")
    answer = await world.post(array(reading(1, environmentTag="UIT")))
    _refused(answer, "MSG1001", "environmentTag")
    await world.close()


# --- identity ------------------------------------------------------------------------------------------


async def test_an_unknown_api_key_is_401(world: World) -> None:
    answer = await world.post(array(reading(1)), headers={"X-API-Key": "nobody"})
    assert (answer.status, answer.body) == (401, b"")
    assert "API key" in answer.help
    assert (await world.post(array(reading(1)), without=["X-API-Key"])).status == 401
    assert (await world.post(array(reading(1)), headers={"X-API-Key": "é\udc80"})).status == 401
    await _lives(world)


async def test_a_key_that_shares_only_the_lookup_digits_is_not_taken(world: World) -> None:
    """The lookup finds a row; only the salted digest proves the key."""
    from dataclasses import replace

    from pipeline.domain.participants import Participants

    (row,) = SENDER.row.api_keys
    forged = replace(SENDER.row, api_keys=(replace(row, digest="0" * 64),))
    other = await open_world(participants=Participants([forged]))
    assert (await other.post(array(reading(1)))).status == 401
    await other.close()


@pytest.mark.parametrize("name", HEADERS)
async def test_a_missing_signature_header_is_401_and_named(name: str, world: World) -> None:
    answer = await world.post(array(reading(1)), without=[name])
    assert answer.status == 401
    assert name in answer.help
    await _lives(world)


async def test_a_wrong_signature_is_401(world: World) -> None:
    wrong = base64.b64encode(bytes(256)).decode()
    answer = await world.post(array(reading(1)), headers={SIGNATURE_HEADER: wrong})
    assert answer.status == 401
    assert f"{world.origin}/dip-channel/if-021" in answer.help, "the URL that must be signed is said"
    await _lives(world)


async def test_a_body_changed_on_the_way_is_401_with_the_hash_named(world: World) -> None:
    signed = SENDER.headers(f"{world.origin}/dip-channel/IF-021", array(reading(1)))
    answer = await world.post(array(reading(2)), headers=signed)
    assert answer.status == 401
    assert HASH_HEADER in answer.help
    await _lives(world)


async def test_a_sender_that_hashed_characters_is_told_so(world: World) -> None:
    body = array(reading(1, subText="café"))
    wrong = base64.b64encode(hashlib.sha256(body.decode().encode("latin-1")).digest()).decode()
    answer = await world.post(body, headers={HASH_HEADER: wrong})
    assert answer.status == 401
    assert "characters" in answer.help
    await _lives(world)


async def test_a_stale_date_is_401_and_says_by_how_much(world: World) -> None:
    body, url = array(reading(1)), f"{world.origin}/dip-channel/IF-021"
    answer = await world.post(body, headers=SENDER.headers(url, body, now=NOW - timedelta(seconds=301)))
    assert answer.status == 401
    assert "301 s behind" in answer.help
    answer = await world.post(body, headers={DATE_HEADER: "2026-01-05T09:30:00+00:00"})
    assert answer.status == 401
    await _lives(world)


async def test_the_key_of_another_participant_is_403(world: World) -> None:
    """OTHER signs with its own key and certificate, but the message says SENDER."""
    answer = await world.post(array(reading(1, sender=OTHER), reading(1)), party=OTHER)
    assert (answer.status, answer.body) == (403, b"")
    assert "/1/payload/CommonBlock/S1/senderDIPID" in answer.help
    await _lives(world)


async def test_the_certificate_of_another_participant_is_403(world: World) -> None:
    answer = await world.post(array(reading(1)), party=OTHER, headers={"X-API-Key": SENDER.api_key})
    assert answer.status == 403
    assert certificate_of(OTHER.id).fingerprint in answer.help
    await _lives(world)


async def test_a_certificate_that_nobody_registered_is_401(world: World) -> None:
    from pipeline.domain.identifiers import ParticipantId
    from tests.support.bridge import Party

    stranger = Party(id=ParticipantId("7777777777"))
    answer = await world.post(array(reading(1)), party=stranger, headers={"X-API-Key": SENDER.api_key})
    assert answer.status == 401
    nonsense = {CERTIFICATE_HEADER: "AAAA"}
    assert (await world.post(array(reading(1)), headers=nonsense)).status == 401
    await _lives(world)


async def test_a_provider_that_the_message_does_not_name_is_403(world: World) -> None:
    answer = await world.post(array(reading(1)), party=PROVIDER)
    assert answer.status == 403
    await _lives(world)


# --- HTTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/dip-channel", "/dip-channel/IF-999", "/dip-channel/IF-021/x", "/metrics"]
)
async def test_an_unknown_path_is_404(path: str, world: World) -> None:
    answer = await world.post(array(reading(1)), path=path)
    assert (answer.status, answer.body) == (404, b"")
    assert "/dip-channel/IF-nnn" in answer.help


async def test_another_method_is_405_and_names_the_right_one(world: World) -> None:
    async with world.client.get(f"{world.origin}/dip-channel/IF-021") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/xml"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Encoding": "br"}, 415),
        ({"Accept": "text/html"}, 406),
    ],
)
async def test_other_media_than_plain_json_are_refused(
    headers: dict[str, str], status: int, world: World
) -> None:
    answer = await world.post(array(reading(1)), headers=headers)
    assert answer.status == status
    assert answer.help
    await _lives(world)


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_declared_in_any_way(media: str, world: World) -> None:
    answer = await world.post(
        array(reading(1)), headers={"Content-Type": media, "Accept": "text/html, */*;q=0.1"}
    )
    assert answer.status == 201


async def test_a_client_that_asks_for_problems_gets_them(world: World) -> None:
    headers = {"Accept": "application/problem+json, application/json", "X-API-Key": "nobody"}
    answer = await world.post(array(reading(1)), headers=headers)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = orjson.loads(answer.body)
    assert problem == {
        "type": "urn:open-dip:problem:api-key-unknown",
        "title": "Unauthorized",
        "status": 401,
        "detail": answer.help,
    }


async def test_more_messages_than_allowed_are_413() -> None:
    world = await open_world(array_messages_max=3)
    assert (await world.post(array(*map(reading, range(1, 4))))).status == 201
    world.publisher.records.clear()
    answer = await world.post(array(*map(reading, range(1, 5))))
    assert answer.status == 413
    assert "at most 3" in answer.help
    flood = b"[" + b"1," * 1_000_000 + b"1]"
    answer = await world.post(flood)
    assert (answer.status, answer.body) == (413, b"")
    await world.close()


async def test_a_message_too_large_for_a_record_is_413(world: World) -> None:
    answer = await world.post(b'[1,{"x":"' + b"x" * 2_000_000 + b'"}]')
    assert answer.status == 413
    assert "/1" in answer.help
    await _lives(world)


async def test_a_body_that_announces_too_much_is_413_before_it_is_read() -> None:
    world = await open_world(body_bytes_max=10_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listening.port)
    headers = SENDER.headers(f"{world.origin}/dip-channel/IF-021", b"") | {
        "Host": "x",
        "Expect": "100-continue",
    }
    head = "POST /dip-channel/IF-021 HTTP/1.1\r\nContent-Length: 10001\r\n"
    writer.write((head + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode())
    line = await asyncio.wait_for(reader.readline(), 20)
    assert line.startswith(b"HTTP/1.1 413 ")
    writer.close()
    await world.close()


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(world: World) -> None:
    body = array(reading(1))
    answer = await world.post(body, headers={"Expect": "100-continue"})
    assert answer.status == 201
    async with world.client.post(
        f"{world.origin}/dip-channel/IF-021",
        data=body,
        headers=SENDER.headers(f"{world.origin}/dip-channel/IF-021", body),
        expect100=True,
    ) as response:
        assert response.status == 201


async def test_a_chunked_body_is_read_no_further_than_the_cap() -> None:
    world = await open_world(body_bytes_max=1_000_000)
    sent = 0

    async def flood() -> object:
        nonlocal sent
        for _ in range(1_000):
            sent += 100_000
            yield b" " * 100_000

    headers = SENDER.headers(f"{world.origin}/dip-channel/IF-021", b"")
    try:
        async with world.client.post(
            f"{world.origin}/dip-channel/IF-021", data=flood(), headers=headers
        ) as response:
            assert response.status == 413
    except aiohttp.ClientError:
        pass  # the server may close while the client still writes
    assert sent < 50_000_000
    assert world.publisher.records == []
    assert (await world.post(array(reading(99)))).status == 201
    await world.close()


async def test_more_requests_than_places_are_503_with_retry_after() -> None:
    publisher = Recorder(gate=asyncio.Event())
    world = await open_world(publisher=publisher, requests_in_flight_max=1)
    first = asyncio.create_task(world.post(array(reading(1))))
    await asyncio.wait_for(publisher.handed.wait(), 20)
    answer = await world.post(array(reading(2)))  # waits for its turn, but not for ever
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert publisher.gate is not None
    publisher.gate.set()
    assert (await first).status == 201
    assert (await world.post(array(reading(2)))).status == 201
    await world.close()


async def test_a_stopping_bridge_finishes_what_it_has_and_turns_the_rest_away() -> None:
    publisher = Recorder(gate=asyncio.Event())
    world = await open_world(publisher=publisher)
    first = asyncio.create_task(world.post(array(reading(1))))
    await asyncio.wait_for(publisher.handed.wait(), 20)
    world.bridge.stopping = True
    answer = await world.post(array(reading(2)))
    assert answer.status == 503
    stopping = asyncio.create_task(world.listening.stop())
    assert publisher.gate is not None
    publisher.gate.set()
    assert (await first).status == 201
    await asyncio.wait_for(stopping, 20)
    await world.client.close()


async def test_a_fault_of_ours_is_500_without_our_insides() -> None:
    class Broken(Recorder):
        async def publish(self, records: object) -> object:  # type: ignore[override]  # it only raises
            raise RuntimeError("secret insides")

    world = await open_world(publisher=Broken())
    answer = await world.post(array(reading(1)))
    assert (answer.status, answer.body) == (500, b"")
    assert "secret" not in str(answer.headers)
    assert (await world.post(b"[]")).status == 400
    await world.close()


async def test_an_array_of_everything_at_once_names_the_first_ten_problems_only(world: World) -> None:
    """Bounded work for bounded insight: `help` holds 500 characters anyway."""
    message = reading(1)
    message["payload"]["CommonBlock"]["S1"] = {}
    message["payload"]["CustomBlock"] = {}
    verdict = catalogue().check(message, channel="IF-021")
    assert len(verdict.problems) == 10
    _refused(await world.post(array(message)), "MSG1001", "senderUniqueReference")


def test_brackets_inside_texts_do_not_count_as_nesting() -> None:
    assert not isinstance(read_message_text(orjson.dumps({"a": "[" * 100, "b": ["}", "{]["]})), Unreadable)
    assert isinstance(read_message_text(b"[" * 34 + b"]" * 34), Unreadable)
    assert not isinstance(read_message_text(b"[" * 32 + b"]" * 32), Unreadable)


@pytest.mark.parametrize("length", ["Transfer-Encoding: chunked", "Content-Length: 100"])
async def test_a_client_that_goes_away_in_the_middle_is_no_fault_of_ours(
    length: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines are cut every day: no error in the log, nothing stored, and the next request is served."""
    _, writer = await asyncio.open_connection("127.0.0.1", world.listening.port)
    head = f"POST /dip-channel/IF-021 HTTP/1.1\r\nHost: x\r\nX-API-Key: {SENDER.api_key}\r\n{length}\r\n\r\n"
    writer.write(head.encode() + (b"5\r\n[1,2,\r\n" if "chunked" in length else b"[1,2,"))
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await _lives(world)
    await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []
