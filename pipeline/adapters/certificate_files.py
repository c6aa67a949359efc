"""Reads the certificate, key and revocation list files that settings name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipeline.errors import SettingsInvalid
from pipeline.limits import CERTIFICATE_FILE_BYTES_MAX
from pipeline.settings import Settings, variable

_LISTS: Final = frozenset({"tls_crl", "signing_crl"})

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
