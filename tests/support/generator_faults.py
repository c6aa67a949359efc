"""One fault at one known place: what a sender's mistake looks like, kind by kind."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support.fact_interpreter import table
from tests.support.generator import Form, Lst, Obj, Pair, Place, Val, places, pointer
from tests.support.generator_values import bounds, null_allowed

S0: Place = ("payload", "CommonBlock", "S0")
TWICE = "@@twice@@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """A message with one fault, as bytes. `word` must appear in the help where no place can be named."""

    kind: str
    body: bytes
    place: Place
    word: str = ""

    def named_by(self, found: str | None) -> bool:
        """Tell whether a pointer names the faulty place or its parent."""
        return found in {pointer(self.place), pointer(self.place[:-1])}


@dataclass(slots=True)
class Damage:
    """A copy of a message to be damaged, and the places it has."""

    message: dict[str, Any]
    parts: list[tuple[Place, Form]]
    rng: Random

    def put(self, place: Place, value: Any) -> None:
        self.holder(place)[place[-1]] = value

    def drop(self, place: Place) -> None:
        del self.holder(place)[place[-1]]

    def holder(self, place: Place) -> Any:
        return self.at(place[:-1])

    def at(self, place: Place) -> Any:
        value: Any = self.message
        for step in place:
            value = value[step]
        return value

    def pick(self, wanted: list[Any]) -> Any:
        return self.rng.choice(wanted) if wanted else None


def faulty(pair: Pair) -> Iterator[Faulty]:
    """Yield messages with one fault each, without end: every kind that the pair allows comes in turn."""
    while True:
        kinds = list(KINDS)
        pair.rng.shuffle(kinds)
        for kind in kinds:
            message = copy.deepcopy(pair.valid())
            damage = Damage(message, places(pair.form, message), pair.rng)
            found = KINDS[kind](damage, pair)
            if found is not None:
                place, word = found
                yield Faulty(kind=kind, body=_bytes(damage, pair.rng), place=place, word=word)


def _bytes(damage: Damage, rng: Random) -> bytes:
    """Write a message, plainly or with spaces; a name that is to appear twice was marked."""
    compact = (",", ":") if rng.random() < 0.7 else (", ", ": ")
    text = json.dumps(damage.message, ensure_ascii=rng.random() < 0.3, separators=compact)
    return re.sub(rf'"{TWICE}([^"]+)"', r'"\1"', text).encode()


Found = tuple[Place, str] | None


def _values(damage: Damage) -> list[tuple[Place, Val]]:
    """Return the scalars, without the two of S0 that have kinds of their own."""
    mine = {(*S0, "interfaceID"), (*S0, "eventCode")}
    return [(place, form) for place, form in damage.parts if isinstance(form, Val) and place not in mine]


def missing(damage: Damage, _: Pair) -> Found:
    wanted = [
        (*place, name)
        for place, form in damage.parts
        if isinstance(form, Obj)
        for name, (required, _) in form.members.items()
        if required
    ]
    place = damage.pick(wanted)
    damage.drop(place)
    return place, ""


def null(damage: Damage, _: Pair) -> Found:
    wanted = [
        place
        for place, form in damage.parts
        if place and not (isinstance(form, Val) and null_allowed(form.item, form.allowed))
    ]
    place = damage.pick(wanted)
    damage.put(place, None)
    return place, ""


def another_type(damage: Damage, _: Pair) -> Found:
    place, form = damage.pick([one for one in damage.parts if one[0]])
    match form:
        case Obj():
            wrong: list[Any] = ["text", 7, True, []]
        case Lst():
            wrong = ["text", 7, False, {}]
        case Val(item={"type": "string"}):
            wrong = [7, 7.5, True, [], {}, ["text"]]
        case Val(item={"type": "boolean"}):
            wrong = [0, 1, "true", [], {}]
        case _:
            wrong = ["7", True, False, [], {}]
    damage.put(place, damage.pick(wrong))
    return place, ""


def pattern(damage: Damage, _: Pair) -> Found:
    wanted = [
        (place, form)
        for place, form in _values(damage)
        if form.item["pattern"] and isinstance(damage.at(place), str)
    ]
    if not wanted:
        return None
    place, form = damage.pick(wanted)
    right = damage.at(place)
    near = [right + "\n", " " + right, right[:-1] + "_", right + "x", "\u0661" + right[1:], ""]
    wrong = [one for one in near if not re.fullmatch(form.item["pattern"], one, re.ASCII)]
    damage.put(place, damage.pick(wrong))
    return place, ""


def length(damage: Damage, _: Pair) -> Found:
    wanted = [
        (place, count)
        for place, form in _values(damage)
        if form.item["type"] == "string" and form.allowed is None and not form.item["pattern"]
        for count in _wrong_lengths(form.item)
    ]
    if not wanted:
        return None
    place, count = damage.pick(wanted)
    damage.put(place, "é" * count)
    return place, ""


def _wrong_lengths(item: dict[str, str]) -> Iterator[int]:
    if item["min_length"] and int(item["min_length"]):
        yield int(item["min_length"]) - 1
    if item["max_length"]:
        yield int(item["max_length"]) + 1


def enumeration(damage: Damage, _: Pair) -> Found:
    wanted = [(place, form) for place, form in _values(damage) if form.allowed is not None]
    if not wanted:
        return None
    place, form = damage.pick(wanted)
    known = damage.pick([one for one in form.allowed if one is not None])
    near = [known.swapcase(), known + " ", "\t" + known, known * 2, "", "?"]
    damage.put(place, damage.pick([one for one in near if one not in form.allowed]))
    return place, ""


def amount(damage: Damage, _: Pair) -> Found:
    wanted: list[tuple[Place, list[Any]]] = []
    for place, form in damage.parts:
        if isinstance(form, Lst) and (now := damage.at(place)):
            wanted += [(place, now[:1] * (form.high + 1))] if form.high is not None else []
            wanted += [(place, now[:1] * (form.low - 1))] if form.low else []
    if not wanted:
        return None
    place, wrong = damage.pick(wanted)
    damage.put(place, wrong)
    return place, ""


def bound(damage: Damage, _: Pair) -> Found:
    wanted = [
        (place, wrong)
        for place, form in _values(damage)
        if form.item["type"] in {"integer", "number"}
        for wrong in _out_of_bounds(form.item)
    ]
    if not wanted:
        return None
    place, wrong = damage.pick(wanted)
    damage.put(place, wrong)
    return place, ""


def _out_of_bounds(item: dict[str, str]) -> Iterator[float]:
    low, high, step = bounds(item)
    if item["minimum"]:
        yield low - 1
    if item["maximum"]:
        yield high + 1
    if item["type"] == "integer":
        yield low + 0.5
    if step and low + 1 <= high:
        yield low + 1


def unknown_name(damage: Damage, _: Pair) -> Found:
    wanted = [place for place, form in damage.parts if isinstance(form, Obj) and not form.additional]
    place = (*damage.pick(wanted), damage.pick(["notPublished", "a/b~c", "n\u00e4me", "x" * 60]))
    damage.put(place, damage.pick([None, 1, "text", {}, []]))
    return place, ""


def interface(damage: Damage, pair: Pair) -> Found:
    others = sorted({row["interface"] for row in table("channels.tsv")} - {pair.interface})
    wrong = [
        damage.pick(others),
        pair.interface.lower(),
        pair.interface + " ",
        "IF-030",
        "IF-999",
        "PUB-021",
        "",
    ]
    place = (*S0, "interfaceID")
    damage.put(place, damage.pick(wrong))
    return place, ""


def event(damage: Damage, pair: Pair) -> Found:
    mine = {row["event"] for row in table("messages.tsv") if row["interface"] == pair.interface}
    others = sorted({row["event"] for row in table("messages.tsv")} - mine)
    place = (*S0, "eventCode")
    damage.put(
        place,
        damage.pick([f"[{damage.pick(others)}]", "[NoSuchEvent]", f"[{pair.event.swapcase()}]", "[]", ""]),
    )
    return place, ""


def bracketless(damage: Damage, pair: Pair) -> Found:
    place = (*S0, "eventCode")
    damage.put(place, damage.pick([pair.event, f"[{pair.event}", f"{pair.event}]", f"[[{pair.event}]]"]))
    return place, ""


def twice(damage: Damage, _: Pair) -> Found:
    """Name a field twice: some readers keep the first value, some the last."""
    place, _form = damage.pick([one for one in damage.parts if isinstance(one[1], Obj) and damage.at(one[0])])
    name = damage.pick(sorted(damage.at(place)))
    damage.put((*place, f"{TWICE}{name}"), damage.pick([damage.at((*place, name)), None]))
    return (*place, name), name


def twice_in_another_case(damage: Damage, _: Pair) -> Found:
    """Name a field twice in two letter cases: names do not care, so this is the same mistake."""
    place, _form = damage.pick([one for one in damage.parts if isinstance(one[1], Obj) and damage.at(one[0])])
    name = damage.pick(sorted(damage.at(place)))
    damage.put((*place, name.swapcase()), copy.deepcopy(damage.at((*place, name))))
    return (*place, name), ""


KINDS = {
    "missing": missing,
    "null": null,
    "another type": another_type,
    "pattern": pattern,
    "length": length,
    "enumeration": enumeration,
    "number of elements": amount,
    "number out of bounds": bound,
    "unknown name": unknown_name,
    "interface": interface,
    "event": event,
    "event without brackets": bracketless,
    "name twice": twice,
    "name twice in two letter cases": twice_in_another_case,
}
