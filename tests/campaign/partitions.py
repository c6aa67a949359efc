"""`make partitions`: the procedure of docs/UPGRADE.md for more partitions, run whole, with the account before and after.

    PYTHONPATH=. .venv/bin/python -m tests.campaign.partitions

One day with four partitions, the procedure, a day with six: other supply points, the same appointments' table.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient

from pipeline.adapters.topics import ensure_topics
from pipeline.localstack.processes import Child
from pipeline.operate.topics import configured_specs
from pipeline.settings import Settings, environment, put
from pipeline.simulator.introduction import load_appointments
from pipeline.topics import topic_specs
from tests.campaign.stage import PARTITIONS, Shape, Stage

_MORE: Final = 6
_STATE: Final = Path("var/campaign")
_SHAPE: Final = Shape(misconduct=False, messages=150)
_WORKERS: Final = ("router-0", "delivery-0", "journal")
_GONE_S_MAX: Final = 60


async def play(state: Path) -> bool:
    """Run both days and what is between them; tell whether everything closed."""
    async with Stage(folder=state / "partitions", keys=state, shape=_SHAPE, rounds=2, seed=1) as stage:
        first = await stage.during(0)
        print(f"{PARTITIONS} partitions: {first.account.copies} copies, closes: {first.account.closes}")
        started_s = time.monotonic()
        await asyncio.to_thread(repartition, stage)
        await stage.look_anew()
        print(f"the procedure took {time.monotonic() - started_s:.0f} s")
        second = await stage.during(1)
        account = second.account
        print(f"{_MORE} partitions: {account.copies} copies in all, closes: {account.closes}")
        for one in account.differences:
            print(f"  {one}")
        return first.account.closes and account.closes


def repartition(stage: Stage) -> None:
    """Do what the document says, step by step."""
    members, exported = stage.members, stage.folder / "appointments.csv"
    members["bridge"].down(Child.stop)  # 1; 2, lag and parked copies at 0, is what a closed account means
    members["archive"].down(Child.stop)  # 3
    archive = environment(state_dir=members["archive"].state)
    dip(archive, "archive", "--until-end", "--port", "0")
    dip(archive, "archive", "verify")
    dip(environment(), "appointments", "export", "--output", str(exported))  # 4
    for name in _WORKERS:
        members[name].down(Child.stop)
    delete_topics(Settings.load())  # 5
    for name in _WORKERS:
        members[name].forget()
    put(topic_partitions=_MORE)  # 6
    settings = Settings.load()
    ensure_topics(settings.kafka(), configured_specs(settings))
    put(archive_url=stage.folder / "archive-2")
    members.start(*_WORKERS, "archive")
    load_appointments(exported)
    members["bridge"].up()  # 7
    members.all_ready()


def delete_topics(settings: Settings) -> None:
    """Delete the topics whose number of partitions is the setting; those that say who exists stay."""
    few, more = ({one.name: one.partitions for one in topic_specs(partitions=count)} for count in (1, 2))
    names = [name for name in few if few[name] != more[name]]
    admin = AdminClient(settings.kafka())
    for answer in admin.delete_topics(names, operation_timeout=_GONE_S_MAX).values():
        answer.result()
    end_s = time.monotonic() + _GONE_S_MAX
    while any(name in admin.list_topics(timeout=10).topics for name in names):
        assert time.monotonic() < end_s, "topics are still there a minute after they were deleted"
        time.sleep(0.2)


def dip(settings: dict[str, str], *arguments: str) -> None:
    """Run a command as an operator would."""
    command = [sys.executable, "-m", "pipeline.operate.main", *arguments]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    print(
        f"dip {' '.join(arguments[:2])}: exit code {done.returncode}; {(done.stdout + done.stderr).strip()[-160:]}"
    )
    assert done.returncode == 0, done.stderr


def main() -> int:
    """Run the procedure; return 1 if an account did not close."""
    parser = argparse.ArgumentParser(prog="make partitions", description=__doc__)
    parser.add_argument("--state", type=Path, default=_STATE)
    state = parser.parse_args().state.absolute() / "runs"
    state.mkdir(parents=True, exist_ok=True)
    return 0 if asyncio.run(play(state)) else 1


if __name__ == "__main__":
    sys.exit(main())
