"""The headers of Standard Webhooks (standardwebhooks.com), beside the DIP's signature for recipients that ask for them.

What is signed is `id.timestamp.body`: by HMAC-SHA-256 with a secret that both sides have (v1), or by the Ed25519 key that
signs our extension headers (v1a; docs/SEQUENCES.md says how its public half is proved).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from pipeline.domain.extension_signing import ExtensionKey
from pipeline.domain.identifiers import DeliveryId
from pipeline.limits import WEBHOOK_SECRET_BYTES_MAX, WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRETS_MAX

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
STANDARD_SIGNATURE_HEADER: Final = "webhook-signature"

_PREFIX: Final = "whsec_"
_PLAIN: Final = re.compile(r"[!-~]{1,200}")


class Scheme(StrEnum):
    """How a recipient wants to verify."""

    V1 = "v1"
    V1A = "v1a"


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Read a recipient's secrets, one a line, as whsec_ and base64: several while one replaces another.

    Raises ValueError that says what is wrong and shows nothing of a secret.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= WEBHOOK_SECRETS_MAX:
        raise ValueError(f"{len(lines)} lines: expected 1 to {WEBHOOK_SECRETS_MAX} secrets, one a line")
    return tuple(_secret(line, number) for number, line in enumerate(lines, 1))


def _secret(line: str, number: int) -> bytes:
    try:
        found = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except ValueError:
        found = b""
    if not line.startswith(_PREFIX) or not WEBHOOK_SECRET_BYTES_MIN <= len(found) <= WEBHOOK_SECRET_BYTES_MAX:
        raise ValueError(
            f"line {number} is not whsec_ and base64 of {WEBHOOK_SECRET_BYTES_MIN} to {WEBHOOK_SECRET_BYTES_MAX} bytes"
        )
    return found


def webhook_id(delivery_ids: Sequence[DeliveryId]) -> str:
    """Return the id of a call: the delivery id of a single copy, else a name of all of them.

    The same array has the same id on every try; one that is divided is another call.
    """
    if len(delivery_ids) == 1 and _PLAIN.fullmatch(delivery_ids[0]):
        return delivery_ids[0]
    return f"array_{hashlib.sha256(chr(10).join(delivery_ids).encode()).hexdigest()[:40]}"


def standard_headers(
    body: bytes,
    delivery_ids: Sequence[DeliveryId],
    *,
    now: datetime,
    keys: Sequence[ExtensionKey],
    secrets: Sequence[bytes],
) -> dict[str, str]:
    """Return the three headers, with a signature by each key (v1a) and one by each secret (v1)."""
    name, at = webhook_id(delivery_ids), str(int(now.timestamp()))
    text = f"{name}.{at}.".encode() + body
    signatures = [f"{Scheme.V1},{_base64(hmac.digest(secret, text, 'sha256'))}" for secret in secrets]
    signatures += [f"{Scheme.V1A},{_base64(one.key.sign(text))}" for one in keys]
    return {ID_HEADER: name, TIMESTAMP_HEADER: at, STANDARD_SIGNATURE_HEADER: " ".join(signatures)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
