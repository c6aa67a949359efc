"""What a campaign leaves behind: a line of JSON for each round, and the table made of them."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaign.faults import Fault
from tests.campaign.stage import Outcome, Shape

_COUNTED = ("copies", "delivered", "parked", "dead_lettered", "delivered_again", "status_again")
_SHOWN_MAX = 8
_SUMS = {
    "rounds": "rounds", "open": "not closed", "copies": "copies", "delivered": "delivered", "parked": "parked",
    "dead_lettered": "dead-lettered", "lost": "lost", "misrouted": "misrouted", "phantom": "phantom",
    "delivered_again": "doubled, same id", "status_again": "status messages doubled",
    "ended by themselves": "processes that ended by themselves",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round. Counts of `totals` are of the stage up to now, those of `own` of this round alone."""

    number: int
    shape: Mapping[str, Any]
    faults: Sequence[Mapping[str, Any]]
    totals: Mapping[str, int]
    own: Mapping[str, int]
    lost: int
    misrouted: int
    phantom: int
    differences: Sequence[str]
    exits: Mapping[str, int]
    silence_s: float
    seconds: float

    @property
    def closes(self) -> bool:
        return not (self.lost or self.misrouted or self.phantom or self.differences)

    def line(self) -> str:
        """Return the round on one line."""
        faults = "; ".join(
            f"{one['kind']} {one['target']} at {one['at_s']:.1f} for {one['for_s']:.1f} s"
            for one in self.faults
        )
        head = f"round {self.number}: {'closes' if self.closes else 'DOES NOT CLOSE'}, {self.own['copies']} copies"
        rest = [f"{self.own['delivered_again']} doubled, silent {self.silence_s:.1f} s, {self.seconds:.0f} s"]
        rest += [f"exits {dict(self.exits)}"] if self.exits else []
        wrong = [f"\n    {one}" for one in self.differences[:_SHOWN_MAX]]
        return f"{head}, {', '.join(rest)} [{faults}]" + "".join(wrong)


class Report:
    """The rounds that were played, in a file that each is appended to at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rounds: dict[int, Round] = {}
        for line in lines:
            one = Round(**json.loads(line))
            self.rounds[one.number] = one

    def add(
        self,
        number: int,
        shape: Shape,
        faults: Sequence[Fault],
        outcome: Outcome,
        *,
        exits: Mapping[str, int],
        before: Round | None,
    ) -> Round:
        """Note a round; `before` is the one before it on the same installation."""
        account = outcome.account
        totals = {name: getattr(account, name) for name in _COUNTED}
        earlier = before.totals if before is not None else {}
        made = Round(
            number=number,
            shape=dataclasses.asdict(shape),
            faults=[dataclasses.asdict(fault) for fault in faults],
            totals=totals,
            own={name: count - earlier.get(name, 0) for name, count in totals.items()},
            lost=account.lost,
            misrouted=account.misrouted,
            phantom=account.phantom - account.misrouted,
            differences=account.differences[:_SHOWN_MAX],
            exits=dict(exits),
            silence_s=round(outcome.silence_s, 2),
            seconds=round(outcome.seconds, 1),
        )
        self.rounds[number] = made
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(made)) + "\n")
        return made

    def table(self) -> str:
        """Return everything as Markdown: the sums, then a row for each kind of fault."""
        rounds = list(self.rounds.values())
        sums = Counter[str]()
        for one in rounds:
            sums.update(one.own)
            sums.update(
                rounds=1, open=not one.closes, lost=one.lost, misrouted=one.misrouted, phantom=one.phantom
            )
            sums.update({"ended by themselves": sum(one.exits.values())})
        return "\n".join(
            (
                f"| {' | '.join(_SUMS.values())} |",
                "|---" * len(_SUMS) + "|",
                f"| {' | '.join(f'{sums[name]:,}' for name in _SUMS)} |",
                "",
                "| fault | of | times | longest silence where it was the only one, s |",
                "|---|---|---|---|",
                *_by_fault(rounds),
            )
        )


def _by_fault(rounds: Sequence[Round]) -> list[str]:
    times = Counter[tuple[str, str]]()
    silences: dict[tuple[str, str], float] = {}
    for one in rounds:
        for fault in one.faults:
            key = (fault["kind"], fault["target"].partition("-")[0])
            times[key] += 1
            if len(one.faults) == 1:  # only then is the silence its own
                silences[key] = max(silences.get(key, 0.0), one.silence_s)
    return [
        f"| {kind} | {target} | {count} | {f'{silences[kind, target]:.1f}' if (kind, target) in silences else '-'} |"
        for (kind, target), count in sorted(times.items())
    ]
