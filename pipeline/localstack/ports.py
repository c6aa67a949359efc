"""Free loopback ports that stay usable for a process that is killed and started again."""

import random
import socket
from typing import Final

from pipeline.localstack.errors import PortTaken

LOOPBACK: Final = "127.0.0.1"

# Below Linux's ephemeral range (32768-60999). Clients of a dead broker reconnect without pause; from an ephemeral
# port the kernel would sooner or later connect one of them to itself, and the broker could never bind again.
_FIRST, _LAST = 20_000, 31_999
_TRIES_MAX = 500


def is_free(port: int) -> bool:
    """Return whether this port can be bound on the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return distinct ports that nobody holds now; at random, so that parallel test runs rarely meet."""
    found: list[int] = []
    for _ in range(_TRIES_MAX):
        port = random.randint(_FIRST, _LAST)  # noqa: S311  # not a secret
        if port not in found and is_free(port):
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise PortTaken(f"no {count} free ports between {_FIRST} and {_LAST} on {LOOPBACK}: end what holds them")
