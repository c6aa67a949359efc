"""`make campaign`: rounds of faults against the whole product on real Kafka, the account closed after each.

    PYTHONPATH=. .venv/bin/python -m tests.campaign.run [--rounds 20] [--first 0] [--seconds 3600] [--report FILE]

What happens in a round follows from its number. Rounds that the report has are not played again. A round whose
account does not close ends its installation, whose logs stay; the next round begins with a new one. Exit code 1 if
any round failed.
"""

import argparse
import asyncio
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.errors import RouterError
from tests.campaign.faults import script
from tests.campaign.report import Report, Round
from tests.campaign.stage import Shape, Stage

ROUNDS_OF_A_STAGE: Final = 20
_STARTS_MAX: Final = 3  # of an installation: a busy machine may let a broker or a registry be late
_STATE: Final = Path("var/campaign")


def shape(stage: int) -> Shape:
    """Return how the installation of a stage is made: one worker of a kind, two, two with static names, three nodes."""
    several = stage % 4 == 3
    return Shape(
        nodes=3 if several else 1,
        workers=1 if stage % 4 == 0 else 2,
        static=stage % 4 in {0, 2},
    )


async def play(stage_number: int, numbers: list[int], report: Report, state: Path) -> bool:
    """Play the rounds of one stage; tell whether all closed."""
    folder = state / f"rounds-{numbers[0]}-{numbers[-1]}"
    form = shape(stage_number)
    stage = Stage(folder=folder, keys=state, shape=form, rounds=len(numbers), seed=stage_number)
    before: Round | None = None
    async with stage:
        for index, number in enumerate(numbers):
            faults = script(number, stage.hand.names(), load_s=form.messages / form.rate_per_s)
            outcome = await stage.play(index, faults)
            before = report.add(
                number, form, faults, outcome, exits=stage.members.take_exits(), before=before
            )
            print(before.line(), flush=True)
            if not before.closes:
                print(f"  round {number} does not close; logs: {folder}/logs", flush=True)
                return False
    for part in folder.iterdir():
        if part.name != "logs":
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    return True


def main() -> int:
    """Run the campaign; return 1 if a round failed."""
    options = _options()
    state = options.state.absolute()
    report = Report(options.report or state / "rounds.jsonl")
    wanted = [n for n in range(options.first, options.first + options.rounds) if n not in report.rounds]
    started_s, failed = time.monotonic(), 0
    for stage in sorted({number // ROUNDS_OF_A_STAGE for number in wanted}):
        numbers = [number for number in wanted if number // ROUNDS_OF_A_STAGE == stage]
        tries = _STARTS_MAX
        while numbers and tries and time.monotonic() - started_s < options.seconds:
            try:
                closed = asyncio.run(play(stage, numbers, report, state / "runs"))
                failed += not closed
            except RouterError as error:
                tries -= 1
                print(f"  stage {stage} broke off, {tries} more tries: {error}", flush=True)
            numbers = [number for number in numbers if number not in report.rounds]
        failed += bool(numbers)
    print(report.table())
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make campaign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first round")
    parser.add_argument(
        "--seconds", type=float, default=36_000, help="begin no new installation after so long"
    )
    parser.add_argument("--report", type=Path, help="default: STATE/rounds.jsonl")
    parser.add_argument("--state", type=Path, default=_STATE, help="where installations and the report live")
    return parser.parse_args()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
