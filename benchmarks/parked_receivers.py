"""A recipient that can be away, and others that are well: TLS, client certificates, each POST a line of a log.

The first port is the big recipient's: while the file `away` is there it takes requests and never answers. The second is that
of the others. A line is the monotonic time in ns, the port (0 or 1), and the transactions of the array, commas between.
Started by `benchmarks.parked_kafka`.
"""

import asyncio
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.copies_receivers import TRANSACTION, Receiver, tls_of

AWAY: Final = "away"
LOG: Final = "taken.log"


class Logged(Receiver):
    """One connection to one of the two ports."""

    def __init__(self, folder: Path, port: int, log: int) -> None:
        self._away = folder / AWAY if port == 0 else None
        self._port, self._log = port, log

    def data_received(self, data: bytes) -> None:
        """Answer, unless the recipient is away: then nobody ever does."""
        if self._away is None or not self._away.exists():
            super().data_received(data)

    def note(self, body: bytes) -> list[bytes]:
        """Write down what came before it is answered."""
        names = TRANSACTION.findall(body)
        os.write(self._log, b"%d %d %s\n" % (time.monotonic_ns(), self._port, b",".join(names)))
        return names


async def serve(folder: Path) -> None:
    """Listen on two free ports, say which, and serve until killed."""
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    context, loop = tls_of(folder), asyncio.get_running_loop()
    servers = [
        await loop.create_server(partial(Logged, folder, port, log), "127.0.0.1", 0, ssl=context)
        for port in range(2)
    ]
    print(json.dumps([one.sockets[0].getsockname()[1] for one in servers]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
