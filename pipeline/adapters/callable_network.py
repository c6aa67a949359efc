"""Resolves and connects for webhook calls, and lets nothing through that the address rule forbids.

Names are looked up in threads of our own under a time budget, so that a dead resolver stops nobody else, and are
kept for a moment: what was vetted is what is connected to, even if the name says something else by then.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from pipeline.domain.callable_addresses import AddressPolicy, Forbidden, forbidden, networks_of, target_of
from pipeline.domain.delivery import ErrorClass, Failed
from pipeline.errors import SettingsInvalid
from pipeline.limits import (
    DNS_BUDGET_S,
    DNS_FAILURE_KEPT_S,
    DNS_KEPT_S,
    DNS_NAMES_MAX,
    DNS_THREADS,
)
from pipeline.settings import Settings

AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int], list[AddrInfo]]
"""Blocks and returns what `getaddrinfo` returns, or raises socket.gaierror."""

_FLAGS: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class AddressForbidden(OSError):  # it reaches us through a client that knows OSError only
    """A connection to an internal address was about to be made."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EACCES, why)


def system_lookup(host: str, port: int) -> list[AddrInfo]:
    """Ask the system's resolver."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was found for a name; good until a time of the monotonic clock."""

    until_s: float
    found: tuple[AddrInfo, ...] | Failed


class CallableNetwork:
    """The way out for webhook calls. `admit` gives the clear answer, `resolver` and `connection` leave no way round."""

    def __init__(self, policy: AddressPolicy, *, lookup: Lookup = system_lookup) -> None:
        self._policy = policy
        self._target_of = lru_cache(DNS_NAMES_MAX)(partial(target_of, policy=policy))
        self._lookup = lookup
        self._known: dict[tuple[str, int], _Known] = {}
        self._asking: dict[tuple[str, int], asyncio.Future[tuple[AddrInfo, ...] | Failed]] = {}
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")

    async def admit(self, url: str) -> Failed | None:
        """Return why a URL is not called: its form, its name's addresses, or our resolver; None if it may be."""
        target = self._target_of(url)
        if isinstance(target, Forbidden):
            return Failed(error=ErrorClass.BLOCKED, text=f"blocked: {target.help}")
        if target.address is not None:
            return None
        found = await self._vetted(target.host, target.port)
        return found if isinstance(found, Failed) else None

    def resolver(self) -> AbstractResolver:
        """Return what the HTTP client resolves names with."""
        return _Resolver(self)

    def connection(self, info: AddrInfo) -> socket.socket:
        """Make the socket of one connection. Raises AddressForbidden for an internal address."""
        family, kind, protocol, _, place = info
        if family not in {socket.AF_INET, socket.AF_INET6}:
            raise AddressForbidden(f"an address of family {family!r} is not called")
        refused = forbidden(ip_address(str(place[0]).partition("%")[0]), self._policy)
        if refused is not None:
            raise AddressForbidden(refused.help)
        return socket.socket(family, kind, protocol)

    async def resolve(self, host: str, port: int) -> list[ResolveResult]:
        """Return the vetted addresses of a name. Raises OSError where there are none."""
        found = await self._vetted(host.rstrip(".").lower(), port)
        if isinstance(found, Failed):
            raise AddressForbidden(found.text) if found.error is ErrorClass.BLOCKED else OSError(found.text)
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=port, family=family, proto=protocol, flags=_FLAGS
            )
            for family, _, protocol, _, place in found
        ]

    def close(self) -> None:
        """Let the threads go; lookups under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _vetted(self, host: str, port: int) -> tuple[AddrInfo, ...] | Failed:
        """Return what is known of a name, or ask once for everybody who wants to know."""
        name = (host, port)
        known = self._known.get(name)
        if known is not None and known.until_s > time.monotonic():
            return known.found
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.ensure_future(self._ask(host, port))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(asking)

    async def _ask(self, host: str, port: int) -> tuple[AddrInfo, ...] | Failed:
        found = await self._looked_up(host, port)
        kept_s = DNS_FAILURE_KEPT_S if isinstance(found, Failed) else DNS_KEPT_S
        if len(self._known) >= DNS_NAMES_MAX:
            self._known.clear()
        self._known[host, port] = _Known(until_s=time.monotonic() + kept_s, found=found)
        return found

    async def _looked_up(self, host: str, port: int) -> tuple[AddrInfo, ...] | Failed:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DNS_BUDGET_S):
                found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except TimeoutError:
            return Failed(
                error=ErrorClass.OURS, text=f"our resolver did not answer for {host} in {DNS_BUDGET_S:g} s"
            )
        except (OSError, UnicodeError) as error:
            return _unresolved(host, error)
        for *_, place in found:
            refused = forbidden(ip_address(str(place[0]).partition("%")[0]), self._policy)
            if refused is not None:  # one internal address among public ones is a trap, not an alternative
                return Failed(error=ErrorClass.BLOCKED, text=f"blocked: {host} leads to {refused.help}")
        return tuple(found) or Failed(error=ErrorClass.DNS, text=f"dns: {host} has no address")


class _Resolver(AbstractResolver):
    """Hands the client's questions to the network."""

    def __init__(self, network: CallableNetwork) -> None:
        self._network = network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._network.resolve(host, port)
        return [one for one in found if family in {socket.AF_UNSPEC, one["family"]}]

    async def close(self) -> None:
        """Do nothing: the network is closed by whoever made it."""


def _unresolved(host: str, error: Exception) -> Failed:
    """Tell a resolver that fails from a name that does not exist."""
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return Failed(error=ErrorClass.OURS, text=f"our resolver failed for {host}: {error.strerror}")
    if isinstance(error, socket.gaierror | UnicodeError):
        return Failed(error=ErrorClass.DNS, text=f"dns: {host} does not exist")
    return Failed(error=ErrorClass.OURS, text=f"our resolver failed for {host}: {error}")


def policy_of(settings: Settings) -> AddressPolicy:
    """Read what the operator allows. Raises SettingsInvalid naming the setting."""
    try:
        networks = networks_of(settings.webhook_networks_allowed)
    except ValueError as error:
        raise SettingsInvalid(
            f"DIP_WEBHOOK_NETWORKS_ALLOWED={settings.webhook_networks_allowed}: {error}; write 10.1.0.0/16,..."
        ) from None
    try:
        ports = frozenset(int(part) for part in settings.webhook_ports_allowed.split(",") if part.strip())
    except ValueError:
        raise SettingsInvalid(
            f"DIP_WEBHOOK_PORTS_ALLOWED={settings.webhook_ports_allowed}: write port numbers, as 443,8443"
        ) from None
    schemes = frozenset({"https", "http"} if settings.webhook_http_allowed else {"https"})
    return AddressPolicy(schemes=schemes, ports=ports, networks=networks)
