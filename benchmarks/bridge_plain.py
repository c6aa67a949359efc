"""The plainest thing that could be called a bridge: aiohttp, TLS, cut the array, produce, 201 when durable.

No key, no signature, no parsing, no validation, a fixed answer: what the platform costs before the product does
anything. `benchmarks.bridge` runs it beside `dip bridge`, with the same loop, TLS files and producer settings.
"""

import asyncio
import os
import ssl
import sys
import threading

import msgspec
import uvloop
from aiohttp import web
from confluent_kafka import Message, Producer

from pipeline import limits, topics

ANSWER = b'{"messageArray":[],"timestamp":"2026-01-05T09:30:00+00:00"}'


class Plain:
    """Answers every POST."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._slice = msgspec.json.Decoder(list[msgspec.Raw]).decode
        self._number = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Publish each element of the array; answer when the last is acknowledged."""
        messages = self._slice(await request.read())
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        left = len(messages)

        def delivered(_error: object, _message: Message) -> None:
            nonlocal left
            left -= 1
            if not left:
                loop.call_soon_threadsafe(done.set_result, None)

        for message in messages:
            self._number += 1
            self._producer.produce(
                topics.INBOUND, bytes(message), b"%d" % self._number, on_delivery=delivered
            )
        await done
        return web.Response(status=201, body=ANSWER, content_type="application/json")


async def serve(producer: Producer, tls: ssl.SSLContext) -> None:
    """Listen until killed; say where, as the bridge does."""
    server = web.Server(Plain(producer).handle, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=tls)
    print(f"listening on https://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Start as `python -m benchmarks.bridge_plain`, configured by the environment of the bridge."""
    producer = Producer({
        "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"],
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": topics.COMPRESSION,
        "linger.ms": limits.PUBLISH_LINGER_MS,
        "batch.size": limits.PUBLISH_BATCH_BYTES,
    })  # fmt: skip

    def poll() -> None:
        while True:
            producer.poll(0.1)

    threading.Thread(target=poll, daemon=True).start()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.environ["DIP_TLS_CERTIFICATE"], os.environ["DIP_TLS_KEY"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(producer, tls))


if __name__ == "__main__":
    sys.exit(main())
