"""The quarantine as the addressing stage uses it: one row for each MPAN, and the number of all in the partition."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.domain.envelope import Message
from pipeline.domain.identifiers import Mpan, TransactionId
from pipeline.domain.quarantine import EMPTY, TOTAL, Full, Waiting, Ward, admit, without
from pipeline.domain.rejections import Rejection

__all__ = ["TOTAL", "Quarantine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Reads and writes the table inside of a batch, so all of it is part of the round's transaction."""

    rows: MutableMapping[bytes, Ward]

    def take(
        self, message: Message, record: bytes, rejections: tuple[Rejection, ...], *, mpan: Mpan, now: datetime
    ) -> str:
        """Keep a message until its MPAN is repaired; return what to tell the audit."""
        key, total = mpan.encode(), self.rows.get(TOTAL, EMPTY).messages
        before = self.rows.get(key, EMPTY)
        one = Waiting(
            transaction_id=message.transaction_id, since=now, code=rejections[0].code.value, record=record
        )
        after = admit(before, one, total=total)
        if isinstance(after, Full):
            return f"not kept: {after.reason}"
        self._put(key, before, after)
        return "kept until the MPAN is repaired"

    def waiting(self, mpan: Mpan) -> Ward:
        """Return what waits for an MPAN's repair."""
        return self.rows.get(mpan.encode(), EMPTY)

    def release(self, mpan: Mpan, transactions: frozenset[TransactionId]) -> None:
        """Let messages go that need not wait any longer."""
        before = self.waiting(mpan)
        self._put(mpan.encode(), before, without(before, transactions))

    def _put(self, key: bytes, before: Ward, after: Ward) -> None:
        if after == before:
            return
        if after.waiting:
            self.rows[key] = after
        else:
            del self.rows[key]
        total = self.rows.get(TOTAL, EMPTY).messages + after.messages - before.messages
        self.rows[TOTAL] = Ward(messages=max(0, total))
