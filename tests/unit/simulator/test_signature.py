"""Independent writings of the signature must agree on the wire: the client's, the router's, the second look's."""

from datetime import UTC, datetime

import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.client import SigningKey
from pipeline.domain.signing import Signer
from pipeline.simulator.signature import Reader

URL, BODY = "https://127.0.0.1:9443/Messages/2300000001", b'[{"payload":{}}]'
NOW = datetime(2026, 7, 10, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def issued():
    return CertificateAuthority.create("test").issue("router", usage="signing")


@pytest.fixture(scope="module")
def headers(issued):
    key = SigningKey.from_pem(certificate_pem=issued.certificate_pem, key_pem=issued.key_pem)
    return key.headers("POST", URL, BODY, now=NOW)


def test_what_the_client_signs_the_reader_accepts(issued, headers):
    assert Reader(issued.certificate_pem).complaint(headers, URL, BODY) is None


def test_the_products_signer_satisfies_the_reader(issued):
    signer = Signer.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)
    headers = signer.headers("POST", URL, BODY, NOW)
    assert Reader(issued.certificate_pem).complaint(headers, URL, BODY) is None


def test_another_body_another_url_and_another_signer_are_noticed(issued, headers):
    reader = Reader(issued.certificate_pem)
    assert reader.complaint(headers, URL, BODY + b" ") == "content hash does not fit the body"
    assert reader.complaint(headers, URL + "x", BODY) == "signature does not fit"
    stranger = CertificateAuthority.create("other").issue("router", usage="signing")
    assert "not the router's" in str(Reader(stranger.certificate_pem).complaint(headers, URL, BODY))


@pytest.mark.parametrize(
    "name", ["X-DIP-Signature", "X-DIP-Signature-Date", "X-DIP-Content-Hash", "X-DIP-Signature-Certificate"]
)
def test_a_missing_header_is_named(issued, headers, name):
    kept = {other: value for other, value in headers.items() if other != name}
    assert Reader(issued.certificate_pem).complaint(kept, URL, BODY) == f"header {name} is missing"
