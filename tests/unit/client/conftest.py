"""A DIP that says what a test tells it to say, over real HTTP, and notes what it was asked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.client import Credentials, Identity, Participant, RetryPolicy, SigningKey, Transport
from pipeline.domain.signing import Policy, verify
from pipeline.domain.signing_certificates import Presented, read_certificate

NOW = datetime(2026, 1, 5, 9, 30, 0, 250_000, tzinfo=UTC)
QUICK = RetryPolicy(wait_s_min=0.001, wait_s_max=0.002, give_up_s=20)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedDip:
    """Answers in turn by its script; the last answer stays."""

    script: list[web.Response | Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    origin: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), body))
        answer = self.script[min(len(self.asked), len(self.script)) - 1]
        if isinstance(answer, web.Response):
            return web.Response(
                status=answer.status, body=answer.body, headers={**answer.headers}
            )  # one object can be sent once only
        return await answer(request)

    def flaws(self) -> list[object]:
        """Return what the router's own rule says of every request's signature; nothing: all fit."""
        found = []
        for one in self.asked:
            presented = read_certificate(one.headers["X-DIP-Signature-Certificate"])
            assert isinstance(presented, Presented)
            verdict = verify(
                one.method,
                (self.origin + one.target,),
                one.headers,
                one.body,
                allowed={presented.fingerprint},
                policy=Policy(skew_s=1),
                now=NOW,
            )
            if not hasattr(verdict, "fingerprint") or hasattr(verdict, "flaw"):
                found.append(verdict)
        return found


@pytest.fixture
async def dip():
    scripted = ScriptedDip()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


@pytest.fixture(scope="session")
def issued():
    return CertificateAuthority.create("of the client's tests", now=NOW).issue("me", usage="signing", now=NOW)


@pytest.fixture(scope="session")
def identity(issued):
    key = SigningKey.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)
    return Identity(dip_id="1400000001", role="SDS", credentials=Credentials(api_key="k" * 20, signing=key))


@pytest.fixture
async def participant(dip, identity):
    transport = Transport(dip.origin, tls=None, now=lambda: NOW, retry=QUICK)
    async with transport, Participant(dip.origin, identity, now=lambda: NOW, transport=transport) as one:
        yield one
