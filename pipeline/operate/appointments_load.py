"""Loading an extract through `dip.registration`: in parts, so that a killed load goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pipeline import limits, topics
from pipeline.adapters.bulk import send_all
from pipeline.codec import Codec
from pipeline.domain.envelope import Registration
from pipeline.operate.extracts import BadLine, Group, Judge, Place, read_groups
from pipeline.settings import Settings

_SUFFIX: Final = ".progress.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load did; `resumed_at_line` is None unless an earlier try had been interrupted."""

    mpans: int
    resumed_at_line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a load is: everything up to the place is durable. All parts share one time of recording."""

    source: str
    recorded_at: datetime
    place: Place
    mpans: int

    def write(self, path: Path) -> None:
        """Put it on disk in one step: a kill leaves the old one or this one."""
        part = path.with_name(path.name + ".part")
        part.write_text(
            json.dumps(
                {
                    "source": self.source,
                    "recorded_at": self.recorded_at.isoformat(),
                    "line": self.place.line,
                    "offset": self.place.offset,
                    "mpans": self.mpans,
                }
            ),
            encoding="utf-8",
        )
        part.replace(path)


def read_progress(path: Path, source: str) -> Progress | None:
    """Return how far an earlier try of this load came; None if there is none, or it was another load."""
    try:
        row: Any = json.loads(path.read_text(encoding="utf-8"))
        found = Progress(
            source=row["source"],
            recorded_at=datetime.fromisoformat(row["recorded_at"]),
            place=Place(line=int(row["line"]), offset=int(row["offset"])),
            mpans=int(row["mpans"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.source == source else None


class Loader:
    """Loads files; `bad` takes refused rows, `say` gets the progress."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        *,
        judge: Judge,
        bad: Callable[[BadLine], None],
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._judge = judge
        self._bad = bad
        self._say = say

    def load(self, file: Path, *, source: str, now: datetime) -> Loaded:
        """Send every good row of a file; return when all of them are durable.

        Raises ExtractInvalid for a file that is none, BrokerUnavailable when Kafka is gone: what is durable then
        is skipped by the next try.
        """
        notes = file.with_name(file.name + _SUFFIX)
        earlier = read_progress(notes, source)
        at = earlier or Progress(source=source, recorded_at=now, place=Place(), mpans=0)
        groups = read_groups(file, bad=self._bad, judge=self._judge, start=at.place)
        while part := _part(groups):
            before = at.mpans
            send_all(
                self._settings,
                topics.REGISTRATION,
                self._records(part, at),
                progress=lambda count, before=before: self._say(f"{before + count:,} MPANs"),  # type: ignore[misc]  # mypy does not see defaults of lambdas
            )
            at = Progress(
                source=source,
                recorded_at=at.recorded_at,
                place=part[-1].place,
                mpans=at.mpans + _stated(part),
            )
            at.write(notes)
        notes.unlink(missing_ok=True)
        return Loaded(mpans=at.mpans, resumed_at_line=earlier.place.line if earlier else None)

    def _records(self, part: list[Group], at: Progress) -> Iterator[tuple[bytes, bytes]]:
        for group in part:
            if group.holdings:
                registration = Registration(
                    mpan=group.mpan, source=at.source, recorded_at=at.recorded_at, holdings=group.holdings
                )
                yield group.mpan.encode(), self._codec.encode_registration(registration)


def check(file: Path, *, judge: Judge, bad: Callable[[BadLine], None], say: Callable[[str], None]) -> Loaded:
    """Judge every row of a file and send none; return how many MPANs could be loaded. Raises ExtractInvalid."""
    groups, mpans = read_groups(file, bad=bad, judge=judge), 0
    while part := _part(groups):
        mpans += _stated(part)
        say(f"{mpans:,} MPANs")
    return Loaded(mpans=mpans, resumed_at_line=None)


def _part(groups: Iterator[Group]) -> list[Group]:
    """Take the groups of one checkpoint: bounded in MPANs and in rows. Empty at the end."""
    part: list[Group] = []
    held = 0
    for group in groups:
        part.append(group)
        held += len(group.holdings)
        if len(part) >= limits.LOAD_CHECKPOINT_MPANS or held >= limits.LOAD_CHECKPOINT_ROWS:
            break
    return part


def _stated(part: list[Group]) -> int:
    return sum(bool(group.holdings) for group in part)


def digest_of(file: Path) -> str:
    """Name a file by its content: a file with other rows is another load."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
