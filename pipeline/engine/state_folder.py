"""The folder of a worker's stores: one worker at a time, and none that is older than what wrote it."""

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import IO, Final, Self

from pipeline import limits
from pipeline.engine.errors import StateTaken, StateTooNew

log = logging.getLogger(__name__)

FORM: Final = 1
"""Of the stores as a whole: their layout, their keys, their marks. Rows have forms of their own (tables/rows.py)."""
_LOCK, _FORM = "in-use", "form"


class StateFolder:
    """The right to one folder, held by the kernel's lock on a file in it until `close` or the end of the process."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    async def claim(cls, path: Path, *, wait_s: float = limits.STATE_FOLDER_WAIT_S) -> Self:
        """Take the right to a folder and make it ours, or wait for a predecessor that is still ending.

        Raises StateTaken when another process keeps it, StateTooNew when a newer version wrote it.
        """
        lock = _opened(path)
        try:
            await _locked(lock, path, end_s=time.monotonic() + wait_s)
            _check_form(path)
        except BaseException:
            lock.close()
            raise
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return cls(path, lock)

    def close(self) -> None:
        """Give the folder to whoever comes next."""
        self._lock.close()


def _opened(path: Path) -> IO[str]:
    path.mkdir(parents=True, exist_ok=True)
    return (path / _LOCK).open("a+")


async def _locked(lock: IO[str], path: Path, *, end_s: float) -> None:
    said = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = f"process {lock.readline().strip() or 'unknown'}"
        else:
            return
        if time.monotonic() >= end_s:
            raise StateTaken(
                f"the state folder {path} is in use by {owner}. Each worker needs its own: give this one another "
                "DIP_INSTANCE (or DIP_STATE_DIR), or end the other"
            )
        if not said:
            log.warning("waiting for %s to let go of the state folder %s", owner, path)
            said = True
        await asyncio.sleep(limits.STATE_FOLDER_POLL_S)


def _check_form(path: Path) -> None:
    """Refuse a folder that a newer version wrote; date one that is new, or from before there were forms."""
    file = path / _FORM
    text = file.read_text().strip() if file.exists() else ""
    if text and text != str(FORM):
        raise StateTooNew(
            f"the state folder {path} has form {text[:20]!r}, and this version knows form {FORM} only: a newer version "
            "wrote it. Run that version again, or delete the folder: its tables are restored from their changelogs"
        )
    if not text:
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{FORM}\n")
        fresh.replace(file)
