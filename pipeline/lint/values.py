"""Mends for single values: what a sender meant, where only one thing can have been meant."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from pipeline.catalogue.explanation import expectation, fits, shown
from pipeline.catalogue.facts import Item, ScalarType
from pipeline.catalogue.sample_values import check_digit
from pipeline.lint.findings import Kind

Value = str | float | bool | None

_INSTANT_CHARS: Final = 25
_DATE_CHARS: Final = 10
_MPAN_CHARS: Final = 13
_SCALE: Final = re.compile(r"\\\.\[0-9]\{(\d+)}\$$")
_INSTANT: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<time>\d{2}:\d{2}:\d{2})(?P<fraction>[.,]\d+)?"
    r"(?P<zone>[Zz]|[+-]\d{2}:?\d{2}|)",
    re.ASCII,
)
_DIGITS_ALIKE: Final = re.compile(r"[ \t\u00a0-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What is wrong with a value. `value` is the mend where it is certain (`mended`)."""

    rule: str
    text: str
    mend: str = ""
    kind: Kind = Kind.ERROR
    mended: bool = False
    value: Value = None


def remark_on(value: Value, source: str, item: Item) -> Remark | None:
    """Judge a value by its item; None where there is nothing to say.

    `source` is a number as written. What fits may still be a trap: a time with Z in 25 characters.
    """
    if fits(value, item):
        return _trap(value, item)
    found = _mend(value, source, item)
    if found is None:
        return None
    mended, rule, text = found
    if mended is not None and fits(mended, item):
        return Remark(rule=rule, text=text, mend=f"write {shown(mended)}", mended=True, value=mended)
    return Remark(rule=rule, text=f"{text}; expected {expectation(item)}")


def _mend(value: Value, source: str, item: Item) -> tuple[Value, str, str] | None:
    """Return (mended value or None, rule, what is wrong), or None where the specification's own words serve."""
    match value:
        case bool():
            return _from_boolean(value, item)
        case int() | float():
            return _from_number(value, source, item)
        case str():
            return _from_text(value, item)
        case _:
            return None, "null", "null is not allowed here"


def _from_boolean(value: bool, item: Item) -> tuple[Value, str, str] | None:  # noqa: FBT001  # a JSON value
    if item.type is not ScalarType.STRING:
        return None
    return None, "type", f"{shown(value)} where text is expected"


def _from_number(value: float, source: str, item: Item) -> tuple[Value, str, str] | None:
    if item.type is ScalarType.INTEGER and isinstance(value, float) and value.is_integer():
        return int(value), "whole-number", f"{source} has a fraction: whole numbers are written without"
    if item.type is not ScalarType.STRING:
        return None
    text = f"the number {source} where text is expected"
    if (scale := _scale(item)) is not None:
        mended = _at_scale(source, scale)
        return mended, "fixed-scale", text if mended else _too_fine(source, scale)
    return _as_text(source, item), "number-for-text", text


def _too_fine(source: str, scale: int) -> str:
    return f"{source} has more than {scale} decimals: to round it is for you to decide"


def _scale(item: Item) -> int | None:
    """Return how many decimals an item wants, if it is a decimal written as text."""
    found = _SCALE.search(item.pattern or "")
    return int(found.group(1)) if found else None


