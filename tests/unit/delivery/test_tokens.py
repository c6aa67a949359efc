"""Bearer tokens for webhooks: one question for many calls, never to a stranger, and no secret in any text."""

import asyncio
import base64
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.webhook_tokens import WebhookTokens
from pipeline.domain.client_credentials import (
    Token,
    origin_of,
    read_credentials,
    read_token,
    token_request,
)
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result, Retry, judge
from pipeline.domain.identifiers import ParticipantId
from pipeline.limits import TOKEN_CHARS_MAX, TOKEN_KEPT_S_MAX, TOKEN_LIFE_S_USUAL
from tests.support.fake_engine import START, FakeClock, identity, make_copy

WHO = ParticipantId("2300000001")
HOOK = "https://dip.example:8443/messages"
SECRET = "s3cret/:&= and more"  # of a test
FILE = {
    "token_url": "https://login.example/token",
    "client_id": "router:1",
    "client_secret": SECRET,
    "origins": ["https://dip.example:8443"],
    "scope": "dip.write",
}
NOT_AUTHORISED = Answered(status=401)


def answer(token: str, **more: object) -> Answered:
    return Answered(status=200, body=orjson.dumps({"access_token": token, "token_type": "Bearer", **more}))


@dataclass
class Servers:
    """An authorisation server that gives numbered tokens, and a webhook that knows which are good."""

    answers: list[Result] = field(default_factory=list)
    asked: int = 0
    good: set[str] = field(default_factory=set)
    used: list[str] = field(default_factory=list)
    life_s: float = 600.0

    async def fetch(self, _url: str, _headers: dict[str, str], _body: bytes) -> Result:
        await asyncio.sleep(0)
        self.asked += 1
        if self.answers:
            return self.answers.pop(0)
        token = f"token-{self.asked}"
        self.good.add(token)
        return answer(token, expires_in=self.life_s)

    async def call(self, headers: dict[str, str]) -> Result:
        await asyncio.sleep(0)
        token = headers["Authorization"].removeprefix("Bearer ")
        self.used.append(token)
        return Answered(status=201) if token in self.good else NOT_AUTHORISED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / WHO).write_text(orjson.dumps(FILE).decode())
    return tmp_path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(folder: Path, clock: FakeClock) -> WebhookTokens:
    return WebhookTokens(str(folder), clock=clock)


async def posted(tokens: WebhookTokens, servers: Servers, url: str = HOOK) -> Result:
    return await tokens.authorised(WHO, url, fetch=servers.fetch, call=servers.call)


async def test_many_calls_share_one_question(tokens: WebhookTokens) -> None:
    servers = Servers()
    results = await asyncio.gather(*(posted(tokens, servers) for _ in range(50)))
    results += [await posted(tokens, servers) for _ in range(50)]
    assert {one.status for one in results} == {201}
    assert servers.asked == 1
    assert set(servers.used) == {"token-1"}


async def test_a_token_is_replaced_before_it_ends(tokens: WebhookTokens, clock: FakeClock) -> None:
    servers = Servers(life_s=600)
    await posted(tokens, servers)
    clock.forward(539)
    await posted(tokens, servers)
    assert servers.asked == 1
    clock.forward(2)
    await posted(tokens, servers)
    assert servers.used == ["token-1", "token-1", "token-2"]


async def test_a_refused_token_is_replaced_once_for_all_calls_and_they_are_made_again(
    tokens: WebhookTokens,
) -> None:
    servers = Servers()
    await posted(tokens, servers)
    servers.good.clear()
    results = await asyncio.gather(*(posted(tokens, servers) for _ in range(20)))
    assert {one.status for one in results} == {201}
    assert servers.asked == 2


async def test_a_webhook_that_refuses_every_token_is_called_twice_and_no_more(tokens: WebhookTokens) -> None:
    servers = Servers(answers=[answer("bad"), answer("bad")])
    assert await posted(tokens, servers) == NOT_AUTHORISED
    assert (servers.asked, len(servers.used)) == (2, 2)


@pytest.mark.parametrize(
    ("found", "error", "says"),
    [
        (
            Answered(status=401, body=b'{"error":"invalid_client"}'),
            ErrorClass.OURS,
            "HTTP 401 invalid_client",
        ),
        (Answered(status=400, body=b'{"error":"a\\u000db"}'), ErrorClass.OURS, "HTTP 400"),
        (Answered(status=400, body=b"<html>"), ErrorClass.OURS, "HTTP 400"),
        (Answered(status=503), ErrorClass.STATUS, "HTTP 503"),
        (Answered(status=302), ErrorClass.STATUS, "HTTP 302"),
        (Answered(status=200, body=b"{}"), ErrorClass.STATUS, "no bearer token"),
        (Answered(status=200, body=b"[1]"), ErrorClass.STATUS, "no bearer token"),
        (
            Answered(status=200, body=b'{"access_token":"a","token_type":"mac"}'),
            ErrorClass.STATUS,
            "no bearer",
        ),
        (answer("two\r\nX-Evil: 1"), ErrorClass.STATUS, "no bearer token"),
        (answer("x" * (TOKEN_CHARS_MAX + 1)), ErrorClass.STATUS, "no bearer token"),
        (Failed(error=ErrorClass.TIMEOUT, text="timeout"), ErrorClass.CONNECT, "token endpoint: timeout"),
        (Failed(error=ErrorClass.BLOCKED, text="blocked: 10.0.0.1"), ErrorClass.BLOCKED, "10.0.0.1"),
    ],
)
async def test_without_a_token_nothing_is_sent_and_it_says_why(tokens, found, error, says) -> None:
    servers = Servers(answers=[found])
    result = await posted(tokens, servers)
    assert isinstance(result, Failed)
    assert result.error is error
    assert says in result.text
    assert "\r" not in result.text
    assert servers.used == []
    assert isinstance(await posted(tokens, servers), Answered), "the next call asks again"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example:8443/messages",
        "https://dip.example/messages",
        "http://dip.example:8443/messages",
        "https://dip.example:8443.evil.example/",
        "https://dip.example:8443@evil.example/",
    ],
)
async def test_no_token_goes_to_an_address_that_the_operator_has_not_named(
    tokens: WebhookTokens, url: str
) -> None:
    servers = Servers()
    result = await posted(tokens, servers, url)
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.OURS
    assert "origins" in result.text
    assert (servers.asked, servers.used) == (0, [])


