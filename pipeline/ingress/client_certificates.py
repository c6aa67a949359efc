"""Where a request's client certificate comes from: its own connection, or the header of a proxy that we trust.

A header counts only on connections from the listed addresses, and there it counts alone: the certificate of such a
connection is the proxy's. From anywhere else the header is nothing but text that anybody can write.
"""

import base64
import binascii
import ipaddress
import re
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.domain.client_certificates import ClientCertificate, Unusable, read_client_certificate
from pipeline.errors import SettingsInvalid
from pipeline.limits import PROXY_CERTIFICATE_CHARS_MAX
from pipeline.settings import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_ELEMENT: Final = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)\s*([;,]|$)')
_FORWARDED: Final = re.compile(r"\s*(?:By|Hash|Cert|Chain|Subject|URI|DNS)=", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSource:
    """Finds client certificates. Without a `header` only those of the connections themselves."""

    header: str = ""
    proxies: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "CertificateSource":
        """Read the settings. Raises SettingsInvalid for one without the other, and for what is no network."""
        networks = _networks(settings.proxy_addresses)
        if bool(settings.proxy_certificate_header) != bool(networks):
            raise SettingsInvalid(
                "DIP_PROXY_CERTIFICATE_HEADER and DIP_PROXY_ADDRESSES belong together: the header that carries"
                " client certificates, and the addresses that may send it"
            )
        return cls(header=settings.proxy_certificate_header, proxies=networks)

    def find(self, request: web.BaseRequest) -> ClientCertificate | Unusable | None:
        """Return the client certificate of a request."""
        transport = request.transport
        if self.header and self._from_proxy(request.remote):
            return self._handed_over(request)
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
            return None
        der = tls.getpeercert(binary_form=True)
        return None if der is None else read_client_certificate(der, vouched=True)

    def _from_proxy(self, remote: str | None) -> bool:
        try:
            address = ipaddress.ip_address(remote or "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.proxies)

    def _handed_over(self, request: web.BaseRequest) -> ClientCertificate | Unusable | None:
        lines = list(request.headers.getall(self.header, ()))
        if not lines or lines == [""]:
            return None
        if len(lines) > 1:
            return _unreadable(self.header, "it was sent more than once, and only the proxy may send it")
        if len(lines[0]) > PROXY_CERTIFICATE_CHARS_MAX:
            return _unreadable(self.header, f"it has more than {PROXY_CERTIFICATE_CHARS_MAX} characters")
        try:
            der = decoded(lines[0])
        except ValueError as error:
            return _unreadable(self.header, str(error))
        return read_client_certificate(der, vouched=False)


def decoded(text: str) -> bytes:
    """Return the DER form of a certificate as proxies write it into a header; ValueError says what is wrong.

    Known forms: PEM, also URL-encoded (nginx `$ssl_client_escaped_cert`, AWS) or with its line ends gone; base64 of
    DER (HAProxy, Traefik), also between colons (RFC 9440); Envoy's X-Forwarded-Client-Cert with `Cert=`.
    """
    if _FORWARDED.match(text):
        text = _forwarded(text)
    # Not unquote_plus: a plus is a digit of base64.
    raw = unquote_to_bytes(text.strip())
    found = _PEM.search(raw)
    if found is None and b"-----BEGIN" in raw:
        raise ValueError("the PEM text is broken")
    digits = b"".join((found[1] if found else raw.strip(b":")).split())
    try:
        der = base64.b64decode(digits, validate=True)
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.DER)
    except (binascii.Error, ValueError):
        raise ValueError("it is neither PEM nor base64 of a certificate") from None


def _forwarded(text: str) -> str:
    """Return the certificate of an X-Forwarded-Client-Cert header with exactly one element."""
    place, certificates = 0, []
    while place < len(text):
        found = _ELEMENT.match(text, place)
        if found is None:
            raise ValueError("it is no X-Forwarded-Client-Cert")
        name, value, end = found.groups()
        if end == ",":
            raise ValueError(
                "it names several certificates; let the proxy replace the header, not append to it"
            )
        if name.lower() == "cert":
            certificates.append(value.strip('"'))
        place = found.end()
    if len(certificates) != 1:
        raise ValueError("it holds no Cert=; let the proxy send the certificate itself, not only its hash")
    return certificates[0]


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SettingsInvalid(f"DIP_PROXY_ADDRESSES={text}: {error}; expected 10.0.0.7,10.1.0.0/24") from None


def _unreadable(header: str, why: str) -> Unusable:
    return Unusable(
        slug="client-certificate-unreadable",
        help=f"The header {header}, by which the proxy hands over the TLS client certificate, cannot be read: {why}.",
    )
