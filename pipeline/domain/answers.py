"""Reads what a recipient says of each message in its StandardResponse (protocol.md 5, 9).

Recipients differ in what they echo, so a result is matched by transaction id, then by the sender's unique
reference, then by position. What cannot be matched beyond doubt is said to be unclear, never guessed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pipeline.domain.identifiers import SenderReference, TransactionId
from pipeline.limits import ANSWER_TEXT_CHARS_MAX

_CODE: Final = re.compile(r"\s*([A-Z]{2,6}[0-9]{3,4})\b")
_ACCEPTED: Final = frozenset({"RCP0000", "MSG0000"})
SIGNATURE_REFUSED: Final = "RCP9999"
"""The recipient could not verify the router's signature: the router's configuration, not the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an answer can call a message by."""

    transaction_id: TransactionId
    sender_reference: SenderReference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One Body of an answer: the leading code of `message` and its text, both cleaned for logs."""

    code: str
    text: str

    @property
    def accepts(self) -> bool:
        """Tell whether the recipient took the message."""
        return self.code in _ACCEPTED


def remarks(body: bytes, messages: Sequence[Identity]) -> tuple[Remark | None, ...]:
    """Return one remark per message, None where the answer says nothing clear of it."""
    bodies = _bodies(body)
    by_position = len(bodies) == len(messages)
    return tuple(
        _only(_naming(bodies, message) or (_nameless(bodies[index]) if by_position else []))
        for index, message in enumerate(messages)
    )


def first_remark(body: bytes) -> Remark | None:
    """Return the first remark that refuses, else the first of any kind: the reason of a refused array."""
    found = [remark for remark in map(_remark, _bodies(body)) if remark is not None]
    return next((remark for remark in found if not remark.accepts), found[0] if found else None)


def cleaned(text: str) -> str:
    """Return text that is safe in logs and headers: printable, one line, bounded."""
    return "".join(char if char.isprintable() else " " for char in text[:ANSWER_TEXT_CHARS_MAX]).strip()


def _bodies(body: bytes) -> list[Mapping[str, Any]]:
    """Return the Body objects of a StandardResponse, or of the bare array some recipients send."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    if isinstance(parsed, dict):
        parsed = _get(parsed, "messageArray")
    return [one for one in parsed if isinstance(one, dict)] if isinstance(parsed, list) else []


def _naming(bodies: Sequence[Mapping[str, Any]], message: Identity) -> list[Mapping[str, Any]]:
    by_id = [one for one in bodies if _get(one, "transactionID") == message.transaction_id]
    if by_id or message.sender_reference is None:
        return by_id
    return [
        one
        for one in bodies
        if _get(one, "senderUniqueReference") == message.sender_reference and not _get(one, "transactionID")
    ]


def _nameless(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the body if it names no message, so that only its position can speak for it."""
    named = _get(body, "transactionID") or _get(body, "senderUniqueReference")
    return [] if named else [body]


def _only(bodies: Sequence[Mapping[str, Any]]) -> Remark | None:
    """Return what all bodies of one message agree on."""
    found = [_remark(one) for one in bodies]
    if not found or None in found or len({one.accepts for one in found if one}) != 1:
        return None
    return found[0]


def _remark(body: Mapping[str, Any]) -> Remark | None:
    text = _get(body, "message")
    matched = _CODE.match(text) if isinstance(text, str) else None
    if matched is None:
        return None
    extra = _get(body, "help")
    full = f"{text} ({extra})" if isinstance(extra, str) and extra else str(text)
    return Remark(code=matched.group(1), text=cleaned(full))


def _get(body: Mapping[str, Any], key: str) -> Any:
    """Look a key up as specified, else without regard to case: tolerant of names, strict in types."""
    if key in body:
        return body[key]
    return next((value for name, value in body.items() if name.lower() == key.lower()), None)
