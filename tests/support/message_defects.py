"""One-defect copies of a message: every way in which a field goes wrong in practice."""

import copy

REPLACEMENTS = [
    None, True, False, 0, 1, -1, 5, 30, 30.0, 30.5, 10**9, 10**12, "", "x", "A", "0.123", "0.123\n", "0.1234",
    "\u0660.\u0661\u0662\u0663", "2026-01-05T00:00:00Z", "2026-01-05T00:00:00+00:00", "1234567890", "1234567890123\n",
    "X" * 201,    "é" * 25, "[ActivePower]", "IF-021", "011", [], {}, [None], {"a": 1}, [[]],
]  # fmt: skip


def places(value, at=()):
    """Yield the place of every part of a message, of lists only the first element."""
    yield at
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*at, name))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*at, 0))


def first_elements(value):
    """Return a copy whose lists hold one element at most: the same fields, in a fraction of the size."""
    if isinstance(value, dict):
        return {name: first_elements(part) for name, part in value.items()}
    return [first_elements(part) for part in value[:1]] if isinstance(value, list) else value


def holder(message, place):
    """Return the container of a place."""
    for step in place[:-1]:
        message = message[step]
    return message


def part(message, place):
    return holder(message, place)[place[-1]] if place else message


def defects(message, place, chance=None):
    """Yield (name, damaged copy) for every defect that a place allows.

    With `chance`, only some of the replacements that ignore what stood there; null and the rest always.
    """
    value = part(message, place)
    if place:
        others = chance.sample(REPLACEMENTS[1:], 6) if chance else REPLACEMENTS[1:]
        for replacement in [None, *others, *near(value)]:
            yield f"is {replacement!r:.30}", replaced(message, place, replacement)
        if isinstance(place[-1], str):
            rest = {name: other for name, other in holder(message, place).items() if name != place[-1]}
            yield "is missing", replaced(message, place[:-1], rest)
            renamed = rest | {place[-1].swapcase(): value}
            yield "has another letter case", replaced(message, place[:-1], renamed)
    if isinstance(value, dict):
        for name in ("unknown", "a/b~c"):
            yield f"holds {name}", replaced(message, (*place, name), 1)
    if isinstance(value, list) and value:
        for count in (0, 2, 48, 49, 201):
            yield f"has {count} elements", replaced(message, place, [value[0]] * count)


def near(value):
    """Values that almost are the given one."""
    if isinstance(value, str):
        yield from (value + "x", value + "\n", value[:-1], value.swapcase(), " " + value)
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (float(value), str(value), value + 1)


def replaced(message, place, value):
    """Return a copy that differs at one place; parts off that way are shared."""
    if not place:
        return value
    damaged = copy.copy(message)
    if isinstance(damaged, dict):
        damaged[place[0]] = replaced(message[place[0]], place[1:], value) if len(place) > 1 else value
    else:
        damaged[place[0]] = replaced(message[place[0]], place[1:], value)
    return damaged