def _at_scale(text: str, scale: int) -> str | None:
    """Write a decimal with so many digits after the point; None where that would change it."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > _INSTANT_CHARS:
        return None
    written = f"{number:.{scale}f}"
    return written if Decimal(written) == number else None


def _as_text(source: str, item: Item) -> str | None:
    """Return the digits as text, with leading zeros where one allowed value has the same digits."""
    if item.enum is not None and source not in item.enum:
        same = [one for one in item.enum if one.isdigit() and one.lstrip("0") == source.lstrip("0")]
        return same[0] if len(same) == 1 else None
    return source


def _from_text(value: str, item: Item) -> tuple[Value, str, str] | None:
    stripped = value.strip()
    if stripped != value and fits(stripped, item):
        return stripped, "blanks", f"{shown(value)} has blanks around it"
    if item.nullable and stripped.lower() in ("", "null", "none"):
        return None, "null-as-text", f"{shown(value)} is text; write null if nothing is to be said"
    match item.type:
        case ScalarType.BOOLEAN:
            return (
                {"true": True, "false": False}.get(stripped.lower()),
                "text-for-boolean",
                (f"{shown(value)} is text where true or false is expected"),
            )
        case ScalarType.INTEGER | ScalarType.NUMBER:
            return _number(stripped), "text-for-number", f"{shown(value)} is text where a number is expected"
        case ScalarType.STRING:
            return _other_text(value, stripped, item)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else None


def _other_text(value: str, stripped: str, item: Item) -> tuple[Value, str, str] | None:
    if item.enum is not None:
        return _enumerated(value, item.enum)
    if (scale := _scale(item)) is not None:
        mended = _at_scale(stripped, scale) if re.fullmatch(r"[-+]?[0-9]*\.?[0-9]*", stripped) else None
        return mended, "fixed-scale", f"{shown(value)} does not have {scale} decimals"
    if item.length_min == item.length_max == _INSTANT_CHARS and item.pattern is None:
        return _instant(value)
    if item.length_min == _MPAN_CHARS:
        return _mpan(value)
    if item.length_min == item.length_max == _DATE_CHARS and _INSTANT.fullmatch(value):
        return None, "date", f"{shown(value)} has a time of day where a date is expected"
    return None


def _enumerated(value: str, enum: tuple[str, ...]) -> tuple[Value, str, str] | None:
    wanted = {value.strip().lower(), f"_{value.strip().lower()}"}
    alike = [one for one in enum if one.lower() in wanted]
    if len(alike) != 1:
        return None
    return alike[0], "spelling", f"{shown(value)} is not how the specification spells it"


def _instant(value: str) -> tuple[Value, str, str] | None:
    """Mend Z, a fraction of zeros and a missing colon; a fraction that counts or no zone is the sender's to say."""
    found = _INSTANT.fullmatch(value)
    if found is None:
        return None, "instant", f"{shown(value)} is no instant with offset, as 2026-01-05T09:30:00+00:00"
    if not found["zone"]:
        return (
            None,
            "instant",
            f"{shown(value)} has no offset: whether it is UTC or UK time is for you to say",
        )
    if (found["fraction"] or "").strip(".,0"):
        return None, "instant", f"{shown(value)} has a fraction of a second: to drop it is for you to decide"
    zone = "+00:00" if found["zone"] in "Zz" else f"{found['zone'][:3]}:{found['zone'][-2:]}"
    mended = f"{found['day']}T{found['time']}{zone}"
    return (
        (mended if _real(mended) else None),
        "instant",
        f"{shown(value)} is not in the form of 25 characters",
    )


def _real(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _mpan(value: str) -> tuple[Value, str, str] | None:
    bare = _DIGITS_ALIKE.sub("", value)
    mended = bare if _is_mpan(bare) else None
    return mended, "mpan", f"{shown(value)} is not 13 digits"


def _is_mpan(text: str) -> bool:
    return (
        len(text) == _MPAN_CHARS and text.isascii() and text.isdigit() and text[12] == check_digit(text[:12])
    )


def _trap(value: Value, item: Item) -> Remark | None:
    """Warn of what the schema lets pass."""
    if not isinstance(value, str) or item.enum is not None:
        return None
    if item.length_min == _MPAN_CHARS and not _is_mpan(value):
        text = f"{shown(value)} has a wrong check digit: {check_digit(value[:12])} is right"
        return Remark(kind=Kind.WARNING, rule="check-digit", text=text)
    if item.length_min == item.length_max == _INSTANT_CHARS and item.pattern is None:
        found = _INSTANT.fullmatch(value)
        if found is None or found["fraction"] or not _real(value):
            text = (
                f"{shown(value)} has 25 characters, so the schema lets it pass; it is no instant in the form"
            )
            return Remark(kind=Kind.WARNING, rule="instant", text=f"{text} 2026-01-05T09:30:00+00:00")
    return None
