"""Cuts a JSON array into the bytes of its messages without touching them, and reads each message strictly."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pipeline import limits
from pipeline.catalogue.json_text import Parsed, Unreadable, read_json

_TEXT_BRACKETS: Final = b"{}[]"
_OTHER_BYTES: Final = bytes(byte for byte in range(256) if byte not in _TEXT_BRACKETS)
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliced:
    """The messages of an array, each exactly as sent."""

    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoArray:
    """The body is not a JSON array with something in it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMuch:
    """The array, or a message of it, is larger than allowed."""

    reason: str


class Slicer:
    """Cuts arrays of at most `messages_max` messages.

    A small array is decoded as a list of raw values. A large one could hold millions of tiny values, so it is
    decoded into a structure with exactly as many places as are allowed, which stops at the first one too many.
    """

    def __init__(self, messages_max: int) -> None:
        self._messages_max = messages_max
        places = [(f"m{number}", msgspec.Raw, msgspec.Raw()) for number in range(messages_max)]
        bounded = msgspec.defstruct("Bounded", places, array_like=True, forbid_unknown_fields=True)
        self._bounded = msgspec.json.Decoder(bounded)
        self._short = msgspec.json.Decoder(list[msgspec.Raw])

    def __call__(self, body: bytes) -> Sliced | NoArray | TooMuch:
        """Return the messages of an array, or what is wrong with the body as a whole."""
        try:
            raws = self._raws(body)
        except (msgspec.DecodeError, RecursionError) as error:
            return self._unreadable(error, body)
        if not raws:
            return NoArray(reason="The array is empty: send at least one message.")
        return self._too_many() if len(raws) > self._messages_max else _cut(raws)

    def _unreadable(self, error: Exception, body: bytes) -> NoArray | TooMuch:
        """Turn the decoder's words into ours; it names the byte where it can."""
        text = str(error).replace("JSON is malformed: ", "")
        text = text[:1].lower() + text[1:]
        match error:
            case RecursionError():
                return NoArray(reason=f"The body is nested deeper than {limits.JSON_DEPTH_MAX} levels.")
            case msgspec.ValidationError() if "length" in text:
                return self._too_many()
            case msgspec.ValidationError():
                return NoArray(reason=f"The body must be a JSON array of messages: {text}.")
            case _:
                hint = (
                    " It begins with a byte order mark: send UTF-8 without one." if body[:3] == _BOM else ""
                )
                return NoArray(reason=f"The body is not JSON: {text}.{hint}")

    def _raws(self, body: bytes) -> list[msgspec.Raw]:
        if len(body) <= limits.SLICE_COMMAS_MAX or body.count(b",") <= limits.SLICE_COMMAS_MAX:
            return self._short.decode(body)
        found: Any = self._bounded.decode(body)
        return [raw for raw in msgspec.structs.astuple(found) if memoryview(raw).nbytes]

    def _too_many(self) -> TooMuch:
        return TooMuch(reason=f"An array has at most {self._messages_max} messages. Send several arrays.")


def _cut(raws: list[msgspec.Raw]) -> Sliced | TooMuch:
    messages = tuple(map(bytes, raws))
    for index, message in enumerate(messages):
        if len(message) > limits.MESSAGE_BYTES_MAX:
            return TooMuch(
                reason=f"Message /{index} has {len(message)} bytes; at most {limits.MESSAGE_BYTES_MAX} are"
                " taken. Send the days of a long message in several messages."
            )
    return Sliced(messages=messages)


def read_message_text(raw: bytes) -> Parsed | Unreadable:
    """Parse one message: one meaning for every reader, and not nested deeper than anything published."""
    if not _is_shallow(raw):
        return Unreadable(f"nested deeper than {limits.JSON_DEPTH_MAX} levels")
    return read_json(raw)


def _is_shallow(raw: bytes) -> bool:
    """Tell whether brackets nest at most so deep, by peeling off the innermost pairs level by level (4 us).

    Brackets inside texts may leave a rest that does not peel; then the parsed value decides.
    """
    rest = raw.translate(None, _OTHER_BYTES)
    for _ in range(limits.JSON_DEPTH_MAX):
        if not rest:
            return True
        rest = rest.replace(b"{}", b"").replace(b"[]", b"")
    return not rest or _walks_shallow(raw)


def _walks_shallow(raw: bytes) -> bool:
    try:
        level: list[Any] = [msgspec.json.decode(raw)]
    except RecursionError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True  # not JSON at all: the parser says so better
    for _ in range(limits.JSON_DEPTH_MAX + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
