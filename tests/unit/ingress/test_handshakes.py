"""A handshake that fails says why, on both event loops: by the alert of the TLS standard, and in the log."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from pipeline.ingress.server import listen, tls_context
from pipeline.settings import Settings
from tests.support.secure_bridge import (
    client_certificate,
    expired_certificate,
    server_certificate,
    strangers_certificate,
    tls_authority,
)

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CASES = [
    ("expired", V12, "CERTIFICATE_EXPIRED", "certificate has expired"),
    ("expired", V13, "CERTIFICATE_EXPIRED", "certificate has expired"),
    ("stranger", V12, "UNKNOWN_CA", "refused"),
    ("stranger", V13, "UNKNOWN_CA", "refused"),
    ("none", V12, "HANDSHAKE_FAILURE", "peer did not return a certificate"),
    ("none", V13, "CERTIFICATE_REQUIRED", "peer did not return a certificate"),
]


async def _hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


def _server(folder: Path) -> ssl.SSLContext:
    (folder / "ca.pem").write_bytes(tls_authority().certificate_pem)
    certificate, key = server_certificate().write(folder, "server")
    context = tls_context(
        Settings(tls_certificate=str(certificate), tls_key=str(key), tls_client_ca=str(folder / "ca.pem"))
    )
    assert context is not None
    return context


def _ask(port: int, who: str, version: ssl.TLSVersion, folder: Path) -> bytes:
    client = ssl.create_default_context(cadata=tls_authority().certificate_pem.decode())
    client.minimum_version = client.maximum_version = version
    certificates = {
        "expired": expired_certificate,
        "stranger": lambda _: strangers_certificate(),
        "own": client_certificate,
    }
    if who in certificates:
        client.load_cert_chain(*certificates[who]("1400000001").write(folder, f"client-{who}"))
    with (
        socket.create_connection(("127.0.0.1", port), 60) as raw,
        client.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return tls.recv(12)


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1].name}")
def test_the_client_is_sent_the_alert_and_the_log_has_the_reason(
    loop: Callable[[], asyncio.AbstractEventLoop],
    case: tuple[str, ssl.TLSVersion, str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    who, version, alert, line = case

    async def run() -> None:
        listening = await listen(_hello, host="127.0.0.1", port=0, tls=_server(tmp_path))
        with pytest.raises(ssl.SSLError, match=alert):
            await asyncio.to_thread(_ask, listening.port, who, version, tmp_path)
        assert await asyncio.to_thread(_ask, listening.port, "own", version, tmp_path) == b"HTTP/1.1 200"
        await listening.stop()

    with caplog.at_level(logging.INFO), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    told = [one.getMessage() for one in caplog.records if one.name == "pipeline.ingress.handshakes"]
    assert len(told) == 1
    assert line in told[0]


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "text", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 500]
)
def test_what_is_no_tls_is_closed_and_leaves_the_server_as_it_was(
    loop: Callable[[], asyncio.AbstractEventLoop], text: bytes, tmp_path: Path
) -> None:
    """The commonest mistake of all: http instead of https."""

    async def run() -> None:
        listening = await listen(_hello, host="127.0.0.1", port=0, tls=_server(tmp_path))
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(text)
        writer.write_eof()
        async with asyncio.timeout(60):
            await reader.read()
        writer.close()
        assert await asyncio.to_thread(_ask, listening.port, "own", V13, tmp_path) == b"HTTP/1.1 200"
        await listening.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("loop", LOOPS)
def test_every_request_of_a_connection_finds_its_own_certificate(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], version: ssl.TLSVersion
) -> None:
    """Asked for with every request and remembered by its connection: never that of another one."""
    seen: list[bytes | None] = []

    async def look(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        seen.append(request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
        return web.Response(text="hello")

    async def both() -> None:
        server = await listen(look, host="127.0.0.1", port=0, tls=_server(tmp_path))
        clients = []
        for number in (1, 2):
            certificate, key = client_certificate(f"140000000{number}").write(tmp_path, f"client-{number}")
            context = ssl.create_default_context(cadata=tls_authority().certificate_pem.decode())
            context.minimum_version = context.maximum_version = version
            context.load_cert_chain(certificate, key)
            clients.append(
                await asyncio.open_connection(
                    "127.0.0.1", server.port, ssl=context, server_hostname="127.0.0.1"
                )
            )
        for reader, writer in (*clients, *clients):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello")
        for _, writer in clients:
            writer.close()
        await server.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(both())
    own = [
        ssl.PEM_cert_to_DER_cert(client_certificate(f"140000000{number}").certificate_pem.decode())
        for number in (1, 2)
    ]
    assert seen == [*own, *own]
