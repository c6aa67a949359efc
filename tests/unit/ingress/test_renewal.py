"""TLS files that change while clients come and go: everybody is served, newcomers by the new files."""

import asyncio
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.clock import SystemClock
from pipeline.ingress.server import Listening, listen, tls_context
from pipeline.ingress.trust import TrustFiles
from pipeline.settings import Settings

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
RENEWALS = 8
CLIENTS = 6


class Site:
    """A server's files, and clients that trust its authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = CertificateAuthority.create("CA")
        self.authority.save(folder)
        (folder / "clients.pem").write_bytes(self.authority.certificate_pem)
        self.authority.issue("client", usage="client").write(folder, "client")
        self.renew()

    def renew(self) -> str:
        """Write a new server certificate; return its fingerprint."""
        issued = self.authority.issue("bridge", hosts=["127.0.0.1"])
        issued.write(self.folder, "server")
        return issued.fingerprint

    def server_tls(self) -> ssl.SSLContext:
        context = tls_context(
            Settings(
                tls_certificate=str(self.folder / "server.pem"),
                tls_key=str(self.folder / "server.key"),
                tls_client_ca=str(self.folder / "clients.pem"),
            )
        )
        assert context is not None
        return context

    def client_tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        return context


async def _hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    await asyncio.wait_for(reader.readexactly(5), 60)
    return head.split(b"\r\n", 1)[0]


def _presented(writer: asyncio.StreamWriter) -> str:
    import hashlib

    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_under_traffic_nobody_is_refused_while_files_change(
    loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    """Rotation is something one does in the middle of the day, or not at all."""
    site = Site(tmp_path)

    async def run() -> None:
        listening = await listen(_hello, host="127.0.0.1", port=0, tls=site.server_tls())
        client_tls = site.client_tls()
        served, ended = 0, asyncio.Event()

        async def come_and_go() -> None:
            nonlocal served
            while not ended.is_set():
                reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, ssl=client_tls)
                assert await _ask(reader, writer) == b"HTTP/1.1 200 OK"
                served += 1
                writer.close()

        async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal served
            while not ended.is_set():
                assert await _ask(reader, writer) == b"HTTP/1.1 200 OK"
                served += 1
                await asyncio.sleep(0.01)
            writer.close()

        first = await asyncio.open_connection("127.0.0.1", listening.port, ssl=client_tls)
        async with asyncio.TaskGroup() as group:
            group.create_task(stay(*first))
            for _ in range(CLIENTS):
                group.create_task(come_and_go())
            for _ in range(RENEWALS):
                goal = served + 3 * CLIENTS
                fingerprint = await asyncio.to_thread(site.renew)
                await listening.renew(site.server_tls())
                _, writer = await asyncio.open_connection("127.0.0.1", listening.port, ssl=client_tls)
                assert _presented(writer) == fingerprint
                writer.close()
                while served < goal:
                    await asyncio.sleep(0.01)
            ended.set()
        await listening.stop()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", listening.port)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_does_not_outlive_the_authorities_that_vouched_for_it(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """A client that resumes shows no certificate: with the authority gone it must not get in that way."""
    site = Site(tmp_path)
    listening = await listen(_hello, host="127.0.0.1", port=0, tls=site.server_tls())
    client_tls = site.client_tls()
    client_tls.maximum_version = version

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        import socket

        with (
            socket.create_connection(("127.0.0.1", listening.port), 60) as raw,
            client_tls.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            if not tls.recv(20).startswith(b"HTTP/1.1 200"):
                raise ConnectionError("closed without an answer")  # how TLS 1.3 shows a refusal
            return tls.session, bool(tls.session_reused)

    session, _ = await asyncio.to_thread(connect, None)
    _, reused = await asyncio.to_thread(connect, session)
    assert reused, "or this test shows nothing"
    (tmp_path / "clients.pem").write_bytes(CertificateAuthority.create("Another CA").certificate_pem)
    await listening.renew(site.server_tls())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(connect, session)
    await listening.stop()


async def test_a_stalled_handshake_is_cut(tmp_path: Path) -> None:
    """A connection that never says hello holds its handle for a bounded time."""
    from pipeline.limits import TLS_HANDSHAKE_S_MAX

    listening: Listening = await listen(_hello, host="127.0.0.1", port=0, tls=Site(tmp_path).server_tls())
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    assert await asyncio.wait_for(reader.read(), TLS_HANDSHAKE_S_MAX * 6) == b""
    writer.close()
    await listening.stop()


async def test_a_port_that_cannot_take_over_is_tried_again(tmp_path: Path) -> None:
    """One failure, like a want of file handles, must not leave the old certificate in place for ever."""
    from pipeline.ingress.__main__ import follow

    site, tries = Site(tmp_path), asyncio.Queue[ssl.SSLContext]()

    class Front:
        failures = 1

        async def renew(self, tls: ssl.SSLContext) -> None:
            tries.put_nowait(tls)
            if self.failures:
                self.failures -= 1
                raise OSError(24, "Too many open files")

    files = TrustFiles(
        Settings(tls_certificate=str(tmp_path / "server.pem"), tls_key=str(tmp_path / "server.key")),
        SystemClock(),
    )
    following = asyncio.create_task(follow(files, Front(), 0.01))  # type: ignore[arg-type]  # only renew is called
    site.renew()
    async with asyncio.timeout(60):
        first, second = await tries.get(), await tries.get()
    assert first is second is files.current().tls
    following.cancel()


async def test_versions_of_tls_that_are_broken_are_not_spoken(tmp_path: Path) -> None:
    site = Site(tmp_path)
    listening = await listen(_hello, host="127.0.0.1", port=0, tls=site.server_tls())
    for version, spoken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        client = site.client_tls()
        client.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            client.minimum_version = client.maximum_version = version
        connecting = asyncio.open_connection("127.0.0.1", listening.port, ssl=client)
        if spoken:
            _, writer = await connecting
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
            writer.close()
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await connecting
    await listening.stop()


async def test_only_the_protocol_that_is_spoken_is_agreed_on(tmp_path: Path) -> None:
    site = Site(tmp_path)
    listening = await listen(_hello, host="127.0.0.1", port=0, tls=site.server_tls())
    client = site.client_tls()
    client.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", listening.port, ssl=client)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()
    await listening.stop()
