"""A running delivery worker takes over new signing files by itself."""

import base64

import pytest
from cryptography import x509

from pipeline.adapters.certificates import CertificateAuthority, fingerprint
from tests.integration.delivery.rig import Rig
from tests.support.webhooks import WebhookServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]


def test_a_running_worker_signs_with_the_new_key_and_loses_nothing(rig: Rig, server: WebhookServer) -> None:
    (healthy,) = rig.names(1)
    rig.register(healthy)
    rig.start(certificates_poll_s="0.1")
    rig.send((healthy,), 20)
    rig.wait_for(lambda: len(server.taken(healthy)) == 20, "delivered before the change")
    fresh = CertificateAuthority.create("signers of a test").issue("router", usage="signing")
    fresh.write(rig.folder, "signing")
    rig.wait_for(lambda: "certificate files towards webhooks have changed" in rig.log(), "files taken over")
    rig.send((healthy,), 20)
    rig.wait_for(lambda: len(server.taken(healthy)) == 40, "delivered after the change")
    rig.check_ledger()
    signers = [
        fingerprint(x509.load_pem_x509_certificate(base64.b64decode(headers["X-DIP-Signature-Certificate"])))
        for _, headers, _ in server.requests
    ]
    assert signers[0] != fresh.fingerprint
    assert signers[-1] == fresh.fingerprint
