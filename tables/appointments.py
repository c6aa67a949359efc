"""Table `appointments`: MPAN -> history. Its form is `pipeline.adapters.histories`: operators read it, too."""

from collections.abc import MutableMapping
from typing import Any, Final

from pipeline.adapters.histories import decode, encode
from pipeline.domain.appointments import History

__all__ = ["NAME", "declare", "decode", "encode"]

NAME: Final = "appointments"


def declare(app: Any, *sources: Any) -> MutableMapping[bytes, History]:
    """Declare the table on an app of the engine, beside the topics whose keys are MPANs."""
    table: MutableMapping[bytes, History] = app.Table(NAME, sources=sources, encode=encode, decode=decode)
    return table
