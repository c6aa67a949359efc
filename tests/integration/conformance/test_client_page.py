"""The programs of docs/CLIENT.md, run as they are printed there."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from pipeline.client import client_tls
from pipeline.domain.signing import Signer
from pipeline.localstack.ports import free_ports
from tests.integration.conformance.messages import array, message, reading
from tests.integration.conformance.site import READER, REGISTRAR, SUPPLIERS, Site, now

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200), pytest.mark.xdist_group("conformance")]

PAGE = Path(__file__).parents[3] / "docs" / "CLIENT.md"
PROGRAMS = dict(
    re.findall(
        r"<!-- example: (\w+\.py) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def environment(site: Site, party: object) -> dict[str, str]:
    return site.environment(DIP_ID=party.id, DIP_ROLE=party.role, DIP_API_KEY=party.api_key)


def test_the_page_has_a_sender_and_a_receiver() -> None:
    assert set(PROGRAMS) == {"send.py", "receive.py"}


def test_the_sender_of_the_page_sends_and_says_what_is_wrong(programs: Path, conformance_site: Site) -> None:
    site = conformance_site
    origin = site.start("main", "bridge").origin
    good, bad = programs / "good.json", programs / "bad.json"
    good.write_bytes(array(reading(READER), reading(READER)))
    bad.write_bytes(b'[{"payload":{}}]')

    def send(file: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(programs / "send.py"), origin, str(site.ca), "IF-021", str(file)]
        return subprocess.run(
            command, env=environment(site, READER) | {"PYTHONPATH": str(PAGE.parents[1])},
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip

    sent = send(good)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.count("MSG0000 - Success S-IF-021-") == 2
    refused = send(bad)
    assert refused.returncode == 1
    assert "refused with 400: MSG1001" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_the_receiver_of_the_page_takes_each_delivery_once_and_no_forgery(
    programs: Path, conformance_site: Site
) -> None:
    """Signed with the router's own key, and shown the router's own TLS certificate."""
    site, who = conformance_site, SUPPLIERS[0]
    [port] = free_ports(1)
    url = f"https://127.0.0.1:{port}/dip/messages"
    router = site.ca / "router"
    command = [
        sys.executable,
        str(programs / "receive.py"),
        str(site.ca),
        url,
        str(port),
        str(router / "signing.pem"),
    ]
    log = programs / "receive.log"
    with log.open("wb") as out:
        receiver = subprocess.Popen(
            command, env=environment(site, who) | {"PYTHONPATH": str(PAGE.parents[1])}, stdout=out, stderr=out
        )
    try:
        signer = Signer.from_pem(
            key_pem=(router / "signing.key").read_bytes(),
            certificate_pem=(router / "signing.pem").read_bytes(),
        )
        body = _egress()
        tls = client_tls(
            authority=site.ca / "tls" / "ca.pem",
            certificate=router / "tls-client.pem",
            key=router / "tls-client.key",
        )
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:

            async def post(sent: bytes, signed: bytes) -> int:
                headers = {**signer.headers("POST", url, signed, now()), "X-Open-DIP-Delivery": "T-1>me"}
                async with session.post(url, data=sent, headers=headers) as response:
                    return response.status

            await _listening(session, url, receiver)
            assert [await post(body, body) for _ in range(2)] == [201, 201]
            assert await post(body + b" ", body) == 401
    finally:
        receiver.terminate()
        receiver.wait(30)
    assert log.read_text().count("took T-1>me") == 1, log.read_text()


def _egress() -> bytes:
    made = message("IF-002", "GainMPANInfo", REGISTRAR)
    made["payload"]["CommonBlock"]["D0"] = {"transactionID": "T-1", "replayIndicator": False}
    return array(made)


async def _listening(session: aiohttp.ClientSession, url: str, receiver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            async with session.get(url):
                return
        except aiohttp.ClientConnectorError:
            assert receiver.poll() is None
            assert time.monotonic() < deadline, "it does not listen"
            await asyncio.sleep(0.1)
