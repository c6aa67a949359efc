"""Who may look at the console and what for: accounts in one file, passwords as salted scrypt hashes."""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pipeline import limits
from pipeline.domain.identifiers import ParticipantId
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}", re.ASCII)
_VERSION: Final = 1
_BYTES: Final = 32


class Role(StrEnum):
    """What an account is for."""

    VIEWER = "viewer"
    """Sees everything, changes nothing."""
    OPERATOR = "operator"
    """Sees everything, gives orders to lanes and sends dead letters back."""
    PARTICIPANT = "participant"
    """Sees what is its participant's own business, as the bridge would tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One person. `participant` is whose data an account with that role sees; None for the others."""

    name: str
    role: Role
    participant: ParticipantId | None = None
    salt: str = field(repr=False)
    digest: str = field(repr=False)

    def __post_init__(self) -> None:
        if (self.role is Role.PARTICIPANT) != bool(self.participant):  # or "own data" would mean everybody's
            raise ValueError(
                f"user {self.name}: a participant's account names whose it is, and no other does"
            )

    @property
    def stamp(self) -> bytes:
        """Return what sessions are bound to: with another password, role or participant they are over."""
        return f"{self.name}|{self.role}|{self.participant}|{self.digest}".encode()

    @property
    def may_order(self) -> bool:
        return self.role is Role.OPERATOR


def account_of(name: str, role: Role, password: str, *, participant: str | None = None) -> Account:
    """Make an account with a new salt. Raises SettingsInvalid for what makes none."""
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(
            f"user name {name!r}: expected 1 to 64 of a-z, 0-9, '.', '_', '@' and '-', the first a letter or a digit"
        )
    if len(password) < limits.CONSOLE_PASSWORD_CHARS_MIN:
        raise SettingsInvalid(
            f"the password has {len(password)} characters, expected at least {limits.CONSOLE_PASSWORD_CHARS_MIN}"
        )
    if (role is Role.PARTICIPANT) != (participant is not None):
        raise SettingsInvalid(
            "a participant's account names whose it is, and no other does: --participant DIP-ID"
        )
    salt = secrets.token_bytes(16)
    return Account(
        name=name,
        role=role,
        participant=None if participant is None else ParticipantId(participant),
        salt=salt.hex(),
        digest=_hashed(password, salt).hex(),
    )


_NOBODY: Final = Account(name="-", role=Role.VIEWER, salt="00" * 16, digest="00" * _BYTES)


def proves(account: Account | None, password: str) -> bool:
    """Tell whether a password is an account's; it takes as long where there is no such account. Takes 0.1 s of CPU."""
    asked = account or _NOBODY
    found = _hashed(password[: limits.CONSOLE_PASSWORD_CHARS_MAX], bytes.fromhex(asked.salt))
    return hmac.compare_digest(found.hex(), asked.digest) and account is not None


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=limits.CONSOLE_SCRYPT_N,
        r=8,
        p=1,
        maxmem=2 * 128 * 8 * limits.CONSOLE_SCRYPT_N,
        dklen=_BYTES,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """All accounts at one moment, and the key that signs sessions."""

    key: bytes = field(repr=False)
    by_name: Mapping[str, Account]


class AccountFile:
    """The file of accounts, read again when it changes. A change that cannot be read leaves the last good one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._accounts: Accounts | None = None

    def current(self) -> Accounts:
        """Return the accounts as the file has them now. Raises SettingsInvalid where it never could be read."""
        try:
            found = self._path.stat()
            if self._seen != (found.st_mtime_ns, found.st_ino):
                self._accounts = read(self._path)
                self._seen = (found.st_mtime_ns, found.st_ino)
        except (OSError, SettingsInvalid) as error:
            if self._accounts is None:
                raise SettingsInvalid(_missing(self._path, error)) from None
            log.error("%s cannot be read (%s); the accounts stay as they were", self._path, error)  # noqa: TRY400  # one line says it all
        assert self._accounts is not None, "read above"
        return self._accounts


def path_of(settings: Settings) -> Path:
    """Return where the accounts are."""
    return Path(settings.console_users or Path(settings.state_dir) / "console-users.json")


def _missing(path: Path, error: Exception) -> str:
    if isinstance(error, SettingsInvalid):
        return str(error)
    return f"no accounts in {path} ({error}): make one with `dip console user add NAME --role operator`"


def read(path: Path) -> Accounts:
    """Read the file. Raises OSError, and SettingsInvalid for a file that is none or that everybody may read."""
    if path.stat().st_mode & 0o007:
        raise SettingsInvalid(
            f"{path}: everybody on this machine may read or write it; do `chmod 600 {path}`"
        )
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] != _VERSION:
            raise SettingsInvalid(f"{path}: version {raw['version']}, expected {_VERSION}")
        accounts = [Account(**(one | {"role": Role(one["role"])})) for one in raw["users"]]
        return Accounts(key=bytes.fromhex(raw["key"]), by_name={one.name: one for one in accounts})
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsInvalid(f"{path}: no file of accounts ({error!r}); make a new one") from None


def change(path: Path, *, put: Account | None = None, remove: str | None = None) -> Accounts:
    """Add or replace an account, or take one away, and return all. The file is made where there is none.

    It is written whole or not at all, for its owner only. Raises SettingsInvalid.
    """
    try:
        found = read(path)
    except FileNotFoundError:
        found = Accounts(key=secrets.token_bytes(_BYTES), by_name={})
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror}") from None
    kept = dict(found.by_name)
    if remove is not None and kept.pop(remove, None) is None:
        raise SettingsInvalid(f"{path}: no user {remove!r}; there are: {', '.join(sorted(kept)) or 'none'}")
    if put is not None:
        kept[put.name] = put
    accounts = Accounts(key=found.key, by_name=kept)
    _write(path, accounts)
    return accounts


def _write(path: Path, accounts: Accounts) -> None:
    text = json.dumps(
        {
            "version": _VERSION,
            "key": accounts.key.hex(),
            "users": [asdict(accounts.by_name[name]) for name in sorted(accounts.by_name)],
        },
        indent=1,
    )
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
        fresh.replace(path)
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be written: {error.strerror}") from None
