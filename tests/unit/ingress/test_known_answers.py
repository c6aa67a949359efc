"""The bridge beside openssl: requests that it signed are taken, over a real socket, and nothing near them."""

import base64
import http.client
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import Participants
from pipeline.domain.signing import Refused, read_certificate
from tests.support.bridge import Party, open_world

VECTORS = json.loads((Path(__file__).parents[2] / "contract" / "signature_vectors.json").read_text())
SENT = [one for one in VECTORS["vectors"] if one["signer"] == "sender"]


def _send(port: int, vector: dict[str, Any], party: Party, **changes: str) -> tuple[int, str]:
    """Send the bytes of a vector by a client that changes nothing of them."""
    target = urlsplit(vector["url"])
    headers = {
        "Host": target.netloc,
        "Content-Type": "application/json",
        "X-API-Key": party.api_key,
        "X-DIP-Content-Hash": vector["content_hash"],
        "X-DIP-Signature-Date": vector["date"],
        "X-DIP-Signature": vector["signature"],
        "X-DIP-Signature-Certificate": vector["certificate_header"],
        **changes,
    }
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    path = target.path + (f"?{target.query}" if target.query else "")
    client.request(vector["method"], path, base64.b64decode(vector["body_base64"]), headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status, answer.headers.get("X-DIP-Help", "")


@pytest.mark.parametrize("vector", SENT, ids=lambda vector: vector["name"])
async def test_what_openssl_signed_passes_the_signature_check_of_the_bridge(vector: dict[str, Any]) -> None:
    """The bodies are no messages: 400 is what comes after the signature was right, or what a GET or DELETE gives."""
    import asyncio

    presented = read_certificate(vector["certificate_header"])
    assert not isinstance(presented, Refused)
    party = Party(id=ParticipantId("2300000001"))
    row = party.row.__class__(
        id=party.id, name="x", api_keys=party.row.api_keys, certificates=frozenset({presented.fingerprint})
    )
    origin = "/".join(vector["url"].lower().split("/")[:3])
    # The certificates begin when the vectors were made, after the dates that they carry: far skew, later now.
    world = await open_world(
        participants=Participants([row]),
        now=datetime.fromisoformat("2027-06-01T00:00:00+00:00"),
        public_url=origin,
        clock_skew_s=1e9,
    )
    try:
        port = world.listening.port
        status, text = await asyncio.to_thread(_send, port, vector, party)
        assert status in ({400} if vector["method"] == "POST" else {200, 204, 404, 501}), (status, text)
        other = {"X-DIP-Signature-Date": vector["date"][:-2] + ("1Z" if vector["date"][-2] != "1" else "2Z")}
        status, text = await asyncio.to_thread(lambda: _send(port, vector, party, **other))
        assert status == 401
        assert "X-DIP-Signature does not fit" in text
    finally:
        await world.close()
