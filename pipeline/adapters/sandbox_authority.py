"""A folder with two certificate authorities for a sandbox, one for TLS and one for signing, and what they issued.

    tls/ca.pem ca.key crl.pem        signing/ca.pem ca.key crl.pem
    router/server.* client.* signing.*        participants/<DIP ID>/tls-client.* tls-server.* signing.*
    issued.json        router.toml (settings of bridge and workers: DIP_CONFIG)

Whoever can read the folder can be anybody in the sandbox, and nobody anywhere else.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509

from pipeline.adapters.certificates import CertificateAuthority, Taken, Usage, fingerprint
from pipeline.errors import SettingsInvalid

ROUTER: Final = "router"
_LEDGER: Final = "issued.json"
_LIST_DAYS: Final = 365  # written anew by every issue and revoke; a sandbox is seldom older


class Kind(StrEnum):
    """What a certificate is for."""

    TLS_CLIENT = "tls-client"
    TLS_SERVER = "tls-server"
    SIGNING = "signing"

    @property
    def authority(self) -> str:
        """Return the folder of the authority that issues it."""
        return "signing" if self is Kind.SIGNING else "tls"

    @property
    def usage(self) -> Usage:
        match self:
            case Kind.TLS_CLIENT:
                return "client"
            case Kind.TLS_SERVER:
                return "server"
            case Kind.SIGNING:
                return "signing"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedRow:
    """A certificate as the ledger has it; `serial` is decimal text, `certificate` a path inside the folder."""

    kind: Kind
    owner: str
    serial: str
    fingerprint: str
    certificate: str
    valid_from: str
    valid_to: str
    revoked_at: str | None = None
    reason: str | None = None

    @property
    def key(self) -> str:
        """Return the path of the private key inside the folder."""
        return str(Path(self.certificate).with_suffix(".key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxAuthority:
    """The folder, opened. Every mistake is SettingsInvalid that says what to do."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, *, hosts: Sequence[str], now: datetime) -> Self:
        """Make both authorities, their empty lists, and the router's own certificates for `hosts`."""
        if (folder / _LEDGER).exists():
            raise SettingsInvalid(
                f"{folder}: there is a sandbox already; take another folder, or go on with this one"
            )
        if folder.exists() and any(folder.iterdir()):
            raise SettingsInvalid(f"{folder}: is not empty; take a new folder")
        with _clearly():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = cls(folder=folder.resolve())
        for name, title in (("tls", "Open DIP sandbox TLS CA"), ("signing", "Open DIP sandbox signing CA")):
            CertificateAuthority.create(title, now=now).save(made.folder / name)
        made._write((), number=0)
        for kind in Kind:
            made.issue(kind, ROUTER, hosts=hosts if kind is Kind.TLS_SERVER else (), now=now)
        _replace(made.folder / "router.toml", _toml(made.settings()).encode())
        return made

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `create` made."""
        if not (folder / _LEDGER).is_file():
            raise SettingsInvalid(
                f"{folder}: no sandbox is here; make one with `dip sandbox ca init {folder}`"
            )
        return cls(folder=folder.resolve())

    def settings(self) -> dict[str, str]:
        """Return the settings by which bridge and workers use the folder."""
        files = {
            "tls_certificate": "router/tls-server.pem",
            "tls_key": "router/tls-server.key",
            "tls_client_ca": "tls/ca.pem",
            "tls_crl": "tls/crl.pem",
            "signing_ca": "signing/ca.pem",
            "signing_crl": "signing/crl.pem",
            "signing_certificate": "router/signing.pem",
            "signing_key": "router/signing.key",
            "webhook_ca": "tls/ca.pem",
            "webhook_crl": "tls/crl.pem",
            "webhook_certificate": "router/tls-client.pem",
            "webhook_key": "router/tls-client.key",
        }
        return {name: str(self.folder / file) for name, file in files.items()}

    def rows(self) -> tuple[IssuedRow, ...]:
        """Return everything that was issued, oldest first."""
        return self._read()[0]

    def issue(
        self,
        kind: Kind,
        owner: str,
        *,
        hosts: Iterable[str] = (),
        days: int | None = None,
        now: datetime,
    ) -> IssuedRow:
        """Issue a certificate beside earlier ones of its owner, which stay valid; `days` below 0 make it expired."""
        with self._locked():
            rows, number = self._read()
            authority = CertificateAuthority.load(self.folder / kind.authority)
            more: dict[str, Any] = {} if days is None else {"days": days}
            issued = authority.issue(owner, hosts=hosts, usage=kind.usage, now=now, **more)
            place = self.folder / (ROUTER if owner == ROUTER else f"participants/{owner}")
            path, _ = issued.write(place, _free_name(place, kind))
            certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
            row = IssuedRow(
                kind=kind,
                owner=owner,
                serial=str(certificate.serial_number),
                fingerprint=issued.fingerprint,
                certificate=str(path.relative_to(self.folder)),
                valid_from=certificate.not_valid_before_utc.isoformat(),
                valid_to=certificate.not_valid_after_utc.isoformat(),
            )
            self._write((*rows, row), number=number)
            self._write_lists((*rows, row), number=number, now=now)
            return row

    def revoke(self, which: str, *, reason: str, now: datetime) -> IssuedRow:
        """Take a certificate back: named by its file, or by the beginning of its fingerprint."""
        with self._locked():
            rows, number = self._read()
            row = self._named(which, rows)
            if row.revoked_at is not None:
                raise SettingsInvalid(f"{row.certificate}: was revoked already, at {row.revoked_at}")
            taken = replace(row, revoked_at=now.isoformat(), reason=reason)
            rows = tuple(taken if one is row else one for one in rows)
            self._write_lists(rows, number=number + 1, now=now)
            self._write(rows, number=number + 1)
            return taken

    def _named(self, which: str, rows: Sequence[IssuedRow]) -> IssuedRow:
        path = next((one for one in (Path(which), self.folder / which) if one.is_file()), None)
        if path is not None:
            try:
                digits = fingerprint(x509.load_pem_x509_certificates(path.read_bytes())[0])
            except ValueError:
                raise SettingsInvalid(f"{which}: not a PEM certificate") from None
        else:
            digits = which.replace(":", "").lower()
        found = [one for one in rows if digits and one.fingerprint.startswith(digits)]
        if not found:
            raise SettingsInvalid(
                f"{which}: no certificate of this sandbox; `dip sandbox ca show {self.folder}` lists them"
            )
        if len(found) > 1:
            raise SettingsInvalid(f"{which}: {len(found)} fingerprints begin so; give more digits")
        return found[0]

    def _read(self) -> tuple[tuple[IssuedRow, ...], int]:
        path = self.folder / _LEDGER
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(IssuedRow(**one | {"kind": Kind(one["kind"])}) for one in content["certificates"])
            return rows, int(content["list_number"])
        except OSError as error:
            raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsInvalid(f"{path}: not what `dip sandbox ca` wrote: {error}") from None

    def _write(self, rows: Sequence[IssuedRow], *, number: int) -> None:
        content = {"list_number": number, "certificates": [asdict(one) for one in rows]}
        _replace(self.folder / _LEDGER, json.dumps(content, indent=1).encode())

    def _write_lists(self, rows: Sequence[IssuedRow], *, number: int, now: datetime) -> None:
        for name in ("tls", "signing"):
            taken = [
                Taken(serial=int(one.serial), at=datetime.fromisoformat(one.revoked_at), reason=one.reason)
                for one in rows
                if one.kind.authority == name and one.revoked_at is not None
            ]
            authority = CertificateAuthority.load(self.folder / name)
            content = authority.revocation_list(taken, number=number + 1, days=_LIST_DAYS, now=now)
            _replace(self.folder / name / "crl.pem", content)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep two commands from writing at a time: one of their certificates would be forgotten."""
        with _clearly(), (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def _clearly() -> Iterator[None]:
    """Turn what the file system refuses into one clear line."""
    try:
        yield
    except OSError as error:
        raise SettingsInvalid(f"{error.filename}: cannot be written: {error.strerror}") from None


def _free_name(place: Path, kind: Kind) -> str:
    """Return `signing`, then `signing-2`, and so on: what is in use is never written over."""
    number = 1
    while (place / f"{_numbered(kind, number)}.pem").exists():
        number += 1
    return _numbered(kind, number)


def _numbered(kind: Kind, number: int) -> str:
    return kind.value if number == 1 else f"{kind.value}-{number}"


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the whole old one or the whole new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)  # noqa: PTH105  # the two names side by side say what happens


def _toml(settings: dict[str, str]) -> str:
    lines = ["# Made by `dip sandbox ca init`. Use it with DIP_CONFIG, or copy the lines into your own file."]
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]) + "\n"
