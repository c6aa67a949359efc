"""A call by the reference client as a party makes it, and ways to make it go wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.client import Author, Call, Credentials, Identity, Received, RetryPolicy, Transport, Unsettled
from tests.integration.conformance.site import Party, Process, Site, now

ONCE = RetryPolicy(statuses=frozenset(), give_up_s=0)
"""Every answer is looked at, none is tried again."""


@dataclass(frozen=True)
class Stranger:
    """An author with some headers of its own, put over what it signed."""

    credentials: Credentials
    over: Mapping[str, str]

    def headers(self, method: str, url: str, body: bytes, *, now: datetime) -> dict[str, str]:
        return {**self.credentials.headers(method, url, body, now=now), **self.over}


def with_wrong_key(identity: Identity) -> Author:
    """Sign properly and show a key that nobody has."""
    return replace(identity.credentials, api_key="a-key-that-nobody-ever-had")


def signed_by_another(identity: Identity, other: Identity) -> Author:
    """Show one's own key, and a signature of somebody else whom the router knows."""
    return replace(identity.credentials, signing=other.credentials.signing)


async def ask(
    site: Site,
    process: Process,
    call: Call,
    party: Party,
    *,
    author: Author | None = None,
    tls: ssl.SSLContext | None = None,
) -> Received:
    """Call once over mutual TLS and return what came back."""
    identity = site.identity(party)
    transport = Transport(process.origin, tls=tls or identity.tls, now=now, retry=ONCE)
    async with transport:
        received = await transport.send(call, author or identity.credentials)
    assert not isinstance(received, Unsettled), received
    return received


@asynccontextmanager
async def talking(
    site: Site, process: Process, text: bytes, party: Party
) -> AsyncIterator[asyncio.StreamReader]:
    """Send bytes as they are over mutual TLS; yields what reads the answer."""
    host, port = process.origin.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=site.identity(party).tls)
    writer.write(text)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


def half_sent(
    site: Site, process: Process, call: Call, party: Party
) -> AbstractAsyncContextManager[asyncio.StreamReader]:
    """Hold a signed request open whose body stops after its first byte."""
    identity, host = site.identity(party), process.origin.removeprefix("https://")
    signed = identity.credentials.headers(call.method, process.origin + call.path, call.body, now=now())
    head = [f"{call.method} {call.path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    head += [f"Content-Length: {len(call.body)}", *(f"{name}: {value}" for name, value in signed.items())]
    return talking(site, process, ("\r\n".join(head) + "\r\n\r\n").encode() + call.body[:1], party)
