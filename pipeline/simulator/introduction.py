"""Makes a market known to a router, and waits until the router has understood."""

import asyncio
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pipeline import limits
from pipeline.client import Author
from pipeline.simulator.errors import RunBroken
from pipeline.simulator.observer import Observer
from pipeline.simulator.plan import Draft
from pipeline.simulator.posting import Postman
from pipeline.simulator.writing import Writer

_ACCEPTED: Final = 201
_TRY_S_MAX, _ACCEPTED_S_MAX = 0.3, 5.0
_DIP: Final = (sys.executable, "-m", "pipeline.operate.main")


def dip(*arguments: str) -> dict[str, object]:
    """Run a `dip` command as an operator would, with this process's settings, and return its JSON.

    Raises RunBroken with the command's words where it fails.
    """
    done = subprocess.run(  # noqa: S603  # our own command with our own arguments
        [*_DIP, *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RunBroken(f"dip {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def load_participants(path: Path) -> None:
    """Load who exists."""
    dip("participants", "load", str(path))


def load_appointments(path: Path) -> None:
    """Load who holds what."""
    dip("appointments", "load", str(path))


async def await_understanding(
    *,
    postman: Postman,
    pens: Mapping[str, Author],
    writer: Writer,
    canary: Draft,
    received: Callable[[str], bool],
    observer: Observer,
    say: Callable[[str], None],
) -> None:
    """Return when a message went all the way through, and the bulk load is applied to the last row.

    The canary goes to the participant that was loaded last: who knows it knows everybody. It is sent under a
    new reference until one arrives, and belongs to no run's account.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limits.SIMULATOR_UNDERSTANDING_S_MAX
    problem = "nothing was sent"
    for number in itertools.count(1):
        if loop.time() > deadline_s:
            raise RunBroken(
                f"the router does not pass a message of the market on within "
                f"{limits.SIMULATOR_UNDERSTANDING_S_MAX} s ({problem}); are bridge, router and delivery running "
                "with the settings of `dip simulate --prepare`?"
            )
        say(f"waiting for the router to know the market (try {number}: {problem})")
        draft = dataclasses.replace(canary, reference=f"{canary.reference}n{number}")
        body = b"[" + writer.body(draft) + b"]"
        try:
            answer = await postman.post(f"/dip-channel/{draft.interface}", body, pens[draft.sender.id])
        except TimeoutError as error:
            problem = str(error)
            continue
        problem = f"answered {answer.status} {' '.join(sorted(answer.codes()))}{answer.text}"
        end_s = loop.time() + _TRY_S_MAX
        if answer.status == _ACCEPTED:
            problem = "accepted, not delivered yet"
            end_s = loop.time() + _ACCEPTED_S_MAX
        while loop.time() < end_s:
            if received(draft.reference):
                await _applied(observer, deadline_s, say)
                return
            await asyncio.sleep(0.05)


async def _applied(observer: Observer, deadline_s: float, say: Callable[[str], None]) -> None:
    while unread := await asyncio.to_thread(observer.unread):
        say(f"waiting for the appointments to be applied ({unread:,} records to go)")
        if asyncio.get_running_loop().time() > deadline_s:
            raise RunBroken(f"the router did not apply the appointments: {unread:,} records are unread")
        await asyncio.sleep(limits.SIMULATOR_LOOK_EVERY_S)
