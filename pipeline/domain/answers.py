"""Reads what a recipient says of each message in its StandardResponse (protocol.md 5, 9).

Recipients differ in what they echo, so a result is matched by transaction id, then by the sender's unique
reference, then by position. What cannot be matched beyond doubt is said to be unclear, never guessed.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec
import orjson

from pipeline.domain.excerpts import redacted
from pipeline.domain.identifiers import SenderReference, TransactionId
from pipeline.limits import (
    ANSWER_REMARKS_KEPT_MAX,
    ANSWER_TEXT_CHARS_MAX,
    HELP_CHARS_MAX,
    MESSAGE_TEXT_CHARS_MAX,
)

_CODE: Final = re.compile(r"\s*([A-Z]{2,6}[0-9]{3,4})\b")
_ACCEPTED: Final = frozenset({"RCP0000", "MSG0000"})
_Body = Mapping[str, Any]
SIGNATURE_REFUSED: Final = "RCP9999"
"""The recipient could not verify the router's signature: the router's configuration, not the message."""

assert ANSWER_TEXT_CHARS_MAX <= HELP_CHARS_MAX, "a recipient's help is passed on in a Body"


class Named(Protocol):
    """What an answer can call a message by; a copy is one."""

    @property
    def transaction_id(self) -> TransactionId: ...
    @property
    def sender_reference(self) -> SenderReference | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The names of a message alone."""

    transaction_id: TransactionId
    sender_reference: SenderReference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What an answer says of one message: the leading code, and the words as the recipient wrote them.

    Both texts are cleaned for logs, hide what looks like a secret, and are within the lengths that a Body may have, so
    they can be passed on.
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


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, read: a remark per message, None where it says nothing clear of it.

    `strangers` counts the results that name a message which was not in the array; they are ignored.
    """

    remarks: tuple[Remark | None, ...]
    strangers: int = 0


def read_answer(body: bytes, messages: Sequence[Named]) -> Reading:
    """Match the results of an answer with the messages it is about. A malformed answer says nothing.

    A result is about a message by its id, else by its reference, else by position alone. A reference counts where the
    id beside it names no message of the array: recipients write ids of their own there.
    """
    results = [
        (one, _text(one, "transactionID"), _text(one, "senderUniqueReference")) for one in _bodies(body)
    ]
    ids = {one.transaction_id for one in messages}
    references = {one.sender_reference for one in messages if one.sender_reference is not None}
    by_id: defaultdict[str, list[_Body]] = defaultdict(list)
    by_reference: defaultdict[str, list[_Body]] = defaultdict(list)
    strangers = 0
    for one, name, reference in results:
        if name in ids:
            by_id[name].append(one)
        elif reference in references:
            by_reference[reference].append(one)
        elif name or reference:
            strangers += 1
    nameless = [None if name or reference else one for one, name, reference in results]
    found = []
    for index, message in enumerate(messages):
        about = by_id.get(message.transaction_id) or by_reference.get(message.sender_reference or "")
        found.append(_only(about or _at(index, nameless, len(messages))))
    return Reading(remarks=tuple(found), strangers=strangers)


def _at(index: int, nameless: Sequence[_Body | None], messages: int) -> list[_Body]:
    """Return the results that name no message and are about the one at a position: all of them where it is alone."""
    if messages == 1:
        return [one for one in nameless if one is not None]
    own = nameless[index] if len(nameless) == messages else None
    return [] if own is None else [own]


def first_refusal(body: bytes) -> Remark | None:
    """Return the first remark that refuses: the reason of a refused array."""
    return next((one for one in map(_remark, _bodies(body)) if one is not None and not one.accepts), None)


def cleaned(text: str) -> str:
    """Return text that is safe in logs and headers: printable, one line, bounded."""
    if text.isprintable():  # nearly always, and fifty times faster to find out
        return text[:ANSWER_TEXT_CHARS_MAX].strip()
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


def _text(body: _Body, key: str) -> str | None:
    value = _get(body, key)
    return value if isinstance(value, str) else None


def _only(bodies: Sequence[_Body]) -> Remark | None:
    """Return what all results of one message agree on: the first, with the texts of the others as its help."""
    if len(bodies) == 1:
        return _remark(bodies[0])
    found = [_remark(one) for one in bodies]
    if not found or None in found or len({one.accepts for one in found if one}) != 1:
        return None
    first, *others = [one for one in found if one]
    more = dict.fromkeys(one.text for one in others if one != first)
    return replace(first, help=cleaned("; ".join(filter(None, (first.help, *more)))) or None)


def _remark(body: _Body) -> Remark | None:
    text, extra = _get(body, "message"), _get(body, "help")
    if not isinstance(text, str):
        return None
    extra = extra if isinstance(extra, str) else None
    # Recipients say the same of nearly every message.
    usual = len(text) + len(extra or "") <= ANSWER_TEXT_CHARS_MAX
    return _kept_remark(text, extra) if usual else _new_remark(text, extra)


def _new_remark(text: str, extra: str | None) -> Remark | None:
    matched = _CODE.match(text)
    if matched is None:
        return None
    return Remark(
        code=matched.group(1),
        message=cleaned(redacted(text[:ANSWER_TEXT_CHARS_MAX]))[:MESSAGE_TEXT_CHARS_MAX],
        help=None if extra is None else cleaned(redacted(extra[:ANSWER_TEXT_CHARS_MAX])) or None,
    )


_kept_remark: Final = lru_cache(maxsize=ANSWER_REMARKS_KEPT_MAX)(_new_remark)


def _get(body: _Body, key: str) -> Any:
    """Look a key up as specified, else without regard to case: tolerant of names, strict in types."""
    if key in body:
        return body[key]
    return next((value for name, value in body.items() if name.lower() == key.lower()), None)
