"""Calls to the journal: callers and requests are judged before anybody is asked, also where nobody can be (501)."""

from typing import Any

import orjson
import pytest

from tests.support.bridge import OTHER, SENDER, World

ID = SENDER.id
MESSAGES = {"datetimeFrom": None, "datetimeTo": None, "eventCode": None, "MPAN": None, "version": None}
STATUSES = {"datetimeFrom": "2026-01-05T00:00:00+00:00", "datetimeTo": "2026-01-06T00:00:00+00:00"}
CALLS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "replay": ("POST", f"/dip-channel/IF-021/replay/{ID}", MESSAGES),
    "requeue": ("POST", f"/dip-channel/IF-021/requeue/{ID}", MESSAGES),
    "requeueStatus": ("GET", f"/dip-channel/IF-021/requeueStatus/{ID}?requeue-id=7", None),
    "deliveryStatus": ("GET", f"/dip-channel/IF-021/deliveryStatus/{ID}/S-IF-021-1400000001-SDS-20260105-1", None),
    "status replay": ("POST", f"/statusmessage/replay/{ID}", STATUSES),
    "status requeue": ("POST", f"/statusmessage/requeue/{ID}", STATUSES),
    "status requeueStatus": ("GET", f"/statusmessage/requeueStatus/{ID}", None),
}  # fmt: skip


def _body(value: dict[str, Any] | None) -> bytes:
    return b"" if value is None else orjson.dumps(value)


@pytest.mark.parametrize("name", CALLS)
async def test_a_right_call_is_501_where_workers_cannot_be_asked(name: str, world: World) -> None:
    method, path, body = CALLS[name]
    answer = await world.call(method, path, _body(body), headers={"Accept": "application/problem+json, */*"})
    assert answer.status == 501
    assert answer.value["type"] == "urn:open-dip:problem:nobody-to-ask"
    assert "DIP_SHARD_SECRET" in answer.value["detail"]
    assert (await world.call(method, path, _body(body))).body == b""
    assert world.publisher.records == []


@pytest.mark.parametrize("name", CALLS)
async def test_callers_are_judged_first(name: str, world: World) -> None:
    method, path, body = CALLS[name]
    assert (await world.call(method, path, _body(body), headers={"X-API-Key": "nobody"})).status == 401
    assert (await world.call(method, path, _body(body), without=["X-DIP-Signature"])).status == 401
    foreign = await world.call(method, path, _body(body), party=OTHER)
    assert (foreign.status, foreign.body) == (403, b"")


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call[2] is not None])
@pytest.mark.parametrize(
    "changes",
    [
        {"datetimeFrom": "yesterday"},
        {"datetimeFrom": "2026-01-05T99:00:00+00:00"},
        {"datetimeTo": "2020-01-01T00:00:00+00:00", "datetimeFrom": "2021-01-01T00:00:00+00:00"},
        {"datetimeTo": 5},
    ],
)
async def test_a_wrong_body_is_400_with_the_body_that_is_published(
    name: str, changes: dict[str, Any], world: World
) -> None:
    method, path, body = CALLS[name]
    answer = await world.call(method, path, _body((body or {}) | changes))
    assert answer.status == 400
    assert "datetime" in answer.help
    if name == "replay":
        assert len(answer.bodies[0]) == 10
    else:
        assert answer.body == b""


async def test_a_field_that_is_missing_is_not_the_same_as_null(world: World) -> None:
    method, path, _ = CALLS["replay"]
    answer = await world.call(method, path, orjson.dumps({k: v for k, v in MESSAGES.items() if k != "MPAN"}))
    assert answer.status == 400
    assert "/MPAN: missing" in answer.bodies[0]["help"]


async def test_a_requeue_id_that_cannot_be_one_is_400(world: World) -> None:
    path = f"/dip-channel/IF-021/requeueStatus/{ID}?requeue-id={'7' * 201}"
    answer = await world.call("GET", path)
    assert answer.status == 400
    assert "requeue-id" in answer.help


async def test_an_empty_body_may_be_hashed_as_braces_or_as_nothing(world: World) -> None:
    """Public client scripts hash `{}` for GET; others hash the empty string."""
    import base64
    import hashlib

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    from pipeline.domain.signing import (
        CERTIFICATE_HEADER,
        DATE_HEADER,
        HASH_HEADER,
        SIGNATURE_HEADER,
        signature_date,
        signing_text,
    )
    from tests.support.bridge import NOW

    method, path, _ = CALLS["status requeueStatus"]
    for body in (b"", b"{}"):
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        date = signature_date(NOW)
        text = signing_text(method, world.origin + path, date, digest)
        signature = base64.b64encode(SENDER.signer.key.sign(text, PKCS1v15(), hashes.SHA256())).decode()
        headers = {
            HASH_HEADER: digest,
            DATE_HEADER: date,
            SIGNATURE_HEADER: signature,
            CERTIFICATE_HEADER: SENDER.signer.certificate_header,
        }
        assert (await world.call(method, path, headers=headers)).status == 501
