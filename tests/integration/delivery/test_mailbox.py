"""The mailbox over HTTPS and real Kafka: a worker is killed between a bundle and its acknowledgement."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.client import Bundle, Credentials, Done, Identity, Mailbox, Participant, RetryPolicy, SigningKey
from pipeline.domain.envelope import Status
from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.participants import ANY_CHANNEL, Webhook
from tests.integration.delivery.rig import DIP, PARTITIONS, Rig
from tests.support.bridge import Party, certificate_of
from tests.support.webhooks import WebhookServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

SECRET = "a secret of the tests, long enough"
COPIES = 60


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def bridge(rig: Rig, folder: Path, port: int) -> Iterator[ssl.SSLContext]:
    """Run `dip bridge` on a port; yield what trusts it."""
    authority = CertificateAuthority.create("TLS CA of the mailbox")
    authority.save(folder)
    certificate, key = authority.issue("bridge", hosts=["127.0.0.1"]).write(folder, "bridge")
    environ = {
        **os.environ,
        "KAFKA_BOOTSTRAP": rig.bootstrap,
        "SCHEMA_REGISTRY_URL": rig.registry_url,
        "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        "DIP_BRIDGE_PORT": str(port),
        "DIP_BRIDGE_HEALTH_PORT": "0",
        "DIP_TLS_CERTIFICATE": str(certificate),
        "DIP_TLS_KEY": str(key),
        "DIP_SHARD_SECRET": SECRET,
    }
    with (folder / "bridge.log").open("wb") as log:
        process = subprocess.Popen([DIP, "bridge"], env=environ, stdout=log, stderr=log)
    try:
        yield ssl.create_default_context(cadata=authority.certificate_pem.decode())
    finally:
        process.kill()
        process.wait(30)
        print((folder / "bridge.log").read_text(errors="replace")[-4_000:])


def identity(party: Party, tls: ssl.SSLContext) -> Identity:
    issued = certificate_of(party.id)
    signing = SigningKey.from_pem(key_pem=issued.key_pem, certificate_pem=issued.certificate_pem)
    credentials = Credentials(api_key=party.api_key, signing=signing)
    return Identity(dip_id=party.id, role="SUP", credentials=credentials, tls=tls)


def test_nothing_is_lost_when_the_worker_dies_between_a_bundle_and_its_acknowledgement(
    rig: Rig, server: WebhookServer, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    party = Party(id=ParticipantId(rig.names(1)[0]), role=Role("SUP"))
    hook = Webhook(channel=ANY_CHANNEL, url=server.url(party.id))
    rig.put(replace(party.row, webhooks=(hook,)))
    port = free_port()
    with bridge(rig, tmp_path, port) as tls:
        asyncio.run(_collect(rig, party, f"https://127.0.0.1:{port}", tls))
    rig.wait_for(lambda: not rig.parked(), "every row is settled")
    assert server.posts[party.id] == 0, "nothing was pushed"
    taken = [one for one in rig.audits() if one.status is Status.DELIVERED]
    assert {one.reason for one in taken} == {"collected from the mailbox"}
    settled = [copy.delivery_id for one in taken for copy in one.copies]
    assert sorted(settled) == sorted(one.delivery_id for one in rig.sent), "each once"


async def _collect(rig: Rig, party: Party, url: str, tls: ssl.SSLContext) -> None:
    patient = Participant(url, identity(party, tls), now=now, retry=RetryPolicy(give_up_s=120))
    async with patient as dip:
        box = Mailbox(dip, "IF-021")
        chosen = await box.choose(pull=True)
        assert isinstance(chosen, Done), chosen
        worker = rig.start(shard_secret=SECRET)
        for _ in range(COPIES):
            rig.send_soon(party.id)  # in one partition, as the fan-out keys them
        await asyncio.to_thread(rig.flush)
        await asyncio.to_thread(rig.wait_for, lambda: len(rig.parked()) == COPIES, "all wait")
        first = await _bundle(box, messages=40)
        assert len(first.delivery_ids) == 40
        assert first.more
        rig.kill(worker)
        rig.start(shard_secret=SECRET)
        assert first.receipt is not None
        done = await box.acknowledge(first.receipt)
        assert isinstance(done, Done), done
        assert (done.value.settled, done.value.before, done.value.under_way) == (40, 0, 0)
        rest = await _bundle(box, wait_s=20)
        assert set(rest.delivery_ids) == {one.delivery_id for one in rig.sent} - set(first.delivery_ids)
        again = await _bundle(box)
        assert again.delivery_ids == rest.delivery_ids, "not acknowledged: the same again, with the same ids"
        assert rest.receipt is not None
        assert isinstance(await box.acknowledge(rest.receipt, first.receipt), Done)
        lane = await box.lane()
        assert isinstance(lane, Done)
        assert (lane.value["state"], lane.value["delivery"], lane.value["waiting"]) == ("pulled", "pull", 0)


async def _bundle(box: Mailbox, **asked: int) -> Bundle:
    found = await box.peek(**asked)
    assert isinstance(found, Done), found
    return found.value
