"""Free loopback ports that stay usable for a process that is killed and started again."""

import random
import socket
from dataclasses import dataclass
from typing import Final

from pipeline.localstack.errors import PortTaken

LOOPBACK: Final = "127.0.0.1"

# Below Linux's ephemeral range (32768-60999). Clients of a dead broker reconnect without pause; from an ephemeral
# port the kernel would sooner or later connect one of them to itself, and the broker could never bind again.
_FIRST, _LAST = 20_000, 31_999
_TRIES_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where clients connect, and where the server's own side (controller, management) listens."""

    client: int
    control: int

    @property
    def address(self) -> str:
        """Return host:port for clients."""
        return f"{LOOPBACK}:{self.client}"

    def taken(self) -> tuple[int, ...]:
        """Return those of the two that somebody holds now."""
        return tuple(port for port in (self.client, self.control) if not is_free(port))


def is_free(port: int) -> bool:
    """Return whether this port can be bound on the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: TIME_WAIT is no obstacle
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


def choose(preferred: Ports | None) -> Ports:
    """Return the preferred ports when both are free, else any two that are."""
    if preferred is not None and not preferred.taken():
        return preferred
    client, control = free_ports(2)
    return Ports(client=client, control=control)
