"""Reads what a recipient says of each message in its StandardResponse (protocol.md 5, 9).

Recipients differ in what they echo, so a result is matched by transaction id, then by the sender's unique
reference, then by position. What cannot be matched beyond doubt is said to be unclear, never guessed.
"""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from pipeline.domain.identifiers import SenderReference, TransactionId
from pipeline.limits import ANSWER_TEXT_CHARS_MAX, HELP_CHARS_MAX, MESSAGE_TEXT_CHARS_MAX

_CODE: Final = re.compile(r"\s*([A-Z]{2,6}[0-9]{3,4})\b")
_ACCEPTED: Final = frozenset({"RCP0000", "MSG0000"})
_Body = Mapping[str, Any]
SIGNATURE_REFUSED: Final = "RCP9999"
"""The recipient could not verify the router's signature: the router's configuration, not the message."""

assert ANSWER_TEXT_CHARS_MAX <= HELP_CHARS_MAX, "a recipient's help is passed on in a Body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an answer can call a message by."""

    transaction_id: TransactionId
    sender_reference: SenderReference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What an answer says of one message: the leading code, and the words as the recipient wrote them.

    Both texts are cleaned for logs and within the lengths that a Body may have, so they can be passed on.
    """

    code: str
    message: str
    help: str | None = None

    @property
    def accepts(self) -> bool:
        """Tell whether the recipient took the message."""
        return self.code in _ACCEPTED

    @property
    def text(self) -> str:
        """Return both texts as one, for the audit."""
        full = f"{self.message} ({self.help})" if self.help else self.message
        return full[:ANSWER_TEXT_CHARS_MAX]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An answer, read: a remark per message, None where it says nothing clear of it.

    `strangers` counts the results that name a message which was not in the array; they are ignored.
    """

    remarks: tuple[Remark | None, ...]
    strangers: int = 0


def read_answer(body: bytes, messages: Sequence[Identity]) -> Reading:
    """Match the results of an answer with the messages it is about. A malformed answer says nothing."""
    bodies = _bodies(body)
    ids = {one.transaction_id for one in messages}
    found = tuple(
        _only(_about(message, bodies, index, messages, ids)) for index, message in enumerate(messages)
    )
    references = {one.sender_reference for one in messages if one.sender_reference is not None}
    return Reading(
        remarks=found,
        strangers=sum(_is_stranger(one, ids, references) for one in bodies),
    )


def _is_stranger(body: _Body, ids: Container[str], references: Container[str]) -> bool:
    """Tell whether a result names a message, and none of these."""
    named = [(_text(body, "transactionID"), ids), (_text(body, "senderUniqueReference"), references)]
    return any(name for name, _ in named) and not any(name and name in known for name, known in named)


def first_refusal(body: bytes) -> Remark | None:
    """Return the first remark that refuses: the reason of a refused array."""
    return next((one for one in map(_remark, _bodies(body)) if one is not None and not one.accepts), None)


def cleaned(text: str) -> str:
    """Return text that is safe in logs and headers: printable, one line, bounded."""
    return "".join(char if char.isprintable() else " " for char in text[:ANSWER_TEXT_CHARS_MAX]).strip()


def _bodies(body: bytes) -> list[_Body]:
    """Return the Body objects of a StandardResponse, or of the bare array some recipients send."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    if isinstance(parsed, dict):
        parsed = _get(parsed, "messageArray")
    return [one for one in parsed if isinstance(one, dict)] if isinstance(parsed, list) else []


def _about(
    message: Identity, bodies: Sequence[_Body], index: int, messages: Sequence[Identity], ids: Container[Any]
) -> Sequence[_Body]:
    """Return the results that are about a message: by its id, by its reference, else by position alone.

    A reference counts where the id beside it names no message of the array: recipients write ids of their own there.
    """
    by_id = [one for one in bodies if _text(one, "transactionID") == message.transaction_id]
    if by_id:
        return by_id
    reference = message.sender_reference
    named = [
        one
        for one in bodies
        if reference is not None
        and _text(one, "senderUniqueReference") == reference
        and _text(one, "transactionID") not in ids
    ]
    if named:
        return named
    if len(messages) == 1:
        return [one for one in bodies if not _name(one)]
    return [bodies[index]] if len(bodies) == len(messages) and not _name(bodies[index]) else []


def _name(body: _Body) -> str | None:
    """Return what a result calls its message, if anything."""
    return _text(body, "transactionID") or _text(body, "senderUniqueReference")


def _text(body: _Body, key: str) -> str | None:
    value = _get(body, key)
    return value if isinstance(value, str) else None


def _only(bodies: Sequence[_Body]) -> Remark | None:
    """Return what all results of one message agree on: the first, with the texts of the others as its help."""
    found = [_remark(one) for one in bodies]
    if not found or None in found or len({one.accepts for one in found if one}) != 1:
        return None
    first, *others = [one for one in found if one]
    more = dict.fromkeys(one.text for one in others if one != first)
    return replace(first, help=cleaned("; ".join(filter(None, (first.help, *more)))) or None)


def _remark(body: _Body) -> Remark | None:
    text = _get(body, "message")
    matched = _CODE.match(text) if isinstance(text, str) else None
    if matched is None:
        return None
    extra = _get(body, "help")
    return Remark(
        code=matched.group(1),
        message=cleaned(text)[:MESSAGE_TEXT_CHARS_MAX],
        help=(cleaned(extra) or None) if isinstance(extra, str) else None,
    )


def _get(body: _Body, key: str) -> Any:
    """Look a key up as specified, else without regard to case: tolerant of names, strict in types."""
    if key in body:
        return body[key]
    return next((value for name, value in body.items() if name.lower() == key.lower()), None)
