"""Bearer tokens over real connections: the token endpoint is called under the same guards as webhooks."""

from pathlib import Path

import orjson
from aiohttp import web
from msgspec.structs import replace

from pipeline.adapters.callable_network import CallableNetwork, policy_of
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.settings import Settings
from tests.integration.delivery.test_webhook import WHO, post, router_settings
from tests.support.webhooks import WebhookServer, hole, status

__all__ = ["router_settings"]  # a fixture
SECRET = "not to be shown"  # of a test


async def gives(
    server: WebhookServer, request: web.Request, _who: str, _messages: list[dict]
) -> web.Response:
    return web.json_response(
        {"access_token": f"t{server.posts['token']}", "token_type": "Bearer", "expires_in": 600}
    )


def made(
    settings: Settings, server: WebhookServer, folder: Path, token_url: str | None = None
) -> WebhookClient:
    file = {
        "token_url": token_url or server.url("token"),
        "client_id": "router",
        "client_secret": SECRET,
        "origins": [f"https://127.0.0.1:{server.port}"],
    }
    folder.mkdir(exist_ok=True)
    (folder / WHO).write_bytes(orjson.dumps(file))
    return WebhookClient(
        signer=signer_of(settings),
        clock=SystemClock(),
        timeout_s=settings.webhook_timeout_s,
        tls=tls_of(settings),
        network=CallableNetwork(policy_of(settings)),
        credentials=str(folder),
    )


async def test_calls_carry_a_token_beside_their_signature(router_settings, server, tmp_path) -> None:
    server.behaviour["token"] = gives
    client = made(router_settings, server, tmp_path / "credentials")
    asked = replace(post(server.url(WHO)), oauth2=True)
    try:
        results = [await client.post(asked) for _ in range(3)]
        await client.post(post(server.url(WHO)))
    finally:
        await client.close()
    assert [one.status for one in results] == [201] * 3
    calls = [headers for who, headers, _ in server.requests if who == WHO]
    assert [one.get("Authorization") for one in calls] == ["Bearer t1"] * 3 + [None], (
        "only for who asks for it"
    )
    assert all("X-DIP-Signature" in one for one in calls)
    assert server.posts["token"] == 1
    body = next(content for who, _, content in server.requests if who == "token")
    assert body == b"grant_type=client_credentials"


async def test_a_token_endpoint_is_called_under_the_same_guards(router_settings, server, tmp_path) -> None:
    """No address inside, no redirect, no plain HTTP, no endless wait; and the webhook is not called."""
    server.behaviour["moved"] = status(302, Location="https://169.254.169.254/")
    server.behaviour["silent"] = hole
    expected = (
        ("https://169.254.169.254/token", ErrorClass.BLOCKED),
        (f"http://127.0.0.1:{server.port}/token", ErrorClass.BLOCKED),
        (server.url("moved"), ErrorClass.STATUS),
        (server.url("silent"), ErrorClass.CONNECT),
    )
    for number, (token_url, error) in enumerate(expected):
        client = made(router_settings, server, tmp_path / f"credentials{number}", token_url)
        try:
            result = await client.post(replace(post(server.url(WHO)), oauth2=True))
        finally:
            await client.close()
        assert isinstance(result, Failed), token_url
        assert (result.error, SECRET in result.text) == (error, False), result.text
    assert server.posts[WHO] == 0


async def test_a_refused_token_is_replaced_once(router_settings, server, tmp_path) -> None:
    async def only_the_second(
        _: WebhookServer, request: web.Request, _who: str, _messages: list[dict]
    ) -> web.Response:
        return web.Response(status=201 if request.headers["Authorization"] == "Bearer t2" else 401)

    server.behaviour |= {"token": gives, WHO: only_the_second}
    client = made(router_settings, server, tmp_path / "credentials")
    try:
        result = await client.post(replace(post(server.url(WHO)), oauth2=True))
    finally:
        await client.close()
    assert isinstance(result, Answered)
    assert result.status == 201
    assert (server.posts["token"], server.posts[WHO]) == (2, 2)
