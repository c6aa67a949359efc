"""What Open DIP says beside the DIP's protocol, and the signature over it: headers that another DIP does not send.

X-Open-DIP-Delivery    the delivery ids, in the array's order, with commas between
X-Open-DIP-Attempt     1 for the first try
X-Open-DIP-Sequence    <partition>-<offset> of each, and behind a semicolon the one of its MPAN's copy before it
X-Open-DIP-Gap         <first place>;<last place>;<count> of what was given up before each, nothing where nothing was;
                       sent only if something was
X-Open-DIP-Signature   v1,signature,key,word: Ed25519 over the DIP's own signature text and the values above, a semicolon
                       before each; a gap, only if it is sent, on a line of its own behind its name and a colon;
                       the key's public half; RSA of the signing certificate over that key
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

DELIVERY_HEADER: Final = "X-Open-DIP-Delivery"
ATTEMPT_HEADER: Final = "X-Open-DIP-Attempt"
SEQUENCE_HEADER: Final = "X-Open-DIP-Sequence"
GAP_HEADER: Final = "X-Open-DIP-Gap"
EXTENSION_SIGNATURE_HEADER: Final = "X-Open-DIP-Signature"

_COVERED: Final = (DELIVERY_HEADER, ATTEMPT_HEADER, SEQUENCE_HEADER)
_GAP: Final = re.compile(r"([0-9]+-[0-9]+);([0-9]+-[0-9]+);([0-9]{1,6})")
_PARTS: Final = 4  # version, signature, key, word for the key


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a copy stands: its sequence, and that of its MPAN's copy before it, None where the DIP does not say.

    `gap` are the copies before it that will not come: the DIP gave them up.
    """

    sequence: str
    previous: str | None = None
    gap: "Gap | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Copies that were given up: the sequences of the first and the last, and how many."""

    first: str
    last: str
    count: int


def extension_complaint(headers: Mapping[str, str], signed: bytes, key: RSAPublicKey) -> str | None:
    """Return why the headers must not be believed, or None; `signed` is the text of the request's own signature.

    A request without X-Open-DIP-Signature has no complaint: then these headers say nothing that counts.
    """
    given = headers.get(EXTENSION_SIGNATURE_HEADER)
    if given is None:
        return None
    parts = given.split(",")
    if len(parts) != _PARTS or parts[0] != "v1":
        return f"{EXTENSION_SIGNATURE_HEADER} is not v1,signature,key,word"
    signature, public, word = map(_base64, parts[1:])
    try:
        key.verify(word, b"open-dip extension key;" + base64.b64encode(public), PKCS1v15(), SHA256())
    except InvalidSignature:
        return f"the key in {EXTENSION_SIGNATURE_HEADER} is not one of the signing certificate's"
    text = b";".join((signed, *(headers.get(name, "").encode() for name in _COVERED)))
    if GAP_HEADER in headers:
        text += f"\n{GAP_HEADER}:{headers[GAP_HEADER]}".encode()
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return f"{EXTENSION_SIGNATURE_HEADER} does not fit {', '.join((*_COVERED, GAP_HEADER))}"
    return None


def places_in(headers: Mapping[str, str], count: int) -> tuple[Place | None, ...]:
    """Return the place of each message of an array; None of each where there is no signed list of all.

    Only of headers that `extension_complaint` has passed.
    """
    text = headers.get(SEQUENCE_HEADER) if EXTENSION_SIGNATURE_HEADER in headers else None
    entries = text.split(",") if text else []
    if len(entries) != count:
        return (None,) * count
    gaps = headers[GAP_HEADER].split(",") if GAP_HEADER in headers else []
    if len(gaps) != count:
        gaps = [""] * count
    return tuple(map(place_of, entries, gaps))


def place_of(entry: str, gap: str) -> Place:
    """Return the place that an entry of the list of sequences tells, with the gap of the same entry of the other list."""
    sequence, _, previous = entry.partition(";")
    told = _GAP.fullmatch(gap)
    return Place(
        sequence=sequence,
        previous=previous or None,
        gap=told and Gap(first=told[1], last=told[2], count=int(told[3])),
    )


def _base64(text: str) -> bytes:
    """Decode; what is no base64 becomes bytes that no check accepts."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
