"""What the recipients of `benchmarks.parked_kafka` took, as their own log says: repeats, order, strangers."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MPANS: Final = 50_000


@dataclass(slots=True)
class Book:
    """What the recipients took, as their log says."""

    path: Path
    rows: int
    seen: bytearray = field(init=False)
    newest_of: "array[int]" = field(init=False)
    taken: int = 0
    repeats: int = 0
    inversions: int = 0
    step_back: int = 0
    newest: int = -1
    strangers: int = 0
    others: dict[int, int] = field(default_factory=dict)
    others_repeats: int = 0
    _at: int = 0
    _rest: bytes = b""

    def __post_init__(self) -> None:
        self.seen = bytearray(self.rows)
        self.newest_of = array("q", [-1]) * MPANS

    def read(self) -> None:
        """Take in what was written since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._at)
            found = file.read()
        self._at += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            at, port, names = line.split(b" ")
            numbers = [int(one[2:]) for one in names.split(b",")]
            for number in numbers:
                if port == b"0":
                    self._big(number)
                else:
                    self.others_repeats += number in self.others
                    self.others.setdefault(number, int(at))

    def _big(self, number: int) -> None:
        if not number < self.rows:
            self.strangers += 1
        elif self.seen[number]:
            self.repeats += 1
        else:
            self.seen[number] = 1
            self.taken += 1
            self.step_back = max(self.step_back, self.newest - number)
            self.newest = max(self.newest, number)
            mpan = number % MPANS
            self.inversions += number < self.newest_of[mpan]
            self.newest_of[mpan] = max(number, self.newest_of[mpan])
