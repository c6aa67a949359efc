"""Writes plain JSON values as YAML: block style, texts quoted as JSON does, which every YAML reader understands."""

import json
import re
from collections.abc import Iterator
from typing import Final

# Names that no reader takes for a number, a truth value, a date or null.
_PLAIN: Final = re.compile(r"[A-Za-z_$/][A-Za-z0-9_$/.-]*")
_TAKEN: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def yaml_text(value: object) -> str:
    """Return a value of dicts, lists, texts, numbers, truth values and None as YAML."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: object, indent: str) -> Iterator[str]:
    match value:
        case dict() if value:
            for name, part in value.items():
                yield from _entry(f"{indent}{_name(name)}:", part, indent)
        case list() if value:
            for part in value:
                yield from _entry(f"{indent}-", part, indent)
        case _:
            yield indent + _leaf(value)


def _entry(head: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield f"{head} {_leaf(value)}"


def _name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _TAKEN else json.dumps(name)


def _leaf(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
