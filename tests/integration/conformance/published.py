"""What is published of each call: its statuses and the kind of body of each (protocol.md sections 6, 8, 9).

A second reading beside the bridge's own table of routes. `endpoints.tsv` must not say more than this.
"""

from typing import Final

SR: Final = "StandardResponse"
_WITHOUT_BODY: Final = (401, 403, 404, 405, 406, 408, 413, 429, 500, 502, 503, 504, 505)
_SUBMISSION: Final = {201: SR, 207: SR, 400: SR, **dict.fromkeys(_WITHOUT_BODY, "")}
_CONFIGURATION: Final = {201: "", 400: "", 401: "", 403: ""}
_TROUBLE: Final = {500: "", 502: "", 503: "", 504: ""}
_REQUEUE: Final = {202: "string", 400: "", 401: "", 403: "", 429: ""}
_REQUEUE_STATUS: Final = {200: "requeues", 204: "", 400: "", 401: "", 403: "", 429: "", **_TROUBLE}

CHANNEL: Final = "/dip-channel/{id}"
PUBLISHED: Final[dict[str, dict[int, str]]] = {
    f"POST {CHANNEL}": _SUBMISSION,
    f"POST {CHANNEL}/pubconfig/{{recipient-id}}": _CONFIGURATION,
    f"DELETE {CHANNEL}/pubconfig/{{recipient-id}}": {204: "", 401: ""},
    f"POST {CHANNEL}/replay/{{recipient-id}}": {200: "messages", 206: "messages", 400: SR, 401: "", 403: ""},
    f"POST {CHANNEL}/requeue/{{recipient-id}}": _REQUEUE,
    f"GET {CHANNEL}/requeueStatus/{{recipient-id}}": _REQUEUE_STATUS,
    f"GET {CHANNEL}/deliveryStatus/{{recipient-id}}/{{message-id}}": {
        200: "journal", 204: "", 400: SR, 401: "", 403: "", 429: "", **_TROUBLE,
    },
    "POST /statusmessage": {status: kind for status, kind in _SUBMISSION.items() if status != 207},
    "POST /statusmessage/config/{recipient-id}": _CONFIGURATION,
    "DELETE /statusmessage/config/{recipient-id}": {204: "", 401: "", **_TROUBLE},
    "POST /statusmessage/replay/{recipient-id}": {
        200: "bodies", 206: "bodies", 400: "", 401: "", 403: "", **_TROUBLE,
    },
    "POST /statusmessage/requeue/{recipient-id}": _REQUEUE,
    "GET /statusmessage/requeueStatus/{recipient-id}": _REQUEUE_STATUS,
    "POST /validate/{interface}/{event}": {201: "string", 400: "string", 500: "string"},
    "GET /companyDetails": {200: "companies", 400: "", 401: "", 403: "", 404: ""},
    "POST /companyDetails": {201: "", 400: "", 401: "", 403: "", 404: ""},
}  # fmt: skip

WEBHOOK_STATUSES: Final = tuple(_SUBMISSION)
"""What a participant may answer to a delivery of messages, and to one of status messages."""
