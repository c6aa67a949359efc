"""Connections on which each call has one answer: its own.

aiohttp keeps what a server sends unasked on an idle connection, and takes it for the answer to the next call: a copy
would count as delivered that its recipient never read. It has no public place for this; `_factory` is the one
private name used, and tests/integration/delivery/test_faults.py fails where it no longer works.
"""

from functools import partial
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from pipeline.adapters.webhook_timing import Timer, attempt, note_connected

_HEAD_END: Final = b"\r\n\r\n"


class _OneAnswer(ResponseHandler):
    """Closes its connection when a second answer comes before a second call."""

    answered = False
    bodiless = False
    timer: Timer | None = None
    """The attempt that it was made for, until that has its answer."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the attempt why: the connection knows it best."""
        if self.timer is not None:
            self.timer.lost = exc
        super().connection_lost(exc)

    def set_response_params(self, **params: Any) -> None:
        """Expect an answer: a call begins."""
        self.answered = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Read a head by itself: whatever is wrong with what comes behind it, its status has been said."""
        while not self.answered and 0 <= (end := data.find(_HEAD_END)) < len(data) - len(_HEAD_END):
            super().data_received(data[: end + len(_HEAD_END)])
            data = data[end + len(_HEAD_END) :]
        if self.answered and self.bodiless:
            self.force_close()  # a body that there cannot be, or more
        else:
            super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take an answer, or close the connection where there is one already; interim ones do not count."""
        if self.answered:
            self.force_close()
            if self.transport is not None:
                self.transport.abort()
            return
        self.timer = None
        self.answered = data[0].code >= HTTPStatus.OK
        self.bodiless = data[0].code in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        super().feed_data(data, size)


class OneAnswerConnector(aiohttp.TCPConnector):
    """A pool of such connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        made = partial(_OneAnswer, loop=self._loop)

        def factory() -> _OneAnswer:
            connection = made()
            connection.timer = note_connected()  # called with a connected socket, before the handshake
            return connection

        self._factory = factory  # type: ignore[assignment]  # a partial there

    async def connect(self, *request: Any, **options: Any) -> Connection:
        """Get a kept connection or make one, and tell the attempt that waits for it.

        Here and not by aiohttp's traces: with any of those, each call tells a dozen things that nobody asks.
        """
        timer = attempt()
        if timer is None:
            return await super().connect(*request, **options)
        timer.wants_connection()
        found = await super().connect(*request, **options)
        timer.has_connection()
        return found
