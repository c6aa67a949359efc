"""What the archive asks of the outside."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipeline.domain.archive import Archived, Extent, Place


class Storage(Protocol):
    """Objects by path, written whole or not at all. Every method may raise StorageUnavailable."""

    def create(self, path: str, data: bytes) -> None:
        """Write an object that must not exist yet; AlreadyThere otherwise. Durable on return."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write an object, or write it again. Durable on return."""
        ...

    def read(self, path: str) -> bytes:
        """Return an object; ObjectMissing if there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the objects and folders directly in a folder; none if it is not there."""
        ...

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is removed already."""
        ...


class Signer(Protocol):
    """Signs checkpoints."""

    @property
    def fingerprint(self) -> str:
        """Return the name of its key: the SHA-256 of the public key, hexadecimal."""
        ...

    def sign(self, data: bytes) -> str:
        """Return an Ed25519 signature, hexadecimal."""
        ...


class Verifier(Protocol):
    """Checks signatures with keys that the auditor trusts."""

    def verify(self, key: str, data: bytes, signature: str) -> bool:
        """Tell whether the signature is that key's; False also for a key that is not trusted."""
        ...


class Source(Protocol):
    """The topics to archive, one reader, no group."""

    def extents(self) -> Mapping[Place, Extent]:
        """Return every partition of every topic. Raises BrokerUnavailable or TopicsInvalid."""
        ...

    def start(self, positions: Mapping[Place, int]) -> None:
        """Read committed records from these offsets on."""
        ...

    def poll(self) -> Sequence[Archived]:
        """Return the next records, none if there are none for a moment. Raises BrokerUnavailable."""
        ...

    def positions(self) -> Mapping[Place, int]:
        """Return up to where each partition was read: all records before it were given out."""
        ...

    def ends(self) -> Mapping[Place, int]:
        """Return for each partition the end as last heard of."""
        ...

    def archived(self, positions: Mapping[Place, int]) -> None:
        """Note for those who watch lag up to where everything is archived. What fails here is repeated later."""
        ...

    def close(self) -> None:
        """End reading."""
        ...
