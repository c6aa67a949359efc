"""The words of the document that no table holds."""

from typing import Any, Final

from pipeline.limits import HELP_CHARS_MAX
from pipeline.openapi.operations import Parameter

ABOUT: Final = """\
Participants submit messages by HTTPS; the router checks them, works out who must get each, and delivers signed
copies to webhooks (section *webhooks*).

- **Paths and field names** may be written in any letter case; values may not. This document writes the specification's.
- **A body is a JSON array.** Missing and null are different things. Numbers are mostly strings with a fixed scale.
- **Every call is signed** over method, URL, time and the hash of the body as sent, except `/validate`.
- **201 means kept**: the messages are on disk on the in-sync replicas. After a 503 send the same array again.
- **Statuses from 401 on have no body**, unless `Accept` names `application/problem+json`; the same text is in `X-DIP-Help`.
- All message schemas are generated from interface facts; whole numbers are written without a fraction."""

TAGS: Final = {
    "Messages": "Submit messages, one channel each.",
    "Webhooks": "Say where copies and status messages are to be delivered.",
    "Status messages": "Say later what came of a message.",
    "Replay and requeue": "Ask for messages of the past again, by pull or by push.",
    "Journal": "What became of a message.",
    "Validation": "Check messages without submitting them: only an API key is asked for.",
    "Companies": "Who takes part, in which roles, from when to when.",
    "Deliveries": "What the router sends to participants' webhooks, and what they answer.",
    "Documents": "This document.",
}

ANSWER_TEXTS: Final = {
    200: "What was asked for.",
    201: "Done; what was given is kept durably.",
    202: "Begun.",
    204: "Done, or nothing to tell.",
    206: "A part; ask again with the token for more.",
    207: "Some messages are accepted, others not: each has its own Body.",
    304: "As it was when it was read with that ETag.",
    400: "Refused: X-DIP-Help says what is wrong.",
    401: "Unknown caller, or a signature that does not fit: key, certificate, hash, date or URL.",
    403: "Known, and not allowed to do this for that participant.",
    404: "Nothing is here.",
    405: "Another method is answered here.",
    406: "Answers are application/json.",
    408: "The body did not arrive in time.",
    413: "Body or array is too large.",
    415: "The body is not JSON, or in an encoding that is not read.",
    429: "Too much at a time: wait as long as Retry-After says.",
    500: "The router failed, by no fault of the caller.",
    501: "Not offered: this router is set up without a way to ask its workers.",
    502: "Something on the way to the router failed.",
    503: "Not now: nothing is promised. Send the same again after Retry-After.",
    504: "Something on the way to the router took too long.",
    505: "Another version of HTTP is spoken here.",
}

RESPONSE_HEADERS: Final[dict[str, Any]] = {
    "X-DIP-Help": {
        "description": "Why, and what to do.",
        "schema": {"type": "string", "maxLength": HELP_CHARS_MAX},
    },
    "Retry-After": {
        "description": "Seconds to wait before another try.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "ETag": {"description": "Changes when the document does.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods that are answered here.", "schema": {"type": "string"}},
    "X-Continuation-Token": {
        "description": "Hand it back in the next request to get more.",
        "schema": {"type": "string"},
    },
}

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "One per DIP ID. It must belong to the sender, or to the connection provider it has nominated.",
    },
    "mutualTLS": {"type": "mutualTLS", "description": "A client certificate of the participant's own."},
}

SIGNATURE_HEADERS: Final = {
    "ContentHash": Parameter(
        name="X-DIP-Content-Hash",
        place="header",
        required=True,
        text="base64 of SHA-256 of the body's bytes as sent. A call without a body hashes the two characters {}.",
        schema={"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"},
    ),
    "SignatureDate": Parameter(
        name="X-DIP-Signature-Date",
        place="header",
        required=True,
        text="When it was signed, in UTC with milliseconds and Z: 2026-01-05T09:30:00.250Z.",
        schema={
            "type": "string",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        },
    ),
    "Signature": Parameter(
        name="X-DIP-Signature",
        place="header",
        required=True,
        text="base64 of RSASSA-PKCS1-v1_5 with SHA-256 over `METHOD;lower(full URL);date;hash`.",
        schema={"type": "string"},
    ),
    "SignatureCertificate": Parameter(
        name="X-DIP-Signature-Certificate",
        place="header",
        required=True,
        text="base64 of the signing certificate's PEM text.",
        schema={"type": "string"},
    ),
}
