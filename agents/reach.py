"""How a delivery worker reaches recipients, and the records that it parked: the real way, made from the settings.

A simulation makes a `Reach` of its own; everything else of the worker stays as it is.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pipeline.adapters.busyness import ThreadBusyness
from pipeline.adapters.callable_network import CallableNetwork, policy_of
from pipeline.adapters.records import RecordReader
from pipeline.adapters.server_certificates import ServerCertificates
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.adapters.webhook_files import WebhookFiles, follow
from pipeline.adapters.webhook_secrets import WebhookSecrets
from pipeline.delivery.ports import Payloads, Webhooks
from pipeline.ports import Clock
from pipeline.settings import Settings

Certificates = Callable[[], Iterable[tuple[str, str, datetime]]]
"""Host, fingerprint and end of every certificate that a webhook server showed."""
Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a delivery worker calls and reads, beside the engine.

    `records` reads copies back for the lanes, `collected` for recipients who fetch: neither waits for the other.
    `busy` is the share of its time that the event loop computes. `beside` runs as long as the worker does; `closing`
    is awaited at its end.
    """

    webhooks: Webhooks
    records: Payloads
    collected: Payloads
    certificates: Certificates = tuple
    busy: Callable[[], float] = lambda: 0.0
    beside: tuple[Work, ...] = ()
    closing: tuple[Work, ...] = ()


def reach_of(settings: Settings, clock: Clock) -> Reach:
    """Make the real one: signed calls over TLS, and consumers of Kafka. Raises SettingsInvalid for files that are none."""
    certificates = ServerCertificates()
    webhooks = WebhookClient(
        signer=signer_of(settings),
        clock=clock,
        timeout_s=settings.webhook_timeout_s,
        tls=tls_of(settings),
        handshakes=certificates.watch,
        network=CallableNetwork(policy_of(settings)),
        secrets=WebhookSecrets(settings.webhook_secrets),
        credentials=settings.webhook_credentials,
    )
    records, collected = RecordReader(settings), RecordReader(settings)
    return Reach(
        webhooks=webhooks,
        records=records,
        collected=collected,
        certificates=certificates,
        busy=ThreadBusyness(),
        beside=(partial(follow, WebhookFiles(settings), webhooks, settings.certificates_poll_s),),
        closing=(webhooks.close, records.close, collected.close),
    )
