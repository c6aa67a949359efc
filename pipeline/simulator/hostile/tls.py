"""Listeners with one fault of connection or certificate each: a port per fault."""

import asyncio
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pipeline import limits
from pipeline.adapters.certificates import CertificateAuthority
from pipeline.simulator.hostile.certificates import BadCertificates, Shown
from pipeline.simulator.hostile.expectation import Expected, TlsFault

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How a port listens: with `tls` and what the server does with requests, or with `serve` of its own."""

    tls: ssl.SSLContext | None = None
    serve: Serve | None = None


def listening(fault: TlsFault, bad: BadCertificates) -> Listening:
    """Make what a port of the fault needs; keys are made here, so it takes a moment."""
    return _MAKERS[fault.make](bad)


def context(shown: Shown, *, authority: CertificateAuthority | None = None) -> ssl.SSLContext:
    """Return a server's TLS: with an authority it asks for a client certificate and can do without."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(shown.certificate, shown.key)
    if authority is not None:
        made.verify_mode = ssl.CERT_OPTIONAL
        made.load_verify_locations(cadata=authority.certificate_pem.decode())
    return made


def _shows(which: Callable[[BadCertificates], Shown]) -> Callable[[BadCertificates], Listening]:
    return lambda bad: Listening(tls=context(which(bad), authority=bad.authority))


def _weak(bad: BadCertificates) -> Listening:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")  # or OpenSSL would not even load the key
    shown = bad.weak_key()
    made.load_cert_chain(shown.certificate, shown.key)
    return Listening(tls=made)


def _old(version: ssl.TLSVersion) -> Callable[[BadCertificates], Listening]:
    def make(bad: BadCertificates) -> Listening:
        made = context(bad.good())
        made.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # it is the fault
            made.minimum_version = made.maximum_version = version
        return Listening(serve=_by_hand(made))

    return make


def _only_h2(bad: BadCertificates) -> Listening:
    made = context(bad.good())
    made.set_alpn_protocols(["h2"])
    return Listening(tls=made)


def _rejecting(bad: BadCertificates) -> Listening:
    """Ask for a client certificate of an authority that has issued none, and say so by an alert."""
    made = context(bad.good(), authority=CertificateAuthority.create("another", now=bad.now))
    made.verify_mode = ssl.CERT_REQUIRED
    return Listening(serve=_by_hand(made))


def _by_hand(tls: ssl.SSLContext) -> Serve:
    """Shake hands in memory: asyncio's own server closes without sending the alert that says why."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        hand = tls.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                hand.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                content = await reader.read(limits.FAULT_CHUNK_BYTES)
                if not content:
                    break
                incoming.write(content)
            except ssl.SSLError:
                break
            else:
                break
        writer.write(outgoing.read())
        writer.write_eof()
        # Closing with something unread would reset the connection, and the alert would be lost.
        while await reader.read(limits.FAULT_CHUNK_BYTES):
            pass

    return serve


async def _stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the connection and the first words of the handshake, and say nothing."""
    del writer
    while await reader.read(limits.FAULT_CHUNK_BYTES):
        pass


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close in the middle of the handshake."""
    del writer
    await reader.read(1)


async def _no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the handshake as a plain HTTP server does."""
    await reader.read(limits.FAULT_CHUNK_BYTES)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    with suppress(OSError):
        await writer.drain()


_MAKERS: Final[Mapping[str, Callable[[BadCertificates], Listening]]] = {
    "expired": _shows(BadCertificates.expired),
    "not-yet-valid": _shows(BadCertificates.not_yet_valid),
    "wrong-host": _shows(BadCertificates.wrong_host),
    "self-signed": _shows(BadCertificates.self_signed),
    "unknown-authority": _shows(BadCertificates.unknown_authority),
    "missing-intermediate": _shows(BadCertificates.missing_intermediate),
    "revoked": _shows(BadCertificates.revoked),
    "weak-key": _weak,
    "tls-1-0": _old(ssl.TLSVersion.TLSv1),
    "tls-1-1": _old(ssl.TLSVersion.TLSv1_1),
    "only-h2": _only_h2,
    "client-certificate-rejected": _rejecting,
    "client-certificate-not-asked": lambda bad: Listening(tls=context(bad.good())),
    "handshake-stalls": lambda _: Listening(serve=_stall),
    "handshake-hangs-up": lambda _: Listening(serve=_hang_up),
    "no-tls": lambda _: Listening(serve=_no_tls),
}


def _faults() -> Iterator[TlsFault]:
    for name, does in {
        "expired": "certificate expired yesterday",
        "not-yet-valid": "certificate is valid from next month",
        "wrong-host": "certificate of another host",
        "self-signed": "certificate that vouches for itself",
        "unknown-authority": "certificate of an authority that nobody trusts",
        "missing-intermediate": "certificate of an authority in between, which it does not send",
        "revoked": "certificate that its authority took back (needs the list, DIP_WEBHOOK_CRL)",
        "weak-key": "certificate with an RSA key of 1024 bits",
        "tls-1-0": "TLS 1.0 only",
        "tls-1-1": "TLS 1.1 only",
        "no-tls": "answers the handshake in plain HTTP",
    }.items():
        yield TlsFault(name=name, number=42, does=does, expected=Expected.WAITS, notes="tls", make=name)
    yield TlsFault(name="client-certificate-not-asked", number=43, does="asks for no client certificate",
                   expected=Expected.DELIVERED, make="client-certificate-not-asked")  # fmt: skip
    yield TlsFault(name="client-certificate-rejected", number=43, does="refuses the client's certificate by an alert",
                   expected=Expected.OURS, notes="ours", make="client-certificate-rejected")  # fmt: skip
    yield TlsFault(name="handshake-stalls", number=44, does="takes the connection and never answers the handshake",
                   expected=Expected.RETRIED, notes="timeout", hangs=True, make="handshake-stalls")  # fmt: skip
    yield TlsFault(name="handshake-hangs-up", number=44, does="closes in the middle of the handshake",
                   expected=Expected.RETRIED, notes="connect", make="handshake-hangs-up")  # fmt: skip
    yield TlsFault(name="only-h2", number=46, does="offers HTTP/2 only by ALPN; speaks HTTP/1.1 to those without",
                   expected=Expected.DELIVERED, make="only-h2")  # fmt: skip


TLS_FAULTS: Final[Mapping[str, TlsFault]] = {one.name: one for one in _faults()}
