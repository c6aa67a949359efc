"""The way out for webhook calls: rebinding, mixed answers, silent resolvers, literals (delivery.md 9, tests 49-54)."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from pipeline.adapters.callable_network import AddressForbidden, AddrInfo, CallableNetwork, policy_of
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.domain.callable_addresses import AddressPolicy, networks_of
from pipeline.domain.delivery import Answered, ErrorClass, Failed
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings
from tests.integration.delivery.test_webhook import WHO, post, router_settings
from tests.support.webhooks import WebhookServer

__all__ = ["router_settings"]

LOOPBACK = AddressPolicy(networks=networks_of("127.0.0.0/8"))


def answer(port: int, *addresses: str) -> list[AddrInfo]:
    return [
        (
            socket.AF_INET6 if ":" in one else socket.AF_INET,
            socket.SOCK_STREAM,
            6,
            "",
            (one, port, 0, 0) if ":" in one else (one, port),
        )
        for one in addresses
    ]


class Names:
    """A resolver that follows a script: what each look-up of a name brings, the last one for ever."""

    def __init__(self, *script: list[str] | Exception) -> None:
        self._script = list(script)
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[AddrInfo]:
        self.asked += 1
        one = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(one, Exception):
            raise one
        return answer(port, *one)


def client_of(settings: Settings, policy: AddressPolicy, names: Names) -> WebhookClient:
    return WebhookClient(
        signer=signer_of(settings),
        clock=SystemClock(),
        timeout_s=settings.webhook_timeout_s,
        tls=tls_of(settings),
        network=CallableNetwork(policy, lookup=names),
    )


async def test_a_name_is_called_at_the_address_that_was_vetted(
    router_settings: Settings, server: WebhookServer
) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    client = client_of(router_settings, LOOPBACK, names)
    url = server.url(WHO).replace("127.0.0.1", "localhost")
    for _ in range(3):
        result = await client.post(post(url))
        assert isinstance(result, Answered), result
    await client.close()
    assert names.asked == 1, "the name was not asked again, whatever it would say by then"


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["127.0.0.1", "10.0.0.1"], ["127.0.0.1", "::1"]])
async def test_a_name_that_leads_inside_is_not_called_even_if_it_also_leads_outside(
    router_settings: Settings, server: WebhookServer, addresses: list[str]
) -> None:
    client = client_of(router_settings, LOOPBACK, Names(addresses))
    result = await client.post(post(server.url(WHO).replace("127.0.0.1", "localhost")))
    await client.close()
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.BLOCKED
    assert addresses[-1] in result.text
    assert not server.posts


async def test_a_literal_goes_round_every_resolver_and_is_stopped_all_the_same(
    router_settings: Settings, server: WebhookServer
) -> None:
    """The server is on loopback, which nobody allowed."""
    client = client_of(router_settings, AddressPolicy(), Names(["8.8.8.8"]))
    result = await client.post(post(server.url(WHO)))
    await client.close()
    assert isinstance(result, Failed)
    assert result.error is ErrorClass.BLOCKED
    assert not server.posts


async def test_the_socket_is_the_last_to_refuse() -> None:
    network = CallableNetwork(AddressPolicy())
    for info in (
        *answer(443, "127.0.0.1", "::1", "fe80::1%2"),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("/x",)),
    ):
        with pytest.raises(AddressForbidden):
            network.connection(info)
    network.connection(answer(443, "8.8.8.8")[0]).close()
    network.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), ErrorClass.DNS),
        (socket.gaierror(socket.EAI_AGAIN, "x"), ErrorClass.OURS),
        (OSError(24, "too many open files"), ErrorClass.OURS),
        (UnicodeError("label too long"), ErrorClass.DNS),
    ],
)
async def test_a_name_that_does_not_exist_is_theirs_and_a_resolver_that_fails_is_ours(
    error: Exception, expected: ErrorClass
) -> None:
    network = CallableNetwork(AddressPolicy(), lookup=Names(error))
    refused = await network.admit("https://dip.example/")
    network.close()
    assert refused is not None
    assert refused.error is expected


async def test_a_silent_resolver_uses_up_its_own_budget_and_delays_no_other_name() -> None:
    """Twelve names hang; a thirteenth is looked up meanwhile, and everybody who waits gets the same answer."""
    release = threading.Event()

    def lookup(host: str, port: int) -> list[AddrInfo]:
        if host.startswith("hanging"):
            release.wait(30)
        return answer(port, "8.8.8.8")

    network = CallableNetwork(AddressPolicy(), lookup=lookup)
    hanging = [asyncio.ensure_future(network.admit(f"https://hanging{n % 12}.example/")) for n in range(24)]
    assert await network.admit("https://quick.example/") is None
    assert not any(one.done() for one in hanging)
    found = await asyncio.gather(*hanging)
    release.set()
    network.close()
    assert {one.error for one in found if one is not None} == {ErrorClass.OURS}
    assert all(one is not None and "our resolver did not answer" in one.text for one in found)


def test_settings_that_cannot_be_read_are_named() -> None:
    for change, name in (
        ({"webhook_networks_allowed": "10.0.0.1/8"}, "DIP_WEBHOOK_NETWORKS_ALLOWED"),
        ({"webhook_ports_allowed": "https"}, "DIP_WEBHOOK_PORTS_ALLOWED"),
    ):
        with pytest.raises(SettingsInvalid, match=name):
            policy_of(Settings.load({}, **change))
    both = policy_of(Settings.load({}, webhook_http_allowed=True, webhook_ports_allowed="443, 80"))
    assert both.schemes == {"http", "https"}
    assert both.ports == {443, 80}


async def test_proxies_of_the_environment_are_not_used(
    router_settings: Settings, server: WebhookServer, tmp_path: Path
) -> None:
    """Test 54: `trust_env` is off; a proxy would see, and could reroute, what is confidential."""
    import os

    os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
    try:
        client = client_of(router_settings, LOOPBACK, Names(["127.0.0.1"]))
        result = await client.post(post(server.url(WHO)))
        await client.close()
    finally:
        del os.environ["HTTPS_PROXY"]
    assert isinstance(result, Answered)
