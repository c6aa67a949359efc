"""`make scaling`: workers come and go, are replaced one by one, lose their disks; the account and the stall of each.

    PYTHONPATH=. .venv/bin/python -m tests.campaign.scaling [--times 1] [--of dynamic static release] [--only PATTERN]

Each step is a round of a market of its own: messages all the while, the step in the middle, then the account. The
stall is the age of the oldest copy: from the sender's 201 to the reply of a recipient that is well. The silence is the
longest time in which nothing arrived anywhere while messages were sent: what senders feel where the bridge is away.
`nothing` says what the machine does by itself. Prints a table, and adds rows to STATE/scaling.jsonl.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import re
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from pipeline.localstack.processes import Child
from pipeline.simulator.report import percentiles
from tests.campaign.release import by_version, make_release
from tests.campaign.stage import PARTITIONS, Outcome, Shape, Stage

_STATE: Final = Path("var/campaign")
_RULES: Final = Path(__file__).parents[1] / "support" / "rules_if999"
_AT_S: Final = 4.0
# Small arrays: between two of sixty messages nothing would arrive for seconds, whatever the workers do.
_FIRST: Final = ("journal", "router-0", "delivery-0", "archive", "bridge")
_SHAPE: Final = Shape(
    workers=3,
    messages=400,
    meters=300,
    rate_per_s=20.0,
    misconduct=False,
    flow_share=0.0,
    parcel_messages_max=2,
    begin=_FIRST,
)

Step = Callable[[Stage], None]


def nothing(stage: Stage) -> None:
    """Do nothing: how long the output is silent by itself."""


def start(*names: str) -> Step:
    """Let workers join; return when they are ready."""

    def step(stage: Stage) -> None:
        stage.members.start(*names)
        stage.members.all_ready(*names)

    return step


def leave(*names: str) -> Step:
    """Stop workers in order, for good."""

    def step(stage: Stage) -> None:
        for name in names:
            stage.members[name].down(Child.stop)

    return step


def kill(name: str) -> Step:
    """Kill a worker, for good: those that stay take over."""

    def step(stage: Stage) -> None:
        stage.members[name].down(Child.kill)

    return step


def roll(*kinds: str, settings: dict[str, object] | None = None) -> Step:
    """Restart what runs of some kinds, kind by kind and one by one, each ready before the next one goes."""

    def step(stage: Stage) -> None:
        stage.members.settings.update(settings or {})
        for kind in kinds:
            for name in stage.members.names():
                if stage.members[name].kind == kind and stage.members[name].running:
                    stage.members[name].down(Child.stop)
                    stage.members[name].up()
                    stage.members.all_ready(name)

    return step


def hand_over(kind: str) -> Step:
    """Replace what runs of a kind, one by one: the successor is started first, and waits for the state folder."""

    def step(stage: Stage) -> None:
        for name in stage.members.names():
            if stage.members[name].kind == kind and stage.members[name].running:
                stage.members[name].hand_over()
                stage.members.all_ready(name)

    return step


def next_release(stage: Stage) -> None:
    """Roll out a release whose schemas have grown; those that write first go first: what they read is older yet."""
    stage.members.release = _release_of(stage)
    roll(*_ALL)(stage)


def this_release(stage: Stage) -> None:
    """Roll back: what the newer release wrote meanwhile is still on the topics."""
    stage.members.release = None
    roll(*_ALL)(stage)


def _release_of(stage: Stage) -> Path:
    return stage.folder / "release"


def lose_disk(name: str) -> Step:
    """Restart a worker on an empty disk: its tables come from their changelogs."""

    def step(stage: Stage) -> None:
        member = stage.members[name]
        member.down(Child.stop)
        member.forget()
        member.up()
        stage.members.all_ready(name)

    return step


def again(name: str) -> Step:
    """Kill a worker and start it at once, as a supervisor does."""

    def step(stage: Stage) -> None:
        stage.members[name].down(Child.kill)
        stage.members[name].up()
        stage.members.all_ready(name)

    return step


DYNAMIC: Final[dict[str, Step]] = {
    "nothing": nothing,
    "routers 1 to 2": start("router-1"),
    "delivery workers 1 to 2": start("delivery-1"),
    "both 2 to 3": start("router-2", "delivery-2"),
    "both 3 to 2": leave("router-2", "delivery-2"),
    "rolling restart of routers without names": roll("router"),
    "rolling restart of delivery workers without names": roll("delivery"),
    "kill -9 of a router, another stays": kill("router-1"),
    "kill -9 of a delivery worker, another stays": kill("delivery-1"),
}
STATIC: Final[dict[str, Step]] = {
    "nothing, static names": nothing,
    "rolling restart of routers": roll("router"),
    "rolling restart of delivery workers": roll("delivery"),
    "routers replaced, successors started first": hand_over("router"),
    "delivery workers replaced, successors started first": hand_over("delivery"),
    "rolling restart of journal and bridge": roll("journal", "bridge"),
    "rules rolled out to all": roll(
        "router", "delivery", "journal", "bridge", settings={"rules_dir": _RULES}
    ),
    "a router on an empty disk": lose_disk("router-0"),
    "a delivery worker on an empty disk": lose_disk("delivery-0"),
    "kill -9 of a router, started again": again("router-0"),
    "kill -9 of a delivery worker, started again": again("delivery-0"),
}
_ALL: Final = ("bridge", "router", "delivery", "journal", "archive")
RELEASE: Final[dict[str, Step]] = {
    "a release with grown schemas rolled out to all": next_release,
    "rolled back": this_release,
}
_TWO: Final = (*_FIRST, "router-1", "delivery-1")
_STATIC: Final = dataclasses.replace(_SHAPE, static=True, begin=_TWO)
# Seven restarts one after the other: messages have to go on for all of them.
_LONG: Final = dataclasses.replace(_STATIC, messages=900)
SERIES: Final[dict[str, tuple[dict[str, Step], Shape]]] = {
    "dynamic": (DYNAMIC, _SHAPE),
    "static": (STATIC, _STATIC),
    "release": (RELEASE, _LONG),
}


async def play(series: str, state: Path, time: int, *, only: str = "") -> list[dict[str, object]]:
    """Play the steps of a series on one installation; return a row for each."""
    steps, shape = SERIES[series]
    chosen = {name: step for name, step in steps.items() if re.search(only, name)}
    folder = state / f"scaling-{series}-{time}"
    rows = []
    async with Stage(folder=folder, keys=state, shape=shape, rounds=len(chosen), seed=time) as stage:
        if series == "release":
            await asyncio.to_thread(make_release, _release_of(stage))
        for index, (name, step) in enumerate(chosen.items()):
            outcome = await stage.during(index, _in_the_middle(step, stage))
            row = _row(name, outcome) | {"exits": stage.members.take_exits()}
            if series == "release":
                row |= await asyncio.to_thread(_versions, stage, rows)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def _in_the_middle(step: Step, stage: Stage) -> Awaitable[None]:
    async def work() -> None:
        await asyncio.sleep(_AT_S)
        await asyncio.to_thread(step, stage)

    return work()


def _row(name: str, outcome: Outcome) -> dict[str, object]:
    account = outcome.account
    return {
        "step": name, "age_s": percentiles(outcome.ages_s), "silence_s": round(outcome.silence_s, 2),
        "closes": account.closes, "copies": account.copies, "lost": account.lost, "phantom": account.phantom,
        "doubled": account.delivered_again, "load": round(os.getloadavg()[0], 1),
        "differences": account.differences[:5],
    }  # fmt: skip


def _versions(stage: Stage, before: list[dict[str, object]]) -> dict[str, object]:
    """Return how many records of each version are on the topics, and whether both came with this step."""
    now = by_version(stage.cluster.bootstrap, stage.registry.url, partitions=PARTITIONS)
    then = before[-1]["versions"] if before else {}
    assert isinstance(then, Mapping)
    both = all(
        len(counts) == len(("this release", "the next"))
        and all(many > few for many, few in zip(counts, then.get(topic, (0, 0)), strict=True))
        for topic, counts in now.items()
        if topic != "dip.status"  # too few messages are refused for both to be certain
    )
    return {"versions": now, "both": both}


def table(rows: list[dict[str, object]]) -> str:
    """Return a row of Markdown for each step: its stalls, and whether every account closed."""
    lines = [
        "| step | times | oldest copy, s: least, median, most | longest silence, s | account |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(str(row["step"]) for row in rows):
        ours = [row for row in rows if row["step"] == name]
        ages = sorted(_oldest(row) for row in ours)
        silence = max(float(str(row["silence_s"])) for row in ours)
        closed = all(_is_good(row) for row in ours)
        lines.append(
            f"| {name} | {len(ours)} | {ages[0]:.1f}, {statistics.median(ages):.1f}, {ages[-1]:.1f} | {silence:.1f} | "
            f"{'closed each time' if closed else 'NOT CLOSED'} |"
        )
    return "\n".join(lines)


def _oldest(row: dict[str, object]) -> float:
    ages = row["age_s"]
    assert isinstance(ages, Mapping)
    return float(ages["max"] or 0.0)


def _is_good(row: dict[str, object]) -> bool:
    return bool(row["closes"]) and bool(row.get("both", True))


def main() -> int:
    """Play everything some times; return 1 if an account did not close."""
    options = _options()
    state = options.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for time in range(options.times):
        for series in options.of:
            found = asyncio.run(play(series, state / "runs", time, only=options.only))
            rows += found
            with (state / "scaling.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
    print(table(rows))
    return 0 if all(map(_is_good, rows)) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make scaling", description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--of", nargs="+", choices=SERIES, default=list(SERIES), help="which series of steps")
    parser.add_argument(
        "--only", default="", help="steps whose names match; those of `dynamic` build on one another"
    )
    parser.add_argument("--state", type=Path, default=_STATE, help="where installations and rows live")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
