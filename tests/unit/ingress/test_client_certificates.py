"""Client certificates out of a proxy's header: every known way of writing them, and from nowhere but the proxy."""

import base64
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.certificates import CertificateAuthority, Issued
from pipeline.domain.client_certificates import ClientCertificate, Unusable
from pipeline.errors import SettingsInvalid
from pipeline.ingress.client_certificates import CertificateSource, decoded
from pipeline.settings import Settings

NOW = datetime(2026, 1, 5, tzinfo=UTC)
HEADER = "X-Client-Cert"


@cache
def issued() -> Issued:
    return CertificateAuthority.create("CA", now=NOW).issue("2300000001", usage="client", now=NOW)


@cache
def der() -> bytes:
    return x509.load_pem_x509_certificate(issued().certificate_pem).public_bytes(Encoding.DER)


def _forms() -> dict[str, str]:
    pem = issued().certificate_pem.decode()
    digits = base64.b64encode(der()).decode()
    escaped = quote(pem, safe="")
    return {
        "nginx, escaped": escaped,
        "AWS, with + = / as they are": quote(pem, safe="+=/"),
        "PEM on one line with spaces": pem.replace("\n", " "),
        "PEM with tabs as nginx once folded it": pem.replace("\n", "\t"),
        "HAProxy, base64 of DER": digits,
        "Traefik, base64 escaped": quote(digits, safe=""),
        "RFC 9440, between colons": f":{digits}:",
        "Envoy": f'By=spiffe://a/b;Hash=00ff;Cert="{escaped}";Subject="CN=\\"x\\",O=y;z";URI=urn:x',
        "Envoy, the certificate first": f'Cert="{escaped}";Hash=00',
        "a chain: its first": quote(pem + pem, safe=""),
    }


@pytest.mark.parametrize("form", _forms())
def test_the_ways_in_which_proxies_write_a_certificate_are_read(form: str) -> None:
    assert decoded(_forms()[form]) == der()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "neither PEM nor base64"), ("AAAA", "neither PEM nor base64"), ("%", "neither"), (":", "neither"),
        ("-----BEGIN CERTIFICATE-----", "broken"), ("é", "neither"), ("%00", "neither"),
        ('Hash=00ff;Subject="CN=a"', "holds no Cert="), ('Cert="a",Cert="b"', "several certificates"),
        ('Cert="a";Cert="b"', "holds no Cert="), ('Cert="a', "no X-Forwarded-Client-Cert"), ("Cert=", "neither"),
    ],
)  # fmt: skip
def test_what_is_no_certificate_is_refused_with_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decoded(text)


def _request(remote: str, *values: str) -> Any:
    class Transport:
        def get_extra_info(self, name: str, default: object = None) -> object:
            return (remote, 40_000) if name == "peername" else default

        def is_closing(self) -> bool:
            return False

    from multidict import CIMultiDict

    headers = CIMultiDict([(HEADER, value) for value in values])
    return make_mocked_request("POST", "/", headers=headers, transport=Transport())


SOURCE = CertificateSource.of(
    Settings(proxy_certificate_header=HEADER, proxy_addresses="10.0.0.7, 10.1.0.0/16, fd00::/8")
)


@pytest.mark.parametrize("remote", ["10.0.0.7", "10.1.200.3", "::ffff:10.0.0.7", "fd00::1"])
def test_from_a_listed_proxy_the_header_counts(remote: str) -> None:
    found = SOURCE.find(_request(remote, base64.b64encode(der()).decode()))
    assert isinstance(found, ClientCertificate)
    assert (found.fingerprint, found.vouched) == (issued().fingerprint, False)
    assert "CN=2300000001" in found.names


@pytest.mark.parametrize("remote", ["10.0.0.8", "127.0.0.1", "::1", "", "unix"])
def test_from_anywhere_else_it_is_as_if_it_were_not_there(remote: str) -> None:
    assert SOURCE.find(_request(remote, base64.b64encode(der()).decode())) is None


def test_a_proxy_without_a_client_certificate_sends_none_or_an_empty_header() -> None:
    assert SOURCE.find(_request("10.0.0.7")) is None
    assert SOURCE.find(_request("10.0.0.7", "")) is None


def test_a_header_sent_twice_or_too_long_is_refused() -> None:
    """The second may be the client's own, let through by the proxy."""
    value = base64.b64encode(der()).decode()
    for values in ((value, value), ("", value), (value * 100,)):
        found = SOURCE.find(_request("10.0.0.7", *values))
        assert isinstance(found, Unusable)
        assert HEADER in found.help


@pytest.mark.parametrize(
    "settings",
    [
        {"proxy_certificate_header": HEADER}, {"proxy_addresses": "10.0.0.7"},
        {"proxy_certificate_header": HEADER, "proxy_addresses": "10.0.0.0/33"},
        {"proxy_certificate_header": HEADER, "proxy_addresses": "proxy.example"},
    ],
)  # fmt: skip
def test_half_a_setting_or_no_network_is_one_clear_line(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="DIP_PROXY_ADDRESSES"):
        CertificateSource.of(Settings(**settings))


@given(st.one_of(st.text(max_size=300), st.from_regex(r"(By|Cert|Hash)=\"?[ -~]{0,80}", fullmatch=True)))
def test_whatever_a_header_says_it_is_a_certificate_or_a_reason(text: str) -> None:
    """Anybody behind the proxy may have written it."""
    try:
        found = decoded(text)
    except ValueError as error:
        found = str(error).encode()
    assert found
