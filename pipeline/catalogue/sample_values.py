"""Single values for samples: whatever the tables allow, looking like the real thing where that is cheap."""

import base64
import json
import zlib
from datetime import datetime
from random import Random
from string import ascii_letters, digits
from typing import Final

from pipeline.catalogue.facts import Item, ScalarType
from pipeline.catalogue.pattern_text import matching_text

_NULL_SHARE: Final = 0.2
_TEXT_CHARS_MAX: Final = 12  # samples stay short where the tables allow 2,000 characters
_MPAN_CHARS: Final = 13
_NUMBER_MAX: Final = 1_000  # where the tables state no bound
_DISTRIBUTOR: Final = "20"
_CHECK_DIGIT_WEIGHTS: Final = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)


def sample_value(item: Item, rng: Random, at: datetime) -> object:
    """Return a value that fits an item; instants and dates are `at`."""
    if item.nullable and rng.random() < _NULL_SHARE:
        return None
    match item.type:
        case ScalarType.BOOLEAN:
            return rng.random() < 0.5  # noqa: PLR2004  # a coin
        case ScalarType.INTEGER | ScalarType.NUMBER:
            return _number(item, rng)
        case ScalarType.STRING:
            return _text(item, rng, at)


def sample_mpan(rng: Random) -> str:
    """Return an MPAN with a correct check digit."""
    head = _DISTRIBUTOR + _digits(rng, 10)
    total = sum(int(digit) * weight for digit, weight in zip(head, _CHECK_DIGIT_WEIGHTS, strict=True))
    return f"{head}{total % 11 % 10}"


def instant_text(instant: datetime) -> str:
    """Write an instant as messages do: 25 characters with offset."""
    return instant.isoformat(timespec="seconds")


def _number(item: Item, rng: Random) -> int:
    step = item.multiple_of or 1
    low = item.minimum or 0
    high = _NUMBER_MAX if item.maximum is None else item.maximum
    return rng.randrange(-(-low // step) * step, high + 1, step)


def _text(item: Item, rng: Random, at: datetime) -> str:
    if item.enum is not None:
        return rng.choice(item.enum)
    if item.pattern is not None:
        is_mpan = item.length_min == _MPAN_CHARS
        return sample_mpan(rng) if is_mpan else matching_text(item.pattern, rng)
    match item.length_min, item.length_max:
        case (None, None):
            return _compressed_report(rng)
        case (25, 25):
            return instant_text(at)
        case (10, 10):
            return at.date().isoformat() if "Date" in item.name else _digits(rng, 10)
        case (low, high):
            low = max(low or 1, 1)
            count = rng.randint(low, min(high or low, max(low, _TEXT_CHARS_MAX)))
            return "".join(rng.choices(ascii_letters + digits, k=count))


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choices(digits, k=count))


def _compressed_report(rng: Random) -> str:
    """Return what P03 carries, the one text without bounds: base64 of zlib of JSON."""
    report = json.dumps({"report": rng.getrandbits(32)}).encode()
    return base64.b64encode(zlib.compress(report)).decode()
