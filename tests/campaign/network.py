"""A TCP proxy whose routes can be cut: what a network does to a client of Kafka, one route for each client and node."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.localstack.ports import LOOPBACK

_CHUNK_BYTES = 65_536


class Line(StrEnum):
    """How a route is."""

    WHOLE = "whole"
    CUT = "cut"  # connections are reset, new ones are closed at once
    MUTE = "mute"  # connections stay, nothing passes: a firewall that drops, a cable that was pulled


@dataclass(slots=True)
class _Route:
    to: int
    line: Line = Line.WHOLE
    passes: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[asyncio.StreamWriter] = field(default_factory=set)


class Network:
    """Routes from a port to a port of the loopback address, in a thread of their own until `close`."""

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self._routes: dict[int, _Route] = {}
        self._do(self._open(routes))

    def close(self) -> None:
        """End every route and the thread."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, ports: tuple[int, ...], line: Line) -> None:
        """Make the routes that begin at these ports so."""
        self._do(self._set(ports, line))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self, routes: Mapping[int, int]) -> None:
        for port, to in routes.items():
            route = self._routes[port] = _Route(to)
            route.passes.set()

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: _Route = route
            ) -> None:
                await self._serve(route, reader, writer)

            self._servers.append(await asyncio.start_server(serve, LOOPBACK, port))

    async def _set(self, ports: tuple[int, ...], line: Line) -> None:
        for port in ports:
            route = self._routes[port]
            route.line = line
            if line is Line.MUTE:
                route.passes.clear()
            else:
                route.passes.set()
            for writer in tuple(route.open) if line is Line.CUT else ():
                _reset(writer)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for route in self._routes.values():
            for writer in tuple(route.open):
                writer.transport.abort()
        here = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not here:
                task.cancel()
        await asyncio.sleep(0)

    async def _serve(self, route: _Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if route.line is Line.CUT:
                return
            far_reader, far = await asyncio.open_connection(LOOPBACK, route.to)
            ends.append(far)
            route.open.update(ends)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(route, reader, far))
                both.create_task(self._carry(route, far_reader, writer))
        except* (OSError, EOFError):
            pass  # either end went away: so does the other
        finally:
            route.open.difference_update(ends)
            for end in ends:
                end.transport.abort()

    async def _carry(self, route: _Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await route.passes.wait()
            writer.write(chunk)
            await writer.drain()
        with suppress(OSError):
            writer.transport.abort()
        raise EOFError


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side sees a reset, not an orderly end."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
