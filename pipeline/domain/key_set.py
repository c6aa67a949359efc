"""The router's public keys as a JWK set (RFC 7517, 8037): those that sign sequences, gaps and Standard Webhooks v1a.

A receiver that was told of a key here needs no word of the signing certificate for it (docs/SEQUENCES.md).
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pipeline.limits import KEY_SET_BYTES_MAX

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def jwk_of(public: bytes) -> dict[str, str]:
    """Return the 32 bytes of an Ed25519 public key as a JWK; `kid` is its thumbprint (RFC 7638)."""
    x = _base64url(public)
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": x,
        "kid": _base64url(thumbprint),
        "use": "sig",
        "alg": "EdDSA",
    }


def key_set(publics: Iterable[bytes]) -> bytes:
    """Return the JWK set of some keys, each once, in their order."""
    return msgspec.json.format(
        msgspec.json.encode({"keys": [jwk_of(one) for one in dict.fromkeys(publics)]}), indent=2
    )


def checked_key_set(content: bytes) -> bytes:
    """Return a JWK set that may be shown to anybody. Raises ValueError that says what is wrong with it."""
    if len(content) > KEY_SET_BYTES_MAX:
        raise ValueError(f"more than {KEY_SET_BYTES_MAX} bytes")
    try:
        found: Any = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if (
        not isinstance(keys, list)
        or not keys
        or not all(isinstance(one, dict) and "kty" in one for one in keys)
    ):
        raise ValueError('no JWK set: expected {"keys": [...]}; `dip jwks` makes one')
    if any(_PRIVATE & one.keys() for one in keys):
        raise ValueError("a private key is in it; `dip jwks` makes a set of public ones")
    return content


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
