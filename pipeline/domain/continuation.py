"""The token that asks for the next page of a replay: opaque to whom gets it, and worth nothing to anybody else."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pipeline.domain.copy_index import Position, Wanted
from pipeline.domain.shards import prove, proved
from pipeline.limits import CONTINUATION_S_MAX, CONTINUATION_TOKEN_CHARS_MAX

_LABEL: Final = b"continuation"
_PROOF_CHARS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Where a replay stands: what it is a snapshot of, and the last copy that was given."""

    before_offset: int
    after: Position
    began_at: datetime


class TokenFlaw(StrEnum):
    """Why a token asks for nothing."""

    ALTERED = "X-Continuation-Token is none that this router gave out, or was altered."
    FOREIGN = "X-Continuation-Token belongs to another request: repeat the recipient, channel and body of the first."
    OLD = "X-Continuation-Token is too old. Begin again, with datetimeFrom at the last message you have."


def token_of(secret: bytes, wanted: Wanted, at: Continuation) -> str:
    """Write a token for exactly this request."""
    values = {
        "of": _digest(wanted),
        "before": at.before_offset,
        "at": at.after.at.isoformat(),
        "offset": at.after.offset,
        "began": at.began_at.isoformat(),
    }
    content = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(prove(secret, _LABEL, content).encode() + content).decode()


def read_token(secret: bytes, token: str, wanted: Wanted, *, now: datetime) -> Continuation | TokenFlaw:
    """Return where a request goes on, or why it does not."""
    values = _proved_values(secret, token)
    if values is None:
        return TokenFlaw.ALTERED
    if values["of"] != _digest(wanted):
        return TokenFlaw.FOREIGN
    began_at = datetime.fromisoformat(values["began"])
    if now - began_at > timedelta(seconds=CONTINUATION_S_MAX):
        return TokenFlaw.OLD
    after = Position(at=datetime.fromisoformat(values["at"]), offset=values["offset"])
    return Continuation(before_offset=values["before"], after=after, began_at=began_at)


def _proved_values(secret: bytes, token: str) -> dict[str, Any] | None:
    if len(token) > CONTINUATION_TOKEN_CHARS_MAX:
        return None
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    proof, content = raw[:_PROOF_CHARS], raw[_PROOF_CHARS:]
    if not proved(secret, proof.decode("ascii", "replace"), _LABEL, content):
        return None
    values: dict[str, Any] = json.loads(content)
    return values


def _digest(wanted: Wanted) -> str:
    """Return what stands for a request, its recipient included."""
    return hashlib.sha256(json.dumps(wanted.plain(), sort_keys=True).encode()).hexdigest()[:32]
