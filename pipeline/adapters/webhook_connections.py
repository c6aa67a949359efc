"""Connections on which each call has one answer: its own.

aiohttp keeps what a server sends unasked on an idle connection, and takes it for the answer to the next call: a copy
would count as delivered that its recipient never read. It has no public place for this; `_factory` is the one
private name used, and tests/integration/delivery/test_faults.py fails where it no longer works.
"""

from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler


class _OneAnswer(ResponseHandler):
    """Closes its connection when a second answer comes before a second call."""

    answered = False

    def set_response_params(self, **params: Any) -> None:
        """Expect an answer: a call begins."""
        self.answered = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take an answer, or close the connection where there is one already; interim ones do not count."""
        if self.answered:
            self.force_close()
            if self.transport is not None:
                self.transport.abort()
            return
        self.answered = data[0].code >= HTTPStatus.OK
        super().feed_data(data, size)


class OneAnswerConnector(aiohttp.TCPConnector):
    """A pool of such connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_OneAnswer, loop=self._loop)  # type: ignore[assignment]  # partial is invariant
