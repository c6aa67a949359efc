"""How long the parts of a webhook call take: name, connection, handshake, first byte."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from pipeline.domain.attempt_times import Timings
from pipeline.limits import TURNS_TO_LOSE

_running: ContextVar["Timer | None"] = ContextVar("_running", default=None)


@dataclass(slots=True)
class Timer:
    """One attempt, from the moment it is made. The moments are those of the process's own clock."""

    began: float = field(default_factory=time.perf_counter)
    admitted_at: float | None = None
    connecting_at: float | None = None
    connected_at: float | None = None
    secured_at: float | None = None
    answered_at: float | None = None
    lost: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take note of what connections say inside of the block; aiohttp connects in the task that asks."""
        token = _running.set(self)
        try:
            yield
        finally:
            _running.reset(token)

    def wants_connection(self) -> None:
        """Note that a connection is asked for: a kept one, or else one is made now."""
        self.connecting_at, self.connected_at, self.secured_at = time.perf_counter(), None, None

    def has_connection(self) -> None:
        """Note that there is one. None was made for the attempt where its socket was not seen (`note_connected`)."""
        if self.connected_at is None:
            self.connecting_at = None
        else:
            self.secured_at = time.perf_counter()

    def admitted(self) -> None:
        """Note that the address is known and allowed."""
        self.admitted_at = time.perf_counter()

    def answered(self) -> None:
        """Note that the answer's head is there."""
        self.answered_at = time.perf_counter()

    async def cause(self, error: Exception) -> Exception:
        """Return why an attempt really failed.

        TLS 1.3 refuses a client certificate after the handshake: the alert and our first write meet, and on uvloop the
        write may complain first, of a connection that is closing. The connection itself says why some turns later.
        """
        if self.answered_at is None and self.secured_at is not None and isinstance(error, OSError):
            for _ in range(TURNS_TO_LOSE):
                if self.lost is not None:
                    break
                await asyncio.sleep(0)
        return self.lost if isinstance(self.lost, ssl.SSLError) else error

    def since_ms(self) -> int:
        """Return how long it has taken so far."""
        return round((time.perf_counter() - self.began) * 1_000)

    def timings(self) -> Timings:
        """Return what is known of the parts; what was not reached is None."""
        return Timings(
            dns_ms=_ms(self.began, self.admitted_at),
            connect_ms=_ms(self.connecting_at, self.connected_at),
            tls_ms=_ms(self.connected_at, self.secured_at),
            first_byte_ms=_ms(self.began, self.answered_at),
        )


def attempt() -> Timer | None:
    """Return the attempt that the running task makes."""
    return _running.get()


def note_connected() -> Timer | None:
    """Note that the socket is connected and the handshake begins, for the attempt that waits for it; return it."""
    timer = _running.get()
    if timer is not None:
        timer.connected_at = time.perf_counter()
    return timer


def _ms(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else round((end - start) * 1_000)
