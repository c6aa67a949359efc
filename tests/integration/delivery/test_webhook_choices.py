"""Webhooks that participants set and take away while the real worker runs: no restart, nothing lost, nothing twice."""

from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from pipeline import topics
from pipeline.adapters.participants import choice_key
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.market import WebhookChoice
from pipeline.domain.participants import Webhook
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]


def _choose(rig: Rig, name: str, url: str | None) -> None:
    """Write a choice as a bridge does, into a topic that also holds what no worker of this version knows."""
    channel = InterfaceId("IF-021")
    hook = None if url is None else Webhook(channel=channel, url=url, messages_max=5)
    one = WebhookChoice(
        participant=ParticipantId(name),
        channel=channel,
        webhook=hook,
        by=ParticipantId(name),
        at=datetime.now(UTC),
    )
    producer = Producer(rig.client)
    producer.produce(topics.PARTICIPANTS, b"of a later version", f"something|{name}".encode())
    producer.produce(topics.PARTICIPANTS, rig.codec.encode_webhook_choice(one), choice_key(one))
    assert producer.flush(30) == 0


def test_a_running_worker_follows_what_participants_choose(rig: Rig, server: WebhookServer) -> None:
    (name,) = rig.names(1)
    rig.register(name)
    rig.start()
    rig.send((name,), 40)
    rig.wait_for(lambda: server.taken(name).total() == 40, "sent to the webhook that the operator loaded")
    _choose(rig, name, None)
    rig.wait_for(lambda: _waits(rig, name), "copies wait after the webhook was taken away")
    before, arrays = server.taken(name).total(), len(server.arrays)
    rig.send((name,), 40)
    rig.wait_for(lambda: rig.unsettled() == 0, "their offsets move on")
    assert len(rig.parked()) >= 40
    assert server.taken(name).total() == before
    _choose(rig, name, f"{server.url(name)}?next")
    rig.wait_for(lambda: not rig.parked(), "all are sent to the next webhook")
    rig.check_ledger()
    assert server.taken(name).total() == len(rig.sent), "each once"
    later = [copies for who, copies in server.arrays[arrays:] if who == name]
    assert later
    assert all(len(copies) <= 5 for copies in later), "maxMessageCount of the choice is honoured"


def _waits(rig: Rig, name: str) -> bool:
    """Send one copy and tell whether it is parked: the worker has read the choice then."""
    rig.send((name,), 1)
    rig.wait_for(lambda: rig.unsettled() == 0, "settled, one way or the other")
    return bool(rig.parked())
