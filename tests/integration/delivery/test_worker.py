"""The delivery worker on real Kafka with real webhook servers; killed where it hurts."""

import random
import time

import pytest

from pipeline.domain.envelope import Status
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer, healthy, partly, refusing, slow, status

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

HEALTHY, SLOW, DEAD = "2300000001", "2300000002", "2300000003"


def test_copies_reach_healthy_and_slow_recipients_and_wait_for_a_dead_one(
    rig: Rig, server: WebhookServer
) -> None:
    """One dead recipient delays nobody; its copies survive a restart and are delivered when it returns."""
    server.behaviour.update({SLOW: slow, DEAD: status(503)})
    rig.register(HEALTHY, SLOW, DEAD)
    rig.send((HEALTHY, SLOW, DEAD), 200)
    worker = rig.start()
    rig.wait_for(lambda: len(server.taken(HEALTHY)) == len(server.taken(SLOW)) == 200, "both served")
    rig.wait_for(lambda: rig.unsettled() == 0, "offsets of parked copies move on")
    assert len(rig.parked()) == 200
    assert server.arrays.index((HEALTHY, server.arrays[0][1])) == 0
    rig.check_ledger()

    rig.kill(worker)
    rig.start()
    server.behaviour[DEAD] = healthy
    rig.wait_for(lambda: len(server.taken(DEAD)) == 200, "delivered after the return")
    rig.wait_for(lambda: not rig.parked(), "rows are gone")
    rig.check_ledger()
    assert server.taken(HEALTHY).total() == 200, "the restart repeated nothing that was settled"
    # The probes of a dead lane are single messages.
    assert all(record.copies for record in rig.audits())


def test_one_bad_message_costs_only_itself(rig: Rig, server: WebhookServer) -> None:
    rig.register(HEALTHY, SLOW)
    copies = rig.send((HEALTHY, SLOW), 60)
    bad = {copies[40].recipient: copies[40].transaction_id, copies[41].recipient: copies[41].transaction_id}
    server.behaviour.update({HEALTHY: refusing(bad[HEALTHY]), SLOW: partly(bad[SLOW])})
    rig.start()
    rig.wait_for(
        lambda: len(server.taken(HEALTHY)) == len(server.taken(SLOW)) == 59, "the others are delivered"
    )
    rig.wait_for(lambda: rig.dead().total() == 2, "the bad ones are dead letters")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.check_ledger()
    refused = [record for record in rig.audits() if record.status is Status.REJECTED_BY_RECIPIENT]
    assert sorted((record.status_code, record.code) for record in refused) == [
        (207, "RCP1061"),
        (400, "RCP1021"),
    ]


@pytest.mark.parametrize("point", ["before-flush:4", "committed:6"])
def test_a_worker_killed_inside_a_round_loses_nothing(rig: Rig, server: WebhookServer, point: str) -> None:
    server.slow_s = 0.2
    server.behaviour.update({SLOW: slow, DEAD: status(503)})
    rig.register(HEALTHY, SLOW, DEAD)
    crashing = rig.start(crash_at=point)
    for _ in range(12):
        rig.send((HEALTHY, SLOW, DEAD), 20)
        time.sleep(0.1)
    rig.wait_for(lambda: crashing.poll() is not None, "the worker kills itself", dying=True)
    rig.start()
    rig.wait_for(lambda: len(server.taken(HEALTHY)) == len(server.taken(SLOW)) == 240, "both served")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.check_ledger()


def test_a_worker_killed_at_random_moments_loses_nothing(rig: Rig, server: WebhookServer) -> None:
    """Accepted = delivered + parked + dead-lettered, whatever happens; repeats carry the same delivery id."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    server.slow_s = 0.2
    server.behaviour.update({SLOW: slow, DEAD: status(503)})
    rig.register(HEALTHY, SLOW, DEAD)
    for _ in range(4):
        worker = rig.start()
        before = server.posts.total()
        rig.send((HEALTHY, SLOW, DEAD), 100)
        rig.wait_for(lambda before=before: server.posts.total() > before, "the worker works")
        time.sleep(dice.random() * 2)
        rig.kill(worker)
    rig.start()
    rig.wait_for(lambda: len(server.taken(HEALTHY)) == len(server.taken(SLOW)) == 400, "both served")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    server.behaviour[DEAD] = healthy
    rig.wait_for(lambda: len(server.taken(DEAD)) == 400, "and the dead one when it returns")
    rig.wait_for(lambda: not rig.parked(), "rows are gone")
    rig.check_ledger()


def test_two_workers_share_the_lanes_and_one_leaving_hands_over(rig: Rig, server: WebhookServer) -> None:
    server.slow_s = 0.2
    server.behaviour[SLOW] = slow
    rig.register(HEALTHY, SLOW)
    first = rig.start(instance="0")
    rig.send((HEALTHY, SLOW), 100)
    rig.wait_for(lambda: len(server.taken(HEALTHY)) > 0, "the first works")
    rig.start(instance="1", state_dir=str(rig.folder / "state-1"))
    rig.send((HEALTHY, SLOW), 200)
    first.terminate()
    first.wait(30)
    assert first.returncode == 0, "a clean stop"
    rig.send((HEALTHY, SLOW), 50)
    rig.wait_for(lambda: len(server.taken(HEALTHY)) == len(server.taken(SLOW)) == 350, "all delivered")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.check_ledger()
