"""Why the local stack stops; each text says what to do, so that no stack trace is needed."""

from pathlib import Path

from pipeline.errors import RouterError


class LocalStackError(RouterError):
    """Base of all: the local stack cannot go on, and what it started is stopped."""


class LockInvalid(LocalStackError):
    """A committed lock list cannot be read: the checkout is damaged, restore the file."""


class FetchFailed(LocalStackError):
    """A locked artifact did not come. Check the network, or name a running broker and registry instead."""


class ChecksumMismatch(FetchFailed):
    """What came is not what the lock list names. Nothing of it is kept; try again or distrust the mirror."""


class StartFailed(LocalStackError):
    """A child process ended or was not ready in time; the text carries the last lines of its log."""


class PortTaken(StartFailed):
    """Somebody else holds the port this process must use."""


class AlreadyRunning(LocalStackError):
    """Another process owns this state directory. Use what it runs, or stop it first."""


class Interrupted(LocalStackError):
    """The start was called off from outside; what it had started is being stopped."""


def log_tail(path: Path, *, lines_max: int = 12, bytes_max: int = 16_384) -> str:
    """Return the last lines of a log, indented, or say that it is empty."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - bytes_max))
            text = log.read().decode(errors="replace")
    except OSError:
        return "  (no log)"
    lines = text.splitlines()[-lines_max:]
    return "\n".join(f"  | {line[:300]}" for line in lines) or "  (the log is empty)"
