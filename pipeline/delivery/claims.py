"""The partitions that a worker has: what is unsettled of each, what is under way, and which are being given up."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.delivery.entry import Entry
from pipeline.delivery.ports import Claim
from pipeline.delivery.window import Window


def share(lane: frozenset[int], held: frozenset[int]) -> float:
    """Return which part of a lane's partitions is held; all of it where none of them is known. Pure."""
    return len(lane & held) / len(lane) if lane & held else 1.0


class Claims:
    """Knows for every copy whether it may be sent, and whether what became of it can still be settled."""

    def __init__(self) -> None:
        self.windows: dict[Claim, Window] = {}
        self._under_way: Counter[Claim] = Counter()
        self._returned = asyncio.Event()
        self._ending: set[Claim] = set()

    def open(self, claim: Claim) -> None:
        """Begin to hold a claim."""
        self.windows[claim] = Window()

    def end(self, claim: Claim) -> None:
        """Send nothing more of a claim; what is under way may still be settled until `close`."""
        self._ending.add(claim)

    def close(self, claim: Claim) -> None:
        """Forget a claim."""
        self.windows.pop(claim, None)
        self._ending.discard(claim)

    def held(self, entry: Entry) -> bool:
        """Tell whether what became of the entry can still be settled by us."""
        return entry.claim in self.windows

    def serves(self, claim: Claim) -> bool:
        """Tell whether copies of the claim may be sent."""
        return claim in self.windows and claim not in self._ending

    def window(self, claim: Claim) -> Window | None:
        """Return the window of copies that arrive under a claim; None where none of them may be sent."""
        return None if self._ending and claim in self._ending else self.windows.get(claim)

    def partitions(self) -> frozenset[int]:
        """Return the partitions whose copies may be sent."""
        return frozenset(claim.partition for claim in self.windows if claim not in self._ending)

    def release(self, entry: Entry) -> None:
        """Take an entry out of its window: its ticket is spent."""
        window = self.windows.get(entry.claim)
        if window is not None:
            window.remove(entry)
        entry.ticket = None

    @contextmanager
    def sending(self, batch: Sequence[Entry]) -> Iterator[None]:
        """Note that a POST of these copies is under way."""
        claims = Counter([entry.claim for entry in batch])
        self._under_way.update(claims)
        try:
            yield
        finally:
            for claim, copies in claims.items():
                self._under_way[claim] -= copies
                if not self._under_way[claim]:
                    del self._under_way[claim]
            self._returned.set()

    async def quiet(self, claim: Claim) -> None:
        """Wait until no POST with copies of the claim is under way."""
        while self._under_way[claim]:
            self._returned.clear()
            await self._returned.wait()
