"""Every call of the table, published or not: 401 where nobody vouches, 403 where it is somebody else's, nothing stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from yarl import URL

from pipeline.adapters.certificates import Issued
from pipeline.adapters.clock import SystemClock
from pipeline.domain.signing import HASH_HEADER, HEADERS, Signer
from pipeline.ingress.routes import ROUTES, Route
from tests.support.bridge import OTHER, SENDER, Answer, authority, certificate_of
from tests.support.secure_bridge import SecureWorld, client_certificate, secure_world

PARAMETERS = {
    "id": "IF-021",
    "recipient-id": SENDER.id,
    "message-id": "S-1",
    "interface": "IF-021",
    "event": "ActivePower",
}
STRANGER = "1400000099"


@cache
def _signer(name: str) -> Signer:
    issued = certificate_of(name)
    return Signer.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What is wrong with a call that is right otherwise, and what it is answered."""

    status: int
    slug: str
    certificate: str = SENDER.id
    signer: str = SENDER.id
    late_s: float = 0.0
    without: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    revoked: tuple[str, ...] = ()
    signature: bool = False


DEFECTS = {
    "no key": Defect(status=401, slug="api-key-unknown", without=("X-API-Key",)),
    "an empty key": Defect(status=401, slug="api-key-unknown", headers={"X-API-Key": ""}),
    "an unknown key": Defect(status=401, slug="api-key-unknown", headers={"X-API-Key": "x" * 30}),
    "an unknown client certificate": Defect(
        status=401, slug="client-certificate-unknown", certificate=STRANGER
    ),
    "somebody else's client certificate": Defect(
        status=403, slug="client-certificate-foreign", certificate=OTHER.id
    ),
    "somebody else's key": Defect(
        status=403, slug="client-certificate-foreign", headers={"X-API-Key": OTHER.api_key}
    ),
    "a revoked client certificate": Defect(status=401, slug="client-certificate-revoked", revoked=("tls",)),
    "no signature": Defect(status=401, slug="header-missing", without=HEADERS, signature=True),
    "a wrong hash": Defect(status=401, slug="hash-mismatch", headers={HASH_HEADER: "AAAA"}, signature=True),
    "an old date": Defect(status=401, slug="date-stale", late_s=301, signature=True),
    "somebody else's signature": Defect(
        status=403, slug="certificate-foreign", signer=OTHER.id, signature=True
    ),
    "a stranger's signature": Defect(status=401, slug="certificate-foreign", signer=STRANGER, signature=True),
    "a revoked signature": Defect(
        status=401, slug="certificate-revoked", revoked=("signing",), signature=True
    ),
}


async def _call(world: SecureWorld, route: Route, defect: Defect) -> Answer:
    url = world.origin + route.path.format_map(PARAMETERS)
    body = b"[]" if route.takes_body else b""
    signed_at = SystemClock().now() - timedelta(seconds=defect.late_s)
    headers = {
        "X-API-Key": SENDER.api_key,
        "Content-Type": "application/json",
        "Accept": "application/json, application/problem+json",
        **_signer(defect.signer).headers(route.method, url, body, signed_at),
        **defect.headers,
    }
    sent = {name: value for name, value in headers.items() if name not in defect.without}
    async with (
        world.client(client_certificate(defect.certificate)) as client,
        client.request(route.method, URL(url, encoded=True), data=body, headers=sent) as response,
    ):
        return Answer(status=response.status, headers=response.headers, body=await response.read())


def _revoked(names: tuple[str, ...]) -> tuple[tuple[Issued, ...], tuple[Issued, ...]]:
    return (
        (client_certificate(SENDER.id),) if "tls" in names else (),
        (certificate_of(SENDER.id),) if "signing" in names else (),
    )


@pytest.mark.parametrize("name", DEFECTS)
async def test_every_call_refuses_it_in_the_same_way(name: str, tmp_path: Path) -> None:
    defect = DEFECTS[name]
    async with secure_world(tmp_path, client_identified_by="both") as world:
        taken, signing = _revoked(defect.revoked)
        world.write_lists(*taken, signing=signing)
        world.files.refresh()
        wrong = {}
        for route in ROUTES:
            if not route.keyed or (defect.signature and not route.signed):
                continue
            answer = await _call(world, route, defect)
            if answer.status != defect.status or defect.slug.encode() not in answer.body:
                wrong[f"{route.method} {route.path}"] = (
                    answer.status,
                    answer.headers.get("X-DIP-Help"),
                    answer.body,
                )
        assert wrong == {}
        assert world.publisher.records == []


async def test_without_a_defect_nobody_is_refused_for_who_they_are(tmp_path: Path) -> None:
    """Or the test above would be content with a bridge that refuses everybody."""
    async with secure_world(tmp_path, client_identified_by="both") as world:
        fine = Defect(status=0, slug="")
        for route in ROUTES:
            answer = await _call(world, route, fine)
            assert answer.status not in {401, 403}, (route.path, answer.headers, answer.body)


def test_only_the_calls_that_the_protocol_says_need_no_signature_need_none() -> None:
    assert {route.path for route in ROUTES if not route.signed and route.published} == {
        "/validate/{interface}/{event}"
    }
    assert all(route.keyed for route in ROUTES if route.published)


def test_the_strangers_certificate_is_of_a_trusted_authority() -> None:
    """It is refused for being nobody's, not for its authority."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(certificate_of(STRANGER).certificate_pem)
    certificate.verify_directly_issued_by(authority().certificate)
