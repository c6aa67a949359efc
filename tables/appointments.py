"""Table `appointments`: MPAN -> history. Its form is `pipeline.adapters.histories`: operators read it, too."""

from abc import abstractmethod
from collections.abc import MutableMapping
from typing import Any, Final

from pipeline.adapters.histories import decode, encode
from pipeline.domain.appointments import History

__all__ = ["NAME", "Histories", "declare", "decode", "encode"]

NAME: Final = "appointments"


class Histories(MutableMapping[bytes, History]):
    """What the engine's table is here: a mapping whose committed rows can be read outside of batches."""

    @abstractmethod
    def committed(self, key: bytes, partition: int) -> History | None: ...


def declare(app: Any, *sources: Any) -> Histories:
    """Declare the table on an app of the engine, beside the topics whose keys are MPANs."""
    table: Histories = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
