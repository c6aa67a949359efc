"""Three kills of the delivery worker at its crash points, and the ledger; fifty in `make chaos`."""

import pytest

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
