"""Sending dead letters back at a set rate: what goes, why the rest stays, and how to go on after an interruption.

A letter and its mark in the audit are one transaction. So a run that is started again after whatever happened sends
what is left, and nothing twice.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pipeline import limits, topics
from pipeline.adapters.dead_letters import Requeuer, Sent, letters
from pipeline.adapters.topic_scan import scan_topic
from pipeline.codec import Codec
from pipeline.domain.dead_letters import MARK, Letter, Return, Wanted, renewed, requeue_note
from pipeline.domain.envelope import Copy
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import STATUS_CHANNEL
from pipeline.settings import Settings

STAGES: Final = ("validation", "addressing", "delivery")
"""What can go back. What reporting failed on is a letter of these already, whose sender was not told; what the journal
failed on is where it belongs, and only not in its index."""

_CLOCKS_APART: Final = timedelta(seconds=limits.CLOCKS_APART_S_MAX)
Say = Callable[[int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an operator wants to go back, how fast, and who it is."""

    stages: Sequence[str]
    wanted: Wanted
    rate_per_s: float
    by: str


def find_out(settings: Settings, codec: Codec, ask: Ask, say: Say) -> Return:
    """Read the letters, then the audit since the oldest of them. `say` gets the number of letters read, now and then."""
    found = Return()
    for number, letter in enumerate(_all(settings, codec, ask), start=1):
        if ask.wanted.takes(letter):
            found.add(letter)
        if number % limits.BULK_REPORT_RECORDS == 0:
            say(number)
    if len(found):
        since = None if found.since is None else found.since - _CLOCKS_APART
        for message in scan_topic(settings, topics.AUDIT, since=since):
            found.hear(codec.decode_audit(message.value() or b""), _mark(message))
    return found


def send_back(
    settings: Settings,
    codec: Codec,
    ask: Ask,
    *,
    going: Return,
    requeuer: Requeuer,
    now: Callable[[], datetime],
    say: Say,
) -> int:
    """Send what goes back, in transactions of a quarter of a second's work; return how many letters did."""
    pace = Pace(rate_per_s=ask.rate_per_s, started_s=time.monotonic())
    done = 0
    for batch in batches((one for one in _all(settings, codec, ask) if one.place in going), pace.batch):
        requeuer.write([record for letter in batch for record in records_of(letter, codec, ask.by, now())])
        done += len(batch)
        say(done)
        time.sleep(pace.wait_s(done, time.monotonic()))
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A steady rate, counted from the start: what a slow moment held up is not made up for faster than in batches."""

    rate_per_s: float
    started_s: float

    @property
    def batch(self) -> int:
        """Return how many go together."""
        return max(1, min(limits.REQUEUE_BATCH_MAX, int(self.rate_per_s / 4)))

    def wait_s(self, done: int, now_s: float) -> float:
        """Return how long to wait before the next batch, so that no second has more than its share."""
        return max(0.0, self.started_s + done / self.rate_per_s - now_s)


def records_of(letter: Letter, codec: Codec, by: str, now: datetime) -> tuple[Sent, Sent]:
    """Return the record that goes back and its mark in the audit.

    A copy goes back with its ids and bytes and a hold that begins anew; anything else as it came, to where it came
    from.
    """
    mark = ((MARK, str(letter.place).encode()),)
    note = requeue_note(letter, by=by, now=now)
    key = (note.transaction_id or "").encode()
    return _returned(letter, codec, mark, now), Sent(
        topic=topics.AUDIT, key=key, value=codec.encode_audit(note), headers=mark
    )


def _returned(letter: Letter, codec: Codec, mark: tuple[tuple[str, bytes], ...], now: datetime) -> Sent:
    record = letter.record
    if isinstance(record, Copy):
        topic = topics.STATUS if record.channel == STATUS_CHANNEL else topics.OUTBOUND
        value = codec.encode_copy(renewed(record, now=now))
        return Sent(topic=topic, key=outbound_key(record), value=value, headers=mark)
    return Sent(topic=letter.facts["topic"], key=letter.key, value=letter.value, headers=mark)


def _all(settings: Settings, codec: Codec, ask: Ask) -> Iterator[Letter]:
    for stage in ask.stages:
        yield from letters(settings, stage, codec)


def batches(found: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield what is found in lists of a size, the last one shorter."""
    batch: list[T] = []
    for one in found:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _mark(message: Any) -> str | None:
    found = dict(message.headers() or ()).get(MARK)
    return None if found is None else found.decode(errors="replace")
