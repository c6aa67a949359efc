"""The delivery worker on real Kafka with real webhook servers; killed where it hurts."""

import random
import time

import pytest

from pipeline.domain.envelope import AuditRecord, Status
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer, partly, refusing, slowly, status, well

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]


def test_copies_reach_healthy_and_slow_recipients_and_wait_for_a_dead_one(
    rig: Rig, server: WebhookServer
) -> None:
    """One dead recipient delays nobody; its copies survive a restart and are delivered when it returns."""
    healthy, slow, dead = rig.names(3)
    server.behaviour.update({slow: slowly, dead: status(503)})
    rig.register(healthy, slow, dead)
    rig.send((healthy, slow, dead), 200)
    worker = rig.start()
    rig.wait_for(lambda: len(server.taken(healthy)) == len(server.taken(slow)) == 200, "both served")
    rig.wait_for(lambda: rig.unsettled() == 0, "offsets of parked copies move on")
    assert len(rig.parked()) == 200
    order = [who for who, _ in server.arrays]
    assert order[::-1].index(slow) < order[::-1].index(healthy), "the healthy one was served first"
    rig.check_ledger()
    under_way = many_at_a_time(rig, dead)
    assert len(under_way) <= 4, [(one.at, len(one.copies), one.attempt, one.reason) for one in under_way]

    rig.kill(worker)
    rig.start()
    server.behaviour[dead] = well
    rig.wait_for(lambda: len(server.taken(dead)) == 200, "delivered after the return")
    rig.wait_for(lambda: not rig.parked(), "rows are gone")
    rig.check_ledger()
    assert server.taken(healthy).total() == 200, "the restart repeated nothing that was settled"
    refused = [one for one in many_at_a_time(rig, dead) if one.status_code == 503]
    assert len(refused) <= 4, [(one.at, len(one.copies), one.attempt, one.reason) for one in refused]


def many_at_a_time(rig: Rig, recipient: str) -> list[AuditRecord]:
    """Return the failed POSTs that carried more than one copy: those under way when the lane first failed.

    A POST with copies of several partitions has a record in each; they share its time.
    """
    tries = [one for one in rig.audits() if one.recipient == recipient and one.status is Status.RETRYING]
    posts: dict[object, list[AuditRecord]] = {}
    for one in tries:
        posts.setdefault(one.at, []).append(one)
    return [records[0] for records in posts.values() if sum(len(one.copies) for one in records) > 1]


def test_one_bad_message_costs_only_itself(rig: Rig, server: WebhookServer) -> None:
    healthy, slow = rig.names(2)
    rig.register(healthy, slow)
    copies = rig.send((healthy, slow), 60)
    bad = {copies[40].recipient: copies[40].transaction_id, copies[41].recipient: copies[41].transaction_id}
    server.behaviour.update({healthy: refusing(bad[healthy]), slow: partly(bad[slow])})
    rig.start()
    rig.wait_for(
        lambda: len(server.taken(healthy)) == len(server.taken(slow)) == 59, "the others are delivered"
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
    healthy, slow, dead = rig.names(3)
    server.slow_s = 0.2
    server.behaviour.update({slow: slowly, dead: status(503)})
    rig.register(healthy, slow, dead)
    crashing = rig.start(crash_at=point)
    for _ in range(12):
        rig.send((healthy, slow, dead), 20)
        time.sleep(0.1)
    rig.wait_for(lambda: crashing.poll() is not None, "the worker kills itself", dying=True)
    rig.start()
    rig.wait_for(lambda: len(server.taken(healthy)) == len(server.taken(slow)) == 240, "both served")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.check_ledger(exact=False)
    server.behaviour[dead] = well
    rig.wait_for(lambda: not rig.parked(), "rows are gone")
    rig.check_ledger(exact=False)


def test_a_worker_killed_at_random_moments_loses_nothing(rig: Rig, server: WebhookServer) -> None:
    """Accepted = delivered + parked + dead-lettered, whatever happens; repeats carry the same delivery id."""
    healthy, slow, dead = rig.names(3)
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    server.slow_s = 0.2
    server.behaviour.update({slow: slowly, dead: status(503)})
    rig.register(healthy, slow, dead)
    for _ in range(4):
        worker = rig.start()
        before = server.posts.total()
        rig.send((healthy, slow, dead), 100)
        rig.wait_for(lambda before=before: server.posts.total() > before, "the worker works")
        time.sleep(dice.random() * 2)
        rig.kill(worker)
    rig.start()
    rig.wait_for(lambda: len(server.taken(healthy)) == len(server.taken(slow)) == 400, "both served")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    server.behaviour[dead] = well
    rig.wait_for(lambda: len(server.taken(dead)) == 400, "and the dead one when it returns")
    rig.wait_for(lambda: not rig.parked(), "rows are gone")
    rig.check_ledger(exact=False)


def test_what_one_worker_sees_of_a_recipient_the_other_goes_by(rig: Rig, server: WebhookServer) -> None:
    """The recipient's copies come in all partitions, so both workers have its lane."""
    (dead,) = rig.names(1)
    server.behaviour[dead] = status(503, **{"Retry-After": "3600"})
    rig.register(dead)
    rig.start(instance="0")
    rig.start(instance="1", state_dir=str(rig.folder / "state-1"))
    rig.wait_for(lambda: rig.log().count("recovered") >= 2, "both have partitions")
    rig.send((dead,), 1)
    rig.wait_for(lambda: rig.health().get(dead) == 1, "the one that saw it tells the other")
    time.sleep(1)  # what is on the topic is read within a tenth of a second
    rig.send((dead,), 40)
    rig.wait_for(lambda: len(rig.parked()) == 41, "all is parked")
    assert server.posts[dead] == 1, "the other did not try for itself"
    assert "HTTP 503, says worker" in rig.log()
    server.behaviour[dead] = well
    rig.register(dead, query="?moved")
    rig.wait_for(lambda: len(server.taken(dead)) == 41, "everything is delivered when it is back")
    rig.wait_for(lambda: not rig.health().get(dead), "and nobody is told otherwise")
    rig.wait_for(lambda: not rig.parked(), "no row is left")
    rig.check_ledger(exact=False)


def test_two_workers_share_the_lanes_and_one_leaving_hands_over(rig: Rig, server: WebhookServer) -> None:
    healthy, slow = rig.names(2)
    server.slow_s = 0.2
    server.behaviour[slow] = slowly
    rig.register(healthy, slow)
    first = rig.start(instance="0")
    rig.send((healthy, slow), 100)
    rig.wait_for(lambda: len(server.taken(healthy)) > 0, "the first works")
    rig.start(instance="1", state_dir=str(rig.folder / "state-1"))
    rig.send((healthy, slow), 200)
    first.terminate()
    first.wait(30)
    assert first.returncode == 0, "a clean stop"
    rig.send((healthy, slow), 50)
    rig.wait_for(lambda: len(server.taken(healthy)) == len(server.taken(slow)) == 350, "all delivered")
    rig.wait_for(lambda: rig.unsettled() == 0, "all is settled")
    rig.check_ledger(exact=False)
