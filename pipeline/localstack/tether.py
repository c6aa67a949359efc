"""Run a command that cannot outlive its parent: `python -I -S tether.py PARENT_PID COMMAND...`.

The kernel kills this process when the thread that started it ends, kill -9 included, and keeps that promise across
exec. A parent that died before the promise was asked for is seen by its pid. Standard library only: it runs without
the virtual environment's packages, in about 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the parent-death signal, check that the parent is still there, become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # SIGKILL, not SIGTERM: a frozen child must go too, and all of ours survive it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # the command is ours, not a user's


if __name__ == "__main__":
    main()
