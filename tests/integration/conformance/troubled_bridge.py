"""The real bridge with a fault inside: what it was given to store cannot even be handed to Kafka's client."""

import logging
from collections.abc import Sequence

from pipeline.adapters.producer import KafkaPublisher, Outgoing, Publication
from pipeline.ingress.__main__ import run
from pipeline.settings import Settings


class BrokenPublisher(KafkaPublisher):
    """Raises what no rule of the bridge expects."""

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        raise RuntimeError(f"the fault of this test, at {len(records)} records")


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    run(Settings.load(), make_publisher=BrokenPublisher)
