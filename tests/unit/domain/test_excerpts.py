"""The audit shows how an answer begins, and no secret that somebody echoes in it."""

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.answers import first_refusal
from pipeline.domain.excerpts import excerpt, redacted
from pipeline.limits import EXCERPT_CHARS_MAX

SIGNATURE = base64.b64encode(random.Random(7).randbytes(256)).decode()
ECHOES = [
    ("X-API-Key: 0123456789abcdef", "0123456789abcdef"),
    ('{"api_key": "hunter2secret"}', "hunter2secret"),
    ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
    ("authorization=Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("Set-Cookie: session=1234; Path=/", "session=1234"),
    ("db_password=tr0ub4dor&host=x", "tr0ub4dor"),
    ("client_secret: 'S3cr3t value'", "S3cr3t"),
    ("access_token=ya29abc", "ya29abc"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvg\n-----END PRIVATE KEY-----", "MIIEvg"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEvgcut", "MIIEvgcut"),
    (f"X-DIP-Signature {SIGNATURE}", SIGNATURE[10:40]),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln rest", "eyJzdWIiOiIxIn0"),
]


@pytest.mark.parametrize(("text", "secret"), ECHOES)
def test_a_secret_that_is_echoed_is_hidden(text: str, secret: str) -> None:
    shown = excerpt(f"<html>500 {text}".encode())
    assert shown is not None
    assert secret not in shown
    assert "***" in shown


@pytest.mark.parametrize("text", [
    "RCP1061 - MPAN unknown: 2000056535971",
    "T-IF-021-1400000001-SDS-20260105-7f9a1234567890abcdef-001",
    "X-DIP-Signature does not fit",
    "the token expired",
    "see https://docs.example.org/errors/of/the/receiving/side/of/webhooks#RCP1061",
])  # fmt: skip
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert redacted(text) == text


def test_lines_and_control_characters_cannot_forge_a_log() -> None:
    shown = excerpt(b"bad\r\n2026-01-05 INFO all is well\x1b[2J\x00\xff\xfe")
    assert shown == r"bad\r\n2026-01-05 INFO all is well\x1b[2J\x00\xff\xfe"


@given(st.binary(max_size=3_000))
def test_whatever_a_body_is_the_audit_gets_one_printable_line(content: bytes) -> None:
    shown = excerpt(content)
    assert (shown is None) == (not content)
    assert shown is None or (shown.isprintable() and len(shown) <= EXCERPT_CHARS_MAX)


@pytest.mark.timeout(20)
def test_no_body_keeps_the_patterns_busy() -> None:
    for part in (b"a", b"a-", b"eyJ", b"A1a", b"-----BEGIN ", b"bearer ", b"token", b'":"', b" \t", b"api-"):
        excerpt(part * 2_000)


def test_what_a_recipient_says_of_a_message_is_passed_on_without_secrets() -> None:
    body = b'{"messageArray":[{"message":"RCP9999 - key: X-API-Key=0123456789abcdef","help":"password: hunter2"}]}'
    remark = first_refusal(body)
    assert remark is not None
    assert "0123456789abcdef" not in remark.text
    assert "hunter2" not in remark.text
    assert remark.code == "RCP9999"
