"""What every simulation of the router asks at the end. Each question returns what is wrong, in words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pipeline.domain.identifiers import ParticipantId, TransactionId

Due = tuple[TransactionId, ParticipantId]
"""One copy, as the model names it."""
Said = dict[TransactionId, list[frozenset[ParticipantId]]]
"""Recipients that the audit names, by message; one entry for each time it does."""
Place = tuple[int, int]
"""Partition and offset of a copy."""
K = TypeVar("K")


def due(expected: Mapping[TransactionId, Iterable[ParticipantId]]) -> set[Due]:
    """Return every copy that the model names."""
    return {(one, who) for one, some in expected.items() for who in some}


def compared(name: str, found: Counter[K], wanted: Counter[K]) -> list[str]:
    """Every wanted thing is there, as often as it is wanted, and nothing else."""
    told = [f"{name}: lost {one}" for one in sorted(wanted - found)]  # type: ignore[type-var]  # keys of one type
    return told + [f"{name}: doubled or phantom {one}" for one in sorted(found - wanted)]  # type: ignore[type-var]


def overtaken(
    places: Mapping[str, tuple[tuple[str, str | None], Place]], arrived: Iterable[str]
) -> list[str]:
    """First arrivals of a recipient and MPAN come in the order of the topic. `places`: key and place by delivery id."""
    newest: dict[tuple[str, str | None], Place] = {}
    told = []
    for one in dict.fromkeys(arrived):
        if one in places:
            key, at = places[one]
            if at < newest.get(key, (-1, -1)):
                told.append(f"{one} was overtaken")
            newest[key] = max(at, newest.get(key, at))
    return told


def misexplained(
    expected: Mapping[TransactionId, frozenset[ParticipantId]],
    said: Said,
) -> list[str]:
    """The audit of addressing names exactly the model's recipients, once for each message."""
    return [
        f"the audit explains {one} as {said.get(one)}"
        for one, who in sorted(expected.items())
        if said.get(one) != [who]
    ]
