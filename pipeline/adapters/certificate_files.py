"""Reads the certificate, key and revocation list files that settings name."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509

from pipeline.domain.revocation import RevocationList, latest, read_lists
from pipeline.errors import SettingsInvalid
from pipeline.limits import CERTIFICATE_FILE_BYTES_MAX
from pipeline.settings import Settings
from pipeline.settings_text import variable

C = TypeVar("C", bound=StrEnum)

_LISTS: Final = frozenset({"tls_crl", "signing_crl", "webhook_crl"})

Contents = dict[str, dict[str, bytes]]
"""What the files hold, by setting and path."""


def read_files(settings: Settings, names: Iterable[str]) -> Contents:
    """Return the contents of every file that these settings name.

    Contents and not dates are compared to see a change: a file may be replaced within one tick of the file
    system's clock. Raises SettingsInvalid that names the setting and the file.
    """
    found: Contents = {}
    for name in names:
        value = getattr(settings, name)
        paths = [one.strip() for one in value.split(",")] if name in _LISTS else [value]
        found[name] = {path: _read(name, path) for path in paths if path}
    return found


def _read(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(CERTIFICATE_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsInvalid(f"{variable(name)}={path}: cannot be read: {error.strerror}") from None
    if len(content) > CERTIFICATE_FILE_BYTES_MAX:
        raise SettingsInvalid(f"{variable(name)}={path}: has more than {CERTIFICATE_FILE_BYTES_MAX} bytes")
    return content


def authorities(name: str, contents: Mapping[str, bytes]) -> tuple[x509.Certificate, ...]:
    """Return a bundle's certificates, those that last longest first: of a renewed authority the new one counts.

    Raises SettingsInvalid that names the file.
    """
    found = [one for path, content in contents.items() for one in certificates_in(name, path, content)]
    return tuple(sorted(found, key=lambda one: one.not_valid_after_utc, reverse=True))


def certificates_in(name: str, path: str, content: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, in its order. Raises SettingsInvalid that names it."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise SettingsInvalid(f"{variable(name)}={path}: not a PEM bundle of certificates") from None


def revocation_lists(
    name: str, contents: Mapping[str, bytes], trusted: tuple[x509.Certificate, ...]
) -> tuple[RevocationList, ...]:
    """Return the lists that count, each signed by a trusted authority. Raises SettingsInvalid that names the file."""
    found: list[RevocationList] = []
    for path, content in contents.items():
        try:
            found += read_lists(path, content, trusted)
        except ValueError as error:
            raise SettingsInvalid(f"{variable(name)}={path}: {error}") from None
    return latest(found)


def choice(kind: type[C], name: str, value: str) -> C:
    """Return one of a setting's words. Raises SettingsInvalid that names them all."""
    try:
        return kind(value)
    except ValueError:
        raise SettingsInvalid(f"{variable(name)}={value}: expected {', '.join(kind)}") from None
