"""Faust's worker, but for a second."""

import asyncio
from typing import Final

import faust

_LAST_WORDS_S: Final = 0.05  # connections that are being closed say so to the other side


class Worker(faust.Worker):  # type: ignore[misc]  # faust ships no types
    """Ends when its work has ended.

    mode sleeps for a second before it closes the event loop, and every partition of a restarted worker waits for it.
    Everything that has to end is awaited before (`App.on_stop`, the services' own ends).
    """

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(_LAST_WORDS_S)