async def test_changed_credentials_count_for_the_next_call(tokens: WebhookTokens, folder: Path) -> None:
    servers = Servers()
    await posted(tokens, servers)
    (folder / WHO).write_text(orjson.dumps({**FILE, "client_secret": "other"}).decode())
    await posted(tokens, servers)
    assert servers.used == ["token-1", "token-2"]


async def test_a_call_that_is_let_go_leaves_the_question_to_the_others(tokens: WebhookTokens) -> None:
    servers = Servers()
    first = asyncio.create_task(posted(tokens, servers))
    second = asyncio.create_task(posted(tokens, servers))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).status == 201
    assert servers.asked == 1


WRONG = (
    ("", "no JSON"),
    ("[]", "object"),
    (orjson.dumps({**FILE, "client_secret": ""}).decode(), "client_secret"),
    (orjson.dumps({**FILE, "origins": []}).decode(), "origins"),
    (orjson.dumps({**FILE, "origins": ["https://dip.example/path"]}).decode(), "origins"),
    (orjson.dumps({**FILE, "origins": ["dip.example"]}).decode(), "origins"),
    (orjson.dumps({**FILE, "origins": ["https://dip.example:443"]}).decode(), "origins"),
    (orjson.dumps({**FILE, "origins": ["https://dip.example:x"]}).decode(), "origins"),
    (orjson.dumps({**FILE, "auth": "digest"}).decode(), "auth"),
    (orjson.dumps({**FILE, "scopes": "a"}).decode(), "scopes"),
    (
        orjson.dumps({name: value for name, value in FILE.items() if name != "token_url"}).decode(),
        "token_url",
    ),
)


@pytest.mark.parametrize(("text", "says"), WRONG, ids=[says for _, says in WRONG])
async def test_a_file_that_cannot_be_used_holds_the_lane_and_is_named(tokens, folder, text, says) -> None:
    (folder / WHO).write_text(text)
    result = await posted(tokens, Servers())
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.OURS
    assert str(folder / WHO) in result.text
    assert says in result.text
    assert SECRET not in result.text
    judged = judge(result, [identity(make_copy(0))], now=START)
    assert isinstance(judged, Retry)
    assert not judged.counted, "never held against the recipient"


async def test_a_missing_file_and_a_missing_setting_are_named(folder: Path, clock: FakeClock) -> None:
    (folder / WHO).unlink()
    for made, says in ((str(folder), "cannot be read"), ("", "DIP_WEBHOOK_CREDENTIALS")):
        result = await posted(WebhookTokens(made, clock=clock), Servers())
        assert isinstance(result, Failed)
        assert says in result.text


def test_credentials_go_as_basic_or_in_the_body_as_rfc_6749_has_it() -> None:
    basic = read_credentials(orjson.dumps(FILE).decode())
    headers, body = token_request(basic)
    pair = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
    assert pair == "router%3A1:s3cret%2F%3A%26%3D%20and%20more"
    assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"], "scope": ["dip.write"]}
    in_body = read_credentials(orjson.dumps({**FILE, "auth": "body", "audience": "dip"}).decode())
    headers, body = token_request(in_body)
    assert "Authorization" not in headers
    fields = parse_qs(body.decode())
    assert fields["client_secret"] == [SECRET]
    assert fields["audience"] == ["dip"]
    assert SECRET not in repr(basic) + repr(in_body) + repr(Token(value=SECRET, until=START))


@given(
    expires_in=st.one_of(
        st.none(),
        st.text(max_size=5),
        st.booleans(),
        st.integers(-10, 10**12),
        st.floats(allow_nan=False, width=32),
    )
)
def test_whatever_an_answer_says_of_its_life_a_token_is_kept_for_a_bounded_time(expires_in: object) -> None:
    body = {"access_token": "a", "token_type": "bearer", "expires_in": expires_in}
    try:
        found = read_token(Answered(status=200, body=orjson.dumps(body)), now=START)
    except orjson.JSONEncodeError:
        return
    assert isinstance(found, Token)
    kept = found.until - START
    assert timedelta(0) <= kept <= timedelta(seconds=TOKEN_KEPT_S_MAX)
    if isinstance(expires_in, int) and not isinstance(expires_in, bool) and expires_in > 0:
        assert kept < timedelta(seconds=expires_in), "not to its very end"
    if not isinstance(expires_in, int | float):
        assert kept < timedelta(seconds=TOKEN_LIFE_S_USUAL)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/x", "https://a.example"),
        ("https://a.example:443/x", "https://a.example"),
        ("https://A.example:8443", "https://a.example:8443"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin
