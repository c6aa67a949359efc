"""`dip sandbox ca`: certificates for people who try the router out, without a real certificate authority."""

import json
import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from cryptography import x509

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.sandbox_authority import ROUTER, IssuedRow, Kind, SandboxAuthority
from pipeline.errors import SettingsInvalid
from pipeline.settings_text import variable

_ID: Final = re.compile(r"[0-9A-Za-z]{10}", re.ASCII)
_HOST: Final = re.compile(r"[0-9A-Za-z.:*-]{1,253}", re.ASCII)
_FIELD_OF: Final = {Kind.SIGNING: "certificates", Kind.TLS_CLIENT: "tls_certificates"}
_REASONS: Final = sorted(one.value for one in x509.ReasonFlags if one is not x509.ReasonFlags.remove_from_crl)
_DAYS_MAX: Final = 3_650

_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def sandbox() -> None:
    """Make what a sandbox needs that a market gets from others."""


@sandbox.group()
def ca() -> None:
    """Run a small certificate authority in a folder: one CA for TLS, one for signing.

    For sandboxes only. The folder holds private keys; whoever reads it can be anybody in the sandbox.
    """


@ca.command()
@_folder
@click.option(
    "--host", "hosts", multiple=True, help="Name or address the bridge is called by; may be repeated."
)
@_as_json
def init(folder: Path, *, hosts: tuple[str, ...], as_json: bool) -> None:
    """Make both authorities in FOLDER, and the router's own certificates.

    FOLDER/router.toml then holds the settings of bridge and workers: DIP_CONFIG=FOLDER/router.toml dip bridge
    """
    made = SandboxAuthority.create(
        folder, hosts=_hosts(hosts or ("localhost", "127.0.0.1", "::1")), now=SystemClock().now()
    )
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "settings": made.settings()}))
        return
    click.echo(f"A sandbox is in {made.folder}. Its router's settings are in {made.folder / 'router.toml'}:")
    for name, value in made.settings().items():
        click.echo(f"  {variable(name)}={value}")
    click.echo(f"Next: dip sandbox ca issue {folder} --kind signing --id 2300000001")


@ca.command()
@_folder
@click.option("--kind", required=True, type=click.Choice([one.value for one in Kind]), help="What it is for.")
@click.option("--id", "owner", required=True, help="DIP ID that it is made out to, or `router`.")
@click.option(
    "--host", "hosts", multiple=True, help="For tls-server: name or address it serves; may be repeated."
)
@click.option("--days", type=click.IntRange(1, _DAYS_MAX), help="How long it is valid; 397 unless told.")
@click.option("--expired", is_flag=True, help="Make one that ended yesterday, to see it refused.")
@_as_json
def issue(
    folder: Path,
    *,
    kind: str,
    owner: str,
    hosts: tuple[str, ...],
    days: int | None,
    expired: bool,
    as_json: bool,
) -> None:
    """Issue a certificate with a new key. Earlier ones of the same owner stay: that is how keys are rotated."""
    if owner != ROUTER and not _ID.fullmatch(owner):
        raise SettingsInvalid(f"--id {owner}: expected a DIP ID of 10 characters, or {ROUTER}")
    if bool(hosts) != (kind == Kind.TLS_SERVER):
        wanted = "needs at least one" if kind == Kind.TLS_SERVER else "takes no"
        raise SettingsInvalid(f"--kind {kind} {wanted} --host: only a server is called by a name")
    if expired and days is not None:
        raise SettingsInvalid("--expired and --days exclude each other")
    place = SandboxAuthority.open(folder)
    row = place.issue(
        Kind(kind), owner, hosts=_hosts(hosts), days=-1 if expired else days, now=SystemClock().now()
    )
    if as_json:
        click.echo(json.dumps(_plain(place, row) | {"register": _entry(row)}))
        return
    click.echo(f"A {kind} certificate of {owner}, valid to {row.valid_to}")
    for label, value in _plain(place, row).items():
        if label in {"certificate", "key", "fingerprint"}:
            click.echo(f"  {label:<12} {value}")
    _explain(place, row)


@ca.command()
@_folder
@click.argument("certificate")
@click.option(
    "--reason", default="unspecified", show_default=True, type=click.Choice(_REASONS), help="Why (RFC 5280)."
)
@_as_json
def revoke(folder: Path, certificate: str, *, reason: str, as_json: bool) -> None:
    """Take CERTIFICATE back: a PEM file, or the beginning of its SHA-256 fingerprint.

    The authority's list (crl.pem) is written anew; a bridge that uses the folder refuses it within
    DIP_CERTIFICATES_POLL_S.
    """
    place = SandboxAuthority.open(folder)
    row = place.revoke(certificate, reason=reason, now=SystemClock().now())
    crl = place.folder / row.kind.authority / "crl.pem"
    if as_json:
        click.echo(json.dumps(_plain(place, row) | {"revocation_list": str(crl)}))
    else:
        click.echo(f"{row.certificate} of {row.owner} is revoked ({reason}); {crl} says so")


@ca.command()
@_folder
@_as_json
def show(folder: Path, *, as_json: bool) -> None:
    """List what the authorities issued, with what became of it."""
    place = SandboxAuthority.open(folder)
    now = SystemClock().now()
    if as_json:
        rows = [_plain(place, row) | {"state": _state(row, now)} for row in place.rows()]
        click.echo(
            json.dumps({"folder": str(place.folder), "settings": place.settings(), "certificates": rows})
        )
        return
    for row in place.rows():
        click.echo(
            f"{row.owner:<10}  {row.kind:<10}  {_state(row, now):<28}  {row.fingerprint}  {row.certificate}"
        )
    click.echo(f"{len(place.rows())} certificates; settings in {place.folder / 'router.toml'}")


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for one in hosts:
        if not _HOST.fullmatch(one):
            raise SettingsInvalid(
                f"--host {one}: expected a host name or an address, without scheme and port"
            )
    return hosts


def _plain(place: SandboxAuthority, row: IssuedRow) -> dict[str, Any]:
    return asdict(row) | {
        "certificate": str(place.folder / row.certificate),
        "key": str(place.folder / row.key),
    }


def _entry(row: IssuedRow) -> dict[str, Any] | None:
    """Return what the participants file says of the certificate; None where nothing has to be registered."""
    field = _FIELD_OF.get(row.kind)
    return None if field is None or row.owner == ROUTER else {"id": row.owner, field: [row.fingerprint]}


def _explain(place: SandboxAuthority, row: IssuedRow) -> None:
    entry = _entry(row)
    if entry is None:
        click.echo(
            f"Nothing has to be registered: whoever trusts {place.folder / 'tls' / 'ca.pem'} trusts it."
        )
        return
    (field,) = entry.keys() - {"id"}
    click.echo(
        f'Register it: add "{row.fingerprint}" to "{field}" of {row.owner} in your participants file, then'
        " `dip participants load FILE`."
    )


def _state(row: IssuedRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return f"revoked {row.revoked_at[:19]}"
    if datetime.fromisoformat(row.valid_to) < now:
        return "expired"
    return f"valid to {row.valid_to[:10]}"
