"""Certificates that must not be trusted, and files of them for servers that show them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.adapters.certificates import CertificateAuthority, Issued, Taken

_SOON: Final = timedelta(days=30)
_WEAK_BITS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a server shows: a certificate (with what it sends along) and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BadCertificates:
    """Makes the certificates of one fault server for `hosts`, below the authority that its callers trust."""

    authority: CertificateAuthority
    hosts: tuple[str, ...]
    folder: Path
    now: datetime
    _good: list[Shown] = field(default_factory=list, init=False)

    def good(self) -> Shown:
        """Return one that nothing is wrong with, the same each time: keys take a while to make."""
        if not self._good:
            issued = self.authority.issue("fault server", hosts=self.hosts, now=self.now)
            self._good.append(self._write("good", issued))
        return self._good[0]

    def expired(self) -> Shown:
        return self._write(
            "expired", self.authority.issue("expired", hosts=self.hosts, days=-1, now=self.now)
        )

    def not_yet_valid(self) -> Shown:
        later = self.now + _SOON
        return self._write("not-yet-valid", self.authority.issue("later", hosts=self.hosts, now=later))

    def wrong_host(self) -> Shown:
        issued = self.authority.issue("elsewhere", hosts=("somewhere-else.example",), now=self.now)
        return self._write("wrong-host", issued)

    def self_signed(self) -> Shown:
        """Return one that vouches for itself: an authority of one's own, shown as the server's certificate."""
        folder = self.folder / "self-signed"
        CertificateAuthority.create(self.hosts[0], now=self.now).save(folder)
        return Shown(certificate=folder / "ca.pem", key=folder / "ca.key")

    def unknown_authority(self) -> Shown:
        stranger = CertificateAuthority.create("an authority nobody trusts", now=self.now)
        return self._write("unknown-authority", stranger.issue("stranger", hosts=self.hosts, now=self.now))

    def weak_key(self) -> Shown:
        """Return one with RSA of 1024 bits."""
        issued = self.authority.issue("weak", hosts=self.hosts, now=self.now, key_bits=_WEAK_BITS)
        return self._write("weak-key", issued)

    def missing_intermediate(self) -> Shown:
        """Return a leaf of an authority below the trusted one, without that authority's certificate."""
        between = self.authority.subordinate("an authority in between", now=self.now)
        return self._write("missing-intermediate", between.issue("leaf", hosts=self.hosts, now=self.now))

    def revoked(self) -> Shown:
        """Return one that its authority took back; `revoked.crl.pem` beside it says so."""
        issued = self.authority.issue("revoked", hosts=self.hosts, now=self.now)
        taken = Taken(serial=issued.serial, at=self.now, reason="keyCompromise")
        self.crl.parent.mkdir(parents=True, exist_ok=True)
        self.crl.write_bytes(self.authority.revocation_list([taken], now=self.now))
        return self._write("revoked", issued)

    @property
    def crl(self) -> Path:
        """Return the list that a caller needs to know of the revoked one."""
        return self.folder / "revoked.crl.pem"

    @property
    def trusted(self) -> Path:
        """Return the bundle of the authority that callers trust."""
        path = self.folder / "ca.pem"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.authority.certificate_pem)
        return path

    def _write(self, name: str, issued: Issued) -> Shown:
        certificate, key = issued.write(self.folder, name)
        return Shown(certificate=certificate, key=key)
