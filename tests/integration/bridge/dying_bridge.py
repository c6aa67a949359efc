"""The real bridge, which dies as if by kill -9 when Kafka has everything and the sender has no answer yet."""

import logging
import os
import signal
from collections.abc import Sequence

from pipeline.adapters.producer import KafkaPublisher, Outgoing, Publication
from pipeline.ingress.__main__ import run
from pipeline.settings import Settings


class DyingPublisher(KafkaPublisher):
    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        await super().publish(records)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    run(Settings.load(), make_publisher=DyingPublisher)
