"""`dip simulate faults`: the fault server, for the router's own tests and for participants' senders."""

import asyncio
import signal
from pathlib import Path

import click

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.clock import SystemClock
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings
from pipeline.simulator.cast import assemble
from pipeline.simulator.channels import read_channels
from pipeline.simulator.hostile import page
from pipeline.simulator.hostile.certificates import BadCertificates
from pipeline.simulator.hostile.server import Call, FaultServer
from pipeline.simulator.sandbox import prepare_sandbox

_PORT_MAX = 65_000  # the ports of TLS faults follow the first one


@click.command()
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, _PORT_MAX),
    help="First port; the faults of TLS have the ports after it. 0 takes free ones.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on, and to certify.")
@click.option(
    "--authority",
    "authority_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with ca.pem and ca.key that issue the certificates, as SANDBOX/tls of `dip sandbox ca`;"
    " default: the market's, which a router of `dip up` trusts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the list of faults as JSON, and no requests.")
@click.option("--quiet", is_flag=True, help="Do not print requests as they come.")
def faults(*, port: int, host: str, authority_dir: Path | None, as_json: bool, quiet: bool) -> None:
    """Serve one address for every way a webhook endpoint can go wrong, until Ctrl-C.

    Register one of them as a webhook, or point your own sender at it, and compare what it does with what is
    expected: the list is printed, served at / as a page and at /faults.json as data; /calls.json tells what was
    asked so far. Everything is made as it is sent, so that no fault costs this machine more than time.
    """
    state = Path(Settings.load().state_dir)
    clock = SystemClock()
    if authority_dir is None:
        authority_dir = prepare_sandbox(state / "sandbox", assemble(read_channels())).folder / "ca"
    server = FaultServer(
        bad=BadCertificates(
            authority=CertificateAuthority.load(authority_dir),
            hosts=tuple(dict.fromkeys((host, "127.0.0.1", "localhost"))),
            folder=state / "faults",
            now=clock.now(),
        ),
        now=clock.now,
        host=host,
        port=port,
        heard=(lambda _: None) if quiet or as_json else _tell,
    )
    asyncio.run(_serve(server, as_json=as_json))


async def _serve(server: FaultServer, *, as_json: bool) -> None:
    try:
        await server.start()
    except OSError as error:
        await server.close()
        raise SettingsInvalid(
            f"--host {server.host} --port {server.port}: cannot listen: {error.strerror}"
        ) from None
    if as_json:
        click.echo(page.as_json(server.described()))
    else:
        _list(server)
    stop = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    await stop.wait()
    await server.close()


def _list(server: FaultServer) -> None:
    width = max(len(url) for url, _ in server.rows())
    for url, fault in server.rows():
        click.echo(f"{url:<{width}}  {fault.does}\n{'':<{width}}    expected: {page.expectation(fault)}")
    click.echo(
        f"\npage: {server.index}   trust: {server.bad.trusted}   revoked: DIP_WEBHOOK_CRL={server.bad.crl}"
    )
    click.echo("requests are listed as they come; Ctrl-C ends")


def _tell(call: Call) -> None:
    ids = f" {call.delivery_ids}" if call.delivery_ids else ""
    click.echo(f"{call.at[11:23]} {call.fault}: {call.body_bytes:,} bytes, try {call.attempt or '?'}{ids}")
