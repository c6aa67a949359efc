"""A right call of every operation, and what would be wrong about it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from pipeline.client import Call
from tests.integration.conformance.messages import array, reading, status_about
from tests.integration.conformance.published import CHANNEL
from tests.integration.conformance.site import LIBRARIAN, READER, SUPPLIERS, Party
from tests.support.generator import pair

OTHER_REFERENCE = f"S-IF-021-{READER.id}-SDS-20260105-never"
HOOK = b'{"callbackURL":"https://127.0.0.1:9/x","maxMessageCount":10,"maxPayloadSize":500}'
REQUEST = orjson.dumps(dict.fromkeys(("datetimeFrom", "datetimeTo", "eventCode", "MPAN", "version")))
PERIOD = b'{"datetimeFrom":"2026-01-01T00:00:00+00:00","datetimeTo":"2026-01-02T00:00:00+00:00"}'
COMBINATION = "?X-company-number=01234567&X-MPID=ABCD&X-market-role=X&X-DIP-role=SUP"


@dataclass(frozen=True)
class Example:
    """A call that is right as it is; `bad` is what makes it 400: another body, or another end of the path."""

    method: str
    path: str
    party: Party = READER
    body: Callable[[], bytes] = bytes
    bad_body: bytes | None = None
    bad_path: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, **other: object) -> Call:
        given = {"method": self.method, "path": self.path, "body": self.body(), "headers": self.headers}
        return Call(**{**given, **other})  # type: ignore[arg-type]  # names of Call


def valid_payload() -> bytes:
    return array(pair("IF-021", "ActivePower", 1).valid())


_ID = READER.id
EXAMPLES: dict[str, Example] = {
    f"POST {CHANNEL}": Example(
        "POST", "/dip-channel/IF-021", body=lambda: array(reading(READER)), bad_body=b'[{"payload":{}}]'
    ),
    f"POST {CHANNEL}/pubconfig/{{recipient-id}}": Example(
        "POST", f"/dip-channel/IF-021/pubconfig/{_ID}", body=lambda: HOOK, bad_body=b'{"callbackURL":"ftp://x"}'
    ),
    f"DELETE {CHANNEL}/pubconfig/{{recipient-id}}": Example("DELETE", f"/dip-channel/IF-021/pubconfig/{_ID}"),
    f"POST {CHANNEL}/replay/{{recipient-id}}": Example(
        "POST", f"/dip-channel/IF-021/replay/{_ID}", body=lambda: REQUEST, bad_body=b"{}"
    ),
    f"POST {CHANNEL}/requeue/{{recipient-id}}": Example(
        "POST", f"/dip-channel/IF-021/requeue/{_ID}", body=lambda: REQUEST, bad_body=b"[]"
    ),
    f"GET {CHANNEL}/requeueStatus/{{recipient-id}}": Example(
        "GET", f"/dip-channel/IF-021/requeueStatus/{_ID}",
        bad_path=f"/dip-channel/IF-021/requeueStatus/{_ID}?requeue-id={'x' * 201}",
    ),
    f"GET {CHANNEL}/deliveryStatus/{{recipient-id}}/{{message-id}}": Example(
        "GET", f"/dip-channel/IF-021/deliveryStatus/{_ID}/{OTHER_REFERENCE}",
        bad_path=f"/dip-channel/IF-021/deliveryStatus/{_ID}/{'x' * 201}",
    ),
    "POST /statusmessage": Example(
        "POST", "/statusmessage", party=SUPPLIERS[0], bad_body=b"[{}]",
        body=lambda: array(status_about(SUPPLIERS[0], READER)),
    ),
    "POST /statusmessage/config/{recipient-id}": Example(
        "POST", f"/statusmessage/config/{_ID}", body=lambda: HOOK, bad_body=b'{"maxMessageCount":"ten"}'
    ),
    "DELETE /statusmessage/config/{recipient-id}": Example("DELETE", f"/statusmessage/config/{_ID}"),
    "POST /statusmessage/replay/{recipient-id}": Example(
        "POST", f"/statusmessage/replay/{_ID}", body=lambda: PERIOD, bad_body=REQUEST
    ),
    "POST /statusmessage/requeue/{recipient-id}": Example(
        "POST", f"/statusmessage/requeue/{_ID}", body=lambda: PERIOD, bad_body=REQUEST
    ),
    "GET /statusmessage/requeueStatus/{recipient-id}": Example(
        "GET", f"/statusmessage/requeueStatus/{_ID}",
        bad_path=f"/statusmessage/requeueStatus/{_ID}?requeue-id={'x' * 201}",
    ),
    "POST /validate/{interface}/{event}": Example(
        "POST", "/validate/IF-021/ActivePower", body=valid_payload, bad_body=b'[{"payload":{}}]'
    ),
    "GET /companyDetails": Example("GET", "/companyDetails", bad_path="/companyDetails?X-company-number=1"),
    "POST /companyDetails": Example(
        "POST", f"/companyDetails{COMBINATION}", party=LIBRARIAN, bad_path="/companyDetails?X-company-number=1"
    ),
}  # fmt: skip
