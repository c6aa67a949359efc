"""Ways to be refused at the door: what is done to a good POST, and the answer the protocol gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

Headers = dict[str, str]


def _array(body: bytes) -> bytes:
    return b"[" + body + b"]"


def _same(headers: Headers) -> Headers:
    return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One known way of going wrong.

    `spoil` makes the array from a good message before it is signed, `tamper` changes the headers afterwards;
    `signer` is whose key, certificate or API key is used instead of the sender's.
    """

    name: str
    status: int
    code: str | None = None
    channel: str | None = None
    spoil: Callable[[bytes], bytes] = _array
    tamper: Callable[[Headers], Headers] = _same
    foreign_signer: bool = False


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Return a spoiler that changes the CommonBlock."""

    def spoil(body: bytes) -> bytes:
        message = orjson.loads(body)
        change(message["payload"]["CommonBlock"])
        return _array(orjson.dumps(message))

    return spoil


def _with(name: str, value: str) -> Callable[[Headers], Headers]:
    return lambda headers: {**headers, name: value}


def _twisted(headers: Headers) -> Headers:
    """Exchange two halves of the signature: well-formed, and wrong."""
    signature = headers["X-DIP-Signature"]
    return {**headers, "X-DIP-Signature": signature[100:200] + signature[:100] + signature[200:]}


def _put_first_twice(body: bytes) -> bytes:
    """Repeat a key: most parsers keep the last value silently."""
    return _array(body.replace(b'"subText":null', b'"subText":null,"subText":null', 1))


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault(name="unknown key", status=401, tamper=_with("X-API-Key", "nobody-has-this-key")),
        Fault(name="somebody else's key", status=403, foreign_signer=True),
        Fault(name="broken signature", status=401, tamper=_twisted),
        Fault(name="stale date", status=401, tamper=_with("X-DIP-Signature-Date", "2020-01-01T00:00:00.000Z")),
        Fault(name="no such channel", status=404, channel="IF-999"),
        Fault(name="another channel", status=400, code="MSG1002", channel="IF-031"),
        Fault(name="not JSON", status=400, code="MSG1001", spoil=lambda body: b"[" + body),
        Fault(name="not an array", status=400, code="MSG1001", spoil=lambda body: body),
        Fault(name="empty array", status=400, code="MSG1001", spoil=lambda _: b"[]"),
        Fault(name="duplicate name", status=400, code="MSG1001", spoil=_put_first_twice),
        Fault(name="missing field", status=400, code="MSG1001", spoil=_edit(lambda it: it["S1"].pop("subText"))),
        Fault(
            name="unknown event", status=400, code="MSG1001",
            spoil=_edit(lambda it: it["S0"].update(eventCode="[NoSuchEvent]")),
        ),
        Fault(
            name="null where a value must be", status=400, code="MSG1001",
            spoil=_edit(lambda it: it["M0"].update(MPANCore=None)),
        ),
        Fault(
            name="impossible time", status=400, code="MSG1007",
            spoil=_edit(lambda it: it["S1"].update(senderTimestamp="2026-13-45T00:00:00+00:00")),
        ),
        Fault(
            name="provider not nominated", status=400, code="MSG1011",
            spoil=_edit(lambda it: it["S1"].update(DIPConnectionProviderID="3900000099")),
        ),
    )
}  # fmt: skip
