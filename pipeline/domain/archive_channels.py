"""Which channel a record is filed under in the archive: those of messages and copies; the others have none."""

import re
from collections.abc import Mapping
from typing import Final

_CHANNELLED: Final = frozenset({"dip.inbound", "dip.validated", "dip.outbound"})
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,20}", re.ASCII)
_OTHER: Final = "other"


def channel_of(topic: str, value: object) -> str | None:
    """Return the channel of a decoded value; it becomes part of a path, so what is no plain name is `other`."""
    if topic not in _CHANNELLED or not isinstance(value, Mapping):
        return None
    name = value.get("channel") or value.get("interface")
    return name if isinstance(name, str) and _NAME.fullmatch(name) else _OTHER
