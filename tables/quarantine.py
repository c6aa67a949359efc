"""Table `quarantine`: MPAN -> messages that wait for its repair. Its form is `pipeline.adapters.wards`."""

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from pipeline.adapters.wards import decode, encode
from pipeline.domain.quarantine import Ward

__all__ = ["NAME", "Wards", "declare", "decode", "encode"]

NAME: Final = "quarantine"


class Wards(MutableMapping[bytes, Ward]):
    """What the engine's table is here: a mapping whose committed rows can be read in order."""

    @abstractmethod
    def scan(
        self, prefix: bytes = b"", partition: int | None = None, *, start: bytes = b""
    ) -> Iterator[tuple[bytes, Ward]]: ...


def declare(app: Any, *sources: Any) -> Wards:
    """Declare the table on an app of the engine, beside the topics whose keys are MPANs."""
    table: Wards = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
