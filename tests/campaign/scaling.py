"""`make scaling`: workers come and go, are replaced one by one, lose their disks; the account and the stall of each.

    PYTHONPATH=. .venv/bin/python -m tests.campaign.scaling [--times 1]

Each step is a round of a market of its own: messages all the while, the step in the middle, then the account. The
stall is the longest time in which nothing arrived anywhere while messages were sent; `nothing` says what the machine
does by itself. Prints a table, and writes STATE/scaling.jsonl.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from pipeline.localstack.processes import Child
from tests.campaign.stage import Shape, Stage

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
    """Restart what runs of some kinds, one by one, each ready before the next one goes."""

    def step(stage: Stage) -> None:
        stage.members.settings.update(settings or {})
        for name in stage.members.names():
            member = stage.members[name]
            if member.kind in kinds and member.running:
                member.down(Child.stop)
                member.up()
                stage.members.all_ready(name)

    return step


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
    "kill -9 of a router, another stays": kill("router-1"),
    "kill -9 of a delivery worker, another stays": kill("delivery-1"),
}
STATIC: Final[dict[str, Step]] = {
    "nothing, static names": nothing,
    "rolling restart of routers": roll("router"),
    "rolling restart of delivery workers": roll("delivery"),
    "rolling restart of journal and bridge": roll("journal", "bridge"),
    "rules rolled out to all": roll(
        "router", "delivery", "journal", "bridge", settings={"rules_dir": _RULES}
    ),
    "a router on an empty disk": lose_disk("router-0"),
    "a delivery worker on an empty disk": lose_disk("delivery-0"),
    "kill -9 of a router, started again": again("router-0"),
    "kill -9 of a delivery worker, started again": again("delivery-0"),
}
_TWO: Final = (*_FIRST, "router-1", "delivery-1")


async def play(steps: dict[str, Step], shape: Shape, state: Path, time: int) -> list[dict[str, object]]:
    """Play all steps on one installation; return a row for each."""
    folder = state / f"scaling-{'static' if shape.static else 'dynamic'}-{time}"
    rows = []
    async with Stage(folder=folder, keys=state, shape=shape, rounds=len(steps), seed=time) as stage:
        for index, (name, step) in enumerate(steps.items()):
            outcome = await stage.during(index, _in_the_middle(step, stage))
            account = outcome.account
            row = {
                "step": name, "silence_s": round(outcome.silence_s, 2), "closes": account.closes,
                "copies": account.copies, "lost": account.lost, "phantom": account.phantom,
                "doubled": account.delivered_again, "load": round(os.getloadavg()[0], 1),
                "exits": stage.members.take_exits(), "differences": account.differences[:5],
            }  # fmt: skip
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def _in_the_middle(step: Step, stage: Stage) -> Awaitable[None]:
    async def work() -> None:
        await asyncio.sleep(_AT_S)
        await asyncio.to_thread(step, stage)

    return work()


def table(rows: list[dict[str, object]]) -> str:
    """Return a row of Markdown for each step: its stalls, and whether every account closed."""
    lines = ["| step | times | stall, s: least, median, most | account |", "|---|---|---|---|"]
    for name in dict.fromkeys(str(row["step"]) for row in rows):
        ours = [row for row in rows if row["step"] == name]
        stalls = sorted(float(str(row["silence_s"])) for row in ours)
        closed = all(row["closes"] for row in ours)
        lines.append(
            f"| {name} | {len(ours)} | {stalls[0]:.1f}, {statistics.median(stalls):.1f}, {stalls[-1]:.1f} | "
            f"{'closed each time' if closed else 'NOT CLOSED'} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Play everything some times; return 1 if an account did not close."""
    options = _options()
    state = options.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    static = dataclasses.replace(_SHAPE, static=True, begin=_TWO)
    for time in range(options.times):
        rows += asyncio.run(play(DYNAMIC, _SHAPE, state / "runs", time))
        rows += asyncio.run(play(STATIC, static, state / "runs", time))
        (state / "scaling.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(table(rows))
    return 0 if all(row["closes"] for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make scaling", description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--state", type=Path, default=_STATE, help="where installations and rows live")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
