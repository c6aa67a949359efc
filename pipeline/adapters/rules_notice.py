"""Says in the audit which rules a router works by: a change of rules is a record like any other."""

from collections.abc import Mapping
from datetime import datetime

from pipeline import topics
from pipeline.adapters.bulk import send_all
from pipeline.codec import Codec
from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.settings import Settings


def announce(
    settings: Settings, codec: Codec, *, fingerprint: str, files: Mapping[str, str], now: datetime
) -> None:
    """Write one record, under the key `rules`: the fingerprint of all facts, and each rule file with its digest.

    Raises BrokerUnavailable: a router whose rules nobody can look up later must not start.
    """
    own = ", ".join(f"{name} {digest}" for name, digest in files.items()) or "none of the operator's own"
    entry = AuditRecord(
        at=now,
        stage=Stage.MPAN_UPDATE_QUEUE,  # as bulk loads: what concerns no single message
        status=Status.OK,
        reason=f"rules in force: {fingerprint}; files: {own}; instance {settings.instance}",
    )
    send_all(settings, topics.AUDIT, [(b"rules", codec.encode_audit(entry))])
