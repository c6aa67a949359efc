"""Accept fast, explain slowly: the checker that only says yes.

It reads the bytes of a message once, and parses and judges them together in half the time of parsing alone and judging
alone. Whatever it does not say yes to goes the long way (`json_text.read_json`, `Catalogue.check`), which decides and
explains. So this one may refuse too much, for instance text with escapes, but must never accept what the other would
not: a property test holds the two together (docs/adr/0160).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from pipeline.catalogue.fast_types import BulkPattern, bulk_patterns, message_type
from pipeline.catalogue.shapes import MessageShape, Shape
from pipeline.domain.identifiers import EventCode, InterfaceId

Pair = tuple[InterfaceId, EventCode]

_EVENT_CODE: Final = b'"eventCode"'


class Plain(msgspec.Struct, frozen=True):
    """A message that is valid and plainly written: names in the specification's case, none twice, none unknown.

    `value` is what `orjson.loads` returns for the same bytes.
    """

    pair: Pair
    value: Any


class FastReader:
    """Reads messages of any pair. Readers are made when first used: one takes some milliseconds."""

    def __init__(self, shapes: Mapping[Pair, MessageShape]) -> None:
        shared: dict[tuple[InterfaceId, str], _Reader] = {}
        self._readers: dict[tuple[InterfaceId, bytes], _Reader] = {}
        for (interface, event), shape in shapes.items():
            reader = shared.setdefault((interface, shape.variant), _Reader(shape.root))
            self._readers[interface, event.encode()] = reader

    def __call__(self, raw: bytes, interface: InterfaceId) -> Plain | None:
        """Return the message that some bytes hold, if it is plain and of this interface; None says nothing."""
        # The first event code in the text only says which reader to try; what that reads must be its own.
        start = raw.find(b"[", raw.find(_EVENT_CODE)) + 1
        reader = self._readers.get((interface, raw[start : raw.find(b"]", start)]))
        value = None if reader is None else reader(raw)
        if value is None:
            return None
        return Plain((interface, value["payload"]["CommonBlock"]["S0"]["eventCode"][1:-1]), value)


class _Reader:
    """Reads the messages of one published schema."""

    __slots__ = ("_bulk", "_decode", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._decode: Any = None
        self._bulk: tuple[BulkPattern, ...] = ()

    def __call__(self, raw: bytes) -> Any:
        if self._decode is None:
            self._bulk = tuple(bulk_patterns(self._shape))
            self._decode = msgspec.json.Decoder(message_type(self._shape)).decode
        try:
            value = self._decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if not _tells_all(value, raw):
            return None
        for one in self._bulk:  # runs for every message: a generator costs twice the loop
            if not one.holds(value):
                return None
        return value


def _tells_all(value: object, raw: bytes) -> bool:
    """Tell whether the value has all that the text has: no name twice, and none that was passed over.

    A text that equals what is written from its own value has nothing else. Otherwise quotation marks are counted, two
    for each name and each text: where no backslash is, none of them can be inside a text, and each name that the
    value lacks is two that are missing.
    """
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return written == raw or (b"\\" not in raw and written.count(b'"') == raw.count(b'"'))
