"""Three kills of the delivery worker at its crash points, and the ledger (fifty in `make chaos`); poison on its topic."""

import pytest

from pipeline import topics
from tests.integration.delivery.rig import Rig
from tests.support.delivery_campaign import Campaign
from tests.support.webhooks import WebhookServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]


def test_a_worker_killed_before_and_after_a_call_and_without_its_store_loses_nothing(
    rig: Rig, server: WebhookServer
) -> None:
    campaign = Campaign(rig, server, seed=3, per_s=60)
    campaign.run(("before POST", "after POST, before its result is durable", "local store lost"))
    campaign.verify()
    print(campaign.report())


def test_a_record_that_is_no_copy_is_kept_with_its_bytes_and_the_others_are_delivered(
    rig: Rig, server: WebhookServer
) -> None:
    """Test 11. It lies between good ones, in each partition."""
    (healthy,) = rig.names(1)
    rig.register(healthy)
    rig.send((healthy,), 16)
    poison = [f"{healthy} {number}".encode() for number in range(8)]
    for number, value in enumerate(poison):
        rig.send_raw(topics.OUTBOUND, key=f"{healthy}|{number}".encode(), value=value)
    rig.send((healthy,), 16)
    rig.start()
    rig.wait_for(lambda: len(server.taken(healthy)) == 32, "the good ones are delivered")
    rig.wait_for(lambda: rig.unsettled() == 0, "offsets pass the poison")
    letters = [one.value() for one in rig.read(topics.DEAD_LETTER_DELIVERY)]
    assert [letters.count(value) for value in poison] == [1] * 8
    assert server.taken(healthy).total() == 32
