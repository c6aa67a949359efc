"""`dip lane` against a worker that runs: orders reach it, survive it, and are taken back."""

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from pipeline import topics
from pipeline.domain.envelope import Status
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.participants import ANY_CHANNEL, Participant, Webhook
from tests.integration.delivery.rig import DIP, Rig
from tests.support.webhooks import WebhookServer, well
from tests.support.webhooks import status as status_code

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]


def lane(rig: Rig, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [DIP, "lane", *arguments],
        env={**os.environ, "KAFKA_BOOTSTRAP": rig.bootstrap, "SCHEMA_REGISTRY_URL": rig.registry_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_lane_is_paused_over_a_restart_and_resumed(
    rig: Rig, server: WebhookServer, free_port: Callable[[], int]
) -> None:
    paused, other = rig.names(2)
    rig.register(paused, other)
    worker = rig.start()
    rig.send((paused, other), 5)
    rig.wait_for(lambda: len(server.taken(paused)) == len(server.taken(other)) == 5, "both are served")
    ordered = lane(
        rig, "pause", paused, "--channel", "if-021", "--reason", "planned work", "--by", "ops", "--json"
    )
    assert ordered.returncode == 0, ordered.stderr
    assert json.loads(ordered.stdout)["state"] == "paused"
    rig.wait_for(lambda: "planned work" in rig.log(), "the worker knows")
    rig.send((paused, other), 20)
    rig.wait_for(lambda: len(server.taken(other)) == 25, "the other goes on")
    rig.wait_for(lambda: len(rig.parked()) == 20, "its copies are kept")
    rig.kill(worker)
    port = str(free_port())
    rig.start(worker_port=port)
    rig.send((paused, other), 5)
    rig.wait_for(
        lambda: len(rig.parked()) == 25 and len(server.taken(other)) == 30, "the next worker knows it too"
    )
    assert len(server.taken(paused)) == 5
    stands = lane(rig, "status", f"http://127.0.0.1:{port}", "--json")
    rows = {row["recipient"]: row for row in map(json.loads, stands.stdout.splitlines())}
    assert (rows[paused]["standing"], rows[paused]["parked"]) == ("ordered", 25), stands
    assert rows[other]["standing"] in {"healthy", "slow"}
    listed = lane(rig, "list")
    assert "planned work" in listed.stdout, listed.stdout
    assert lane(rig, "resume", paused).returncode == 0
    rig.wait_for(lambda: len(server.taken(paused)) == 30 and not rig.parked(), "everything is delivered")
    rig.check_ledger(exact=False)
    assert "no lane waits" in lane(rig, "list").stdout
    limited = lane(rig, "limit", paused, "--calls-per-min", "60", "--reason", "a small server", "--json")
    assert json.loads(limited.stdout)["limits"]["calls_per_min"] == 60, limited.stderr
    assert "60 calls a minute" in lane(rig, "list").stdout

    def rate() -> float | None:
        rows = map(json.loads, lane(rig, "status", f"http://127.0.0.1:{port}", "--json").stdout.splitlines())
        return {row["recipient"]: row["calls_per_min"] for row in rows}[paused]

    rig.wait_for(lambda: rate() == 60, "the worker goes by it")
    assert lane(rig, "limit", paused, "--none").returncode == 0
    rig.wait_for(lambda: rate() is None, "and no longer")
    told = [one for one in rig.audits() if one.recipient == paused and (one.reason or "").startswith("lane ")]
    assert [one.status for one in sorted(told, key=lambda one: one.at)] == [Status.PAUSED, *[Status.OK] * 3]


def test_wrong_use_is_told_in_one_line(rig: Rig) -> None:
    (known,) = rig.names(1)
    rig.register(known)
    for arguments, expected in (
        (("pause", "0000000009"), "no participant 0000000009"),
        (("pause", known, "--channel", "IF-999"), "no channel IF-999"),
        (("status", "127.0.0.1:1"), "write http://host:port"),
        (("status", "http://127.0.0.1:1"), "no delivery worker answers at http://127.0.0.1:1/lanes/"),
    ):
        answer = lane(rig, *arguments)
        assert answer.returncode in {1, 2}
        assert expected in answer.stderr
        assert "Traceback" not in answer.stderr
    assert not [one for one in rig.read(topics.LANES, 1) if one.key().startswith(known.encode())]


def test_a_webhook_that_refuses_is_told_of_once_on_the_status_webhook_over_a_kill(
    rig: Rig, server: WebhookServer
) -> None:
    (name,) = rig.names(1)
    heard = f"{name}-status"
    server.behaviour[name] = status_code(403)
    hooks = (
        Webhook(channel=ANY_CHANNEL, url=server.url(name)),
        Webhook(channel=InterfaceId("status"), url=server.url(heard)),
    )
    rig.put(Participant(id=ParticipantId(name), name=name, webhooks=hooks))
    worker = rig.start()
    rig.send((name,), 3)
    rig.wait_for(lambda: server.posts[heard] == 1, "the status webhook is told")
    body = next(json.loads(content)[0] for who, _, content in server.requests if who == heard)
    assert body["message"].startswith("Notice - IF-021: your webhook refuses deliveries")
    assert "HTTP 403" in body["help"]
    told = [one for one in rig.audits() if (one.reason or "").startswith("notice: ")]
    assert len(told) == 1
    rig.kill(worker)
    tried = server.posts[name]
    rig.start()
    rig.wait_for(lambda: server.posts[name] > tried + 1, "the next worker tries and is refused", within_s=120)
    shown = subprocess.run(
        [DIP, "notices", "--failing", "--recipient", name, "--json"],
        env={**os.environ, "KAFKA_BOOTSTRAP": rig.bootstrap, "SCHEMA_REGISTRY_URL": rig.registry_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [one["what"] for one in json.loads(shown.stdout)["told"]] == ["setup:403"]
    server.behaviour[name] = well
    rig.wait_for(lambda: len(server.taken(name)) == 3, "delivered in the end", within_s=120)
    assert server.posts[heard] == 1, "told once"
