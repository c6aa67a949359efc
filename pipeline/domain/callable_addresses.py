"""Which webhook addresses the router may call: never one inside of somebody's network (delivery.md 6, SSRF).

The same rule is asked three times: when an address is registered, when its name is resolved, and when a socket is
made. Only the last sees every connection; the first two give the better error.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from pipeline.limits import URL_CHARS_MAX

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_INTERNAL_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, metadata services among it
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that is handed out to the public; mapped, NAT64, SRv6, local and multicast addresses lie outside."""
_INTERNAL_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?][!-\"$-~]*)?",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """What an operator allows. `networks` may be called although they are internal; no `ports` means any."""

    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset()
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a URL leads: a name or an address literal without brackets, and a port."""

    host: str
    port: int
    address: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """An address that is not called, with the reason and what to do."""

    help: str


def target_of(url: str, policy: AddressPolicy) -> Target | Forbidden:
    """Read a webhook's URL, strictly: what two libraries could read in two ways is refused."""
    found = _URL.fullmatch(url) if len(url) <= URL_CHARS_MAX else None
    if found is None:
        return Forbidden(help=_why_unreadable(url))
    scheme, host = found["scheme"].lower(), found["host"].lower().strip("[]").rstrip(".")
    port = int(found["port"] or _DEFAULT_PORTS.get(scheme, 0))
    if scheme not in policy.schemes:
        return Forbidden(help=f"the scheme {scheme} is not called: use {' or '.join(sorted(policy.schemes))}")
    if not 0 < port <= _PORT_MAX or (policy.ports and port not in policy.ports):
        allowed = ", ".join(map(str, sorted(policy.ports))) or f"1 to {_PORT_MAX}"
        return Forbidden(help=f"port {port} is not called: use {allowed}")
    address = _literal(host)
    if address is None and (not host or ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2])):
        return Forbidden(help=f"{found['host']} is neither a name nor an address in its usual form")
    if address is not None and (refused := forbidden(address, policy)) is not None:
        return refused
    return Target(host=host, port=port, address=address)


def forbidden(address: Address, policy: AddressPolicy) -> Forbidden | None:
    """Return why an address must not be connected to; None if it may.

    An address that carries another one (v4-mapped, 6to4, NAT64) is never taken apart: nobody needs it here, and
    each form is one more way round a check.
    """
    if any(address in network for network in policy.networks if network.version == address.version):
        return None
    if isinstance(address, IPv4Address):
        internal = any(address in network for network in _INTERNAL_V4)
    else:
        internal = address not in _GLOBAL_V6 or any(address in network for network in _INTERNAL_V6)
    if not internal:
        return None
    return Forbidden(
        help=f"{address} is not a public address; the operator may allow its network (DIP_WEBHOOK_NETWORKS_ALLOWED)"
    )


def networks_of(text: str) -> tuple[Network, ...]:
    """Read networks, comma separated, as 10.1.0.0/16. Raises ValueError naming the first that is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _why_unreadable(url: str) -> str:
    if len(url) > URL_CHARS_MAX:
        return f"it has {len(url)} characters, {URL_CHARS_MAX} are allowed"
    if not url.isascii():
        return "write the host's name in its ASCII form (xn--...) and the rest percent-encoded"
    if "@" in url.partition("://")[2].partition("/")[0]:
        return "it carries user information before @, which is not sent"
    if "#" in url:
        return "it has a fragment (#...), which is never sent"
    return "it is not of the form https://host[:port]/path"
