"""Who owns a state directory, and what runs there: a lock that dies with its holder, and a file that says what."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from pipeline.localstack.errors import AlreadyRunning

_LOCK: Final = "stack.lock"
_STATE: Final = "stack.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the owner of a state directory runs."""

    pid: int
    bootstrap: str
    registry_url: str
    rungs: Mapping[str, str]
    ports: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # client and control port by server
    pids: Mapping[str, int] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what was written by `Ownership.tell`; ValueError, KeyError or TypeError for anything else."""
        raw: dict[str, Any] = json.loads(text)
        ports = {name: (int(client), int(control)) for name, (client, control) in raw.pop("ports").items()}
        return cls(**raw, ports=ports)


class Ownership:
    """The right to run a stack in this directory; held until `release` or the end of the process."""

    def __init__(self, state_dir: Path) -> None:
        """Take the right, or raise AlreadyRunning with what the present owner runs."""
        state_dir.mkdir(parents=True, exist_ok=True)
        self._state = state_dir / _STATE
        self._lock: IO[str] = (state_dir / _LOCK).open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise AlreadyRunning(_already(state_dir)) from None
        self.previous = _read(
            self._state
        )  # what the last owner ran: its ports are chosen again when they are free
        self._state.unlink(missing_ok=True)
        self.pid = os.getpid()

    def tell(self, running: Running) -> None:
        """Write down what runs, whole or not at all."""
        fresh = self._state.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(running), indent=1) + "\n")
        fresh.replace(self._state)

    def release(self) -> None:
        """Give the directory to whoever comes next; the file stays, for its ports."""
        self._lock.close()


def find_running(state_dir: Path) -> Running | None:
    """Return what runs in this directory now, or None; a file left by a dead owner does not count."""
    path = state_dir / _LOCK
    if not path.exists():
        return None
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(state_dir / _STATE)
    return None


def _read(path: Path) -> Running | None:
    try:
        return Running.parse(path.read_text())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, or of another version: nothing to go by


def _already(state_dir: Path) -> str:
    running = _read(state_dir / _STATE)
    what = f"process {running.pid}, Kafka at {running.bootstrap}" if running else "another process"
    return (
        f"a local stack already runs in {os.fspath(state_dir)} ({what}). Use it, stop it with `dip stack down`, "
        "or choose another directory with DIP_STATE_DIR."
    )
