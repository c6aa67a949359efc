"""`dip bridge` with the files of `dip sandbox ca`, as a process: mutual TLS, revocation and renewal under its feet."""

import asyncio
import hashlib
import json
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.signing import Signer
from tests.integration.bridge.conftest import BridgeProcess, Site
from tests.support.bridge import Party, array, reading

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

SELLER = Party(id=ParticipantId("1400000077"), role=Role("SDS"))
WAIT_S_MAX = 60


def _run(site: Site, *arguments: str) -> dict[str, Any]:
    done = site.dip(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _presented(origin: str, tls: ssl.SSLContext) -> str:
    host, _, port = origin.rpartition("/")[2].partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(certificate).hexdigest()


async def test_a_sandbox_from_its_first_certificate_to_a_revoked_one(
    site: Site, start_bridge: Callable[..., BridgeProcess], tmp_path: Path
) -> None:
    folder = tmp_path / "sandbox"
    _run(site, "sandbox", "ca", "init", str(folder))
    issue = ("sandbox", "ca", "issue", str(folder), "--id", SELLER.id, "--kind")
    signing, client = _run(site, *issue, "signing"), _run(site, *issue, "tls-client")
    entry = {
        "id": SELLER.id, "name": "Seller", "roles": [{"role": SELLER.role, "from": "2020-01-01"}],
        "api_keys": [SELLER.api_key],
    }  # fmt: skip
    file = tmp_path / "participants.json"
    file.write_text(json.dumps([entry | signing["register"] | client["register"]]))
    _run(site, "participants", "load", str(file))
    plain = {name: value for name, value in site.environment.items() if not name.startswith("DIP_TLS_")}
    bridge = start_bridge(
        environment=plain, DIP_CONFIG=str(folder / "router.toml"), DIP_CLIENT_IDENTIFIED_BY="both",
        DIP_CERTIFICATES_POLL_S="0.1",
    )  # fmt: skip
    origin, health = bridge.origin, bridge.health
    signer = Signer.from_pem(
        key_pem=Path(signing["key"]).read_bytes(), certificate_pem=Path(signing["certificate"]).read_bytes()
    )
    tls = ssl.create_default_context(cafile=str(folder / "tls" / "ca.pem"))
    tls.load_cert_chain(client["certificate"], client["key"])
    numbers = iter(range(9_100, 9_999))

    async def post(session: aiohttp.ClientSession) -> tuple[int, str]:
        body, url = array(reading(next(numbers), sender=SELLER)), f"{origin}/dip-channel/IF-021"
        headers = {"X-API-Key": SELLER.api_key, **signer.headers("POST", url, body, SystemClock().now())}
        async with session.post(
            url, data=body, headers=headers | {"Content-Type": "application/json"}
        ) as answer:
            return answer.status, answer.headers.get("X-DIP-Help", "")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        assert await post(session) == (201, "")
        fresh = _run(site, "sandbox", "ca", "issue", str(folder), "--id", "router", "--kind", "tls-server",
                     "--host", "127.0.0.1", "--host", "localhost")  # fmt: skip
        assert await _presented(origin, tls) != fresh["fingerprint"]
        for name in ("certificate", "key"):
            shutil.copy(fresh[name], folder / "router" / Path(fresh[name]).name.replace("-2", ""))
        async with asyncio.timeout(WAIT_S_MAX):
            while await _presented(origin, tls) != fresh["fingerprint"]:
                assert (await post(session))[0] == 201
        async with session.get(f"{health}/health/ready") as answer:
            assert await answer.json() == {"ready": True, "missing": [], "warnings": []}
        _run(site, "sandbox", "ca", "revoke", str(folder), client["fingerprint"], "--reason", "superseded")
        async with asyncio.timeout(WAIT_S_MAX):
            while (outcome := await post(session))[0] == 201:
                await asyncio.sleep(0.05)
        assert outcome[0] == 401
        assert "revoked" in outcome[1]
        assert "superseded" in outcome[1]
    assert "Traceback" not in bridge.log.read_text()


def test_a_setting_of_security_that_makes_no_sense_ends_the_bridge_before_it_waits_for_anything(
    site: Site, start_bridge: Callable[..., BridgeProcess]
) -> None:
    bridge = start_bridge(DIP_CLIENT_IDENTIFIED_BY="certificate")
    assert bridge.process.wait(60) == 1
    (line,) = bridge.log.read_text().splitlines()
    assert line.startswith("dip: DIP_CLIENT_IDENTIFIED_BY=certificate: no client certificate can come")
