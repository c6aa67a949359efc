"""API keys as they are kept: proved by a salted hash, found by a few digits, never stored themselves."""

import hashlib
import hmac
from datetime import datetime
from typing import Final

from pipeline.domain.participants import ApiKey

_LOOKUP_HEX_DIGITS: Final = 16


def lookup_digits(key: str) -> str:
    """Return the digits that find a key's row."""
    return hashlib.sha256(_bytes(key)).hexdigest()[:_LOOKUP_HEX_DIGITS]


def kept(
    key: str, salt: bytes, *, valid_from: datetime | None = None, valid_to: datetime | None = None
) -> ApiKey:
    """Return what is kept of a key; the salt is fresh chance and comes from the caller."""
    return ApiKey(
        lookup=lookup_digits(key),
        salt=salt.hex(),
        digest=hashlib.sha256(salt + _bytes(key)).hexdigest(),
        valid_from=valid_from,
        valid_to=valid_to,
    )


def proves(key: str, row: ApiKey) -> bool:
    """Tell whether a key is the one that a row was made of."""
    digest = hashlib.sha256(bytes.fromhex(row.salt) + _bytes(key)).hexdigest()
    return hmac.compare_digest(digest, row.digest)


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogateescape")  # a header may hold bytes that are no UTF-8
