"""The keys of the archive's checkpoints: Ed25519 in PEM files. The private one signs, public ones are for auditors."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.errors import SettingsInvalid

_PRIVATE_MODE = 0o600


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the SHA-256 of its 32 bytes, hexadecimal."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


class FileSigner:
    """Implements `pipeline.archive.ports.Signer`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.fingerprint = fingerprint(self.public)

    def __repr__(self) -> str:
        return f"FileSigner({self.fingerprint[:16]})"

    @classmethod
    def load(cls, path: Path) -> "FileSigner":
        """Read a private key. Raises SettingsInvalid naming the file and what to do."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise SettingsInvalid(
                f"DIP_ARCHIVE_SIGNING_KEY={path}: not a private key in PEM ({error});"
                " `dip archive key FILE` makes one"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsInvalid(f"DIP_ARCHIVE_SIGNING_KEY={path}: expected an Ed25519 key")
        return cls(key)

    def sign(self, data: bytes) -> str:
        return self._key.sign(data).hex()


class KeyRing:
    """Implements `pipeline.archive.ports.Verifier`: the keys that an auditor trusts, old ones included."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {fingerprint(one): one for one in keys}

    @classmethod
    def load(cls, paths: Iterable[Path]) -> "KeyRing":
        """Read public (or private) keys. Raises SettingsInvalid naming the file."""
        return cls(_public(path) for path in paths)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Return the names of the keys."""
        return tuple(sorted(self._keys))

    def verify(self, key: str, data: bytes, signature: str) -> bool:
        try:
            self._keys[key].verify(bytes.fromhex(signature), data)
        except (KeyError, ValueError, InvalidSignature):
            return False
        return True


def _public(path: Path) -> Ed25519PublicKey:
    try:
        data = path.read_bytes()
        if b"PRIVATE KEY" in data:
            return FileSigner.load(path).public
        key = serialization.load_pem_public_key(data)
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{path}: not a public key in PEM ({error})") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsInvalid(f"{path}: expected an Ed25519 key")
    return key


def new_key(path: Path) -> FileSigner:
    """Make a key: the private one in `path`, readable by its owner only, the public one beside it as `.pub`.

    Raises SettingsInvalid where the file exists: a key that signed something must not be lost by a mistyped name.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=_PRIVATE_MODE, exist_ok=False)
        path.write_bytes(private)
        path.with_name(path.name + ".pub").write_bytes(public)
    except FileExistsError:
        raise SettingsInvalid(f"{path} exists: choose another name, or use the key that is there") from None
    except OSError as error:
        raise SettingsInvalid(f"{path}: cannot be written: {error.strerror}") from None
    return FileSigner(key)
