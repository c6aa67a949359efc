"""Single values for samples: whatever the tables allow, looking like the real thing where that is cheap.

Everything is made up: DIP IDs, addresses, telephone numbers (of the range kept for fiction) and companies.
"""

import base64
import json
import re
import zlib
from datetime import datetime
from random import Random
from string import ascii_uppercase, digits
from typing import Final

from pipeline.catalogue.facts import Item, ScalarType
from pipeline.catalogue.pattern_text import matching_text

_NULL_SHARE: Final = 0.2
_MPAN_CHARS: Final = 13
_NUMBER_MAX: Final = 1_000  # where the tables state no bound
_DISTRIBUTOR: Final = "20"
_CHECK_DIGIT_WEIGHTS: Final = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)
_CODE_CHARS_MAX: Final = 12  # shorter texts are codes, longer ones are words
_MASKED: Final = frozenset({"x", "xxx"})  # what a recipient sees who may not see the value
_DECIMAL: Final = re.compile(r"\^(?:-\?)?\[0-9]\{1,(\d+)}\\\.\[0-9]\{(\d+)}\$")
_DECIMAL_DIGITS_MAX: Final = 3  # before the point: a thousand of anything is easy to read

_HEADS: Final = {
    "SUP": "23",
    "LDSO": "25",
    "SDS": "14",
    "ADS": "11",
    "UMSDS": "15",
    "MSS": "12",
    "MSA": "13",
    "UMSO": "16",
    "MDR": "17",
    "MDS": "18",
    "REGS": "22",
    "LSS": "31",
    "VAS": "32",
    "ISD": "33",
    "EES": "34",
    "DCC": "35",
    "EMRS": "36",
}
_HEAD_OF_OTHERS: Final = "90"
_ROLES_IN_NAMES: Final = {
    "Supplier": "SUP",
    "Distributor": "LDSO",
    "LDSO": "LDSO",
    "MDR": "MDR",
    "Metering-Service": "MSS",
    "Data-Service": "SDS",
}
_TEXTS: Final = {
    "Address-Line-1": "12 Example Street",
    "Address-Line-6": "Sampleton",
    "Address-Line": "",
    "Postcode": "ZZ9 9ZZ",
    "PostCode": "ZZ9 9ZZ",
    "Post-Code": "ZZ9 9ZZ",
    "Email": "billing@distributor.example",
    "Telephone": "01632 960001",
    "Contact-Name": "A. Sample",
    "Sort-Code": "000000",
    "Bank-Account-Number": "00000000",
    "URI": "https://data.example/publication.csv",
    "URL": "https://tickets.example/1",
    "GUID": "00-DB-12-34-56-78-90-A1",
    "Version": "1.0",
    "Distributor-ID": _DISTRIBUTOR,
    "Response-Code": "SP000 - made up",
    "Status-Error-Message": "REG0000 - made up",
    "Format": "CSV",
    "SMSO": "SMSO",
}
"""By a part of the item's name; the first that occurs in it and fits counts."""


def dip_id(role: str, number: int = 1) -> str:
    """Return a made-up DIP ID for a role; the first two digits tell roles apart for readers, not for rules."""
    return f"{_HEADS.get(role, _HEAD_OF_OTHERS)}{number:08d}"


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
    return head + check_digit(head)


def check_digit(head: str) -> str:
    """Return the thirteenth digit of an MPAN from its first twelve."""
    total = sum(int(digit) * weight for digit, weight in zip(head, _CHECK_DIGIT_WEIGHTS, strict=True))
    return str(total % 11 % 10)


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
        return rng.choice([value for value in item.enum if value not in _MASKED] or item.enum)
    if item.pattern is not None:
        return _patterned(item, item.pattern, rng)
    match item.length_min, item.length_max:
        case (None, None):
            return _compressed_report(rng)
        case (25, 25):
            return instant_text(at)
        case (10, 10):
            return at.date().isoformat() if "Date" in item.name else _dip_id(item, rng)
        case (low, high):
            return _words(item, low or 0, high or 0, rng)


def _patterned(item: Item, pattern: str, rng: Random) -> str:
    if item.length_min == _MPAN_CHARS:
        return sample_mpan(rng)
    if found := _DECIMAL.fullmatch(pattern):
        before = min(int(found.group(1)), _DECIMAL_DIGITS_MAX)
        return f"{rng.randrange(10**before)}.{_digits(rng, int(found.group(2)))}"
    return matching_text(pattern, rng)


def _dip_id(item: Item, rng: Random) -> str:
    role = next((role for part, role in _ROLES_IN_NAMES.items() if part in item.name), "")
    return dip_id(role, rng.randint(1, 99))


def _words(item: Item, low: int, high: int, rng: Random) -> str:
    """Return the known text of an item, or words for a long one and a code for a short one."""
    if "MPANS" in item.name:
        return sample_mpan(rng)
    for part, text in _TEXTS.items():
        if part in item.name and low <= len(text) <= high:
            return text
    if high <= _CODE_CHARS_MAX:
        return "".join(rng.choices(ascii_uppercase + digits, k=max(low, min(high, 4), 1)))
    title = " ".join(item.name.split("-")[2:]).strip().lower() or item.name
    return f"Example {title} {rng.randint(1, 99)}"[:high].ljust(low, "-")


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choices(digits, k=count))


def _compressed_report(rng: Random) -> str:
    """Return what P03 carries, the one text without bounds: base64 of zlib of JSON."""
    report = json.dumps({"report": rng.getrandbits(32)}).encode()
    return base64.b64encode(zlib.compress(report)).decode()
