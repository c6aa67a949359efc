"""The participants file: every mistake at once, each with its place, and nothing half read."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.api_keys import lookup_digits, proves
from pipeline.operate.participants import TEMPLATE
from pipeline.operate.participants_file import Mistake, Reader
from tests.support.bridge import certificate_of

HOOK = {"channel": "*", "callbackURL": "https://a"}
KEY = "0123456789abcdef0123"


def _reader(folder: Path = Path()) -> Reader:
    return Reader(known_roles={"SUP", "LDSO"}, channels={"IF-021"}, salt=lambda: b"salt" * 4, folder=folder)  # type: ignore[arg-type]  # plain texts will do


def _entry(**changes: object) -> dict[str, Any]:
    return {
        "id": "2300000001",
        "name": "Supply",
        "roles": [{"role": "SUP", "from": "2026-06-01", "to": "2027-01-01T00:00:00+00:00"}],
        "api_keys": [KEY],
        "certificates": ["AB" * 32],
        "connection_providers": ["9900000001"],
        "webhooks": [
            {
                "channel": "IF-021",
                "callbackURL": "https://a.example/x",
                "maxMessageCount": 5,
                "maxPayloadSize": 1.5,
            }
        ],
    } | changes


def _mistakes(*entries: object) -> list[str]:
    found, mistakes = _reader().read(json.dumps(entries))
    assert not found or not mistakes
    return [f"{one.pointer} {one.text}" for one in mistakes]


def test_every_field_arrives() -> None:
    (one,), mistakes = _reader().read(json.dumps([_entry()]))
    assert mistakes == ()
    assert (one.id, one.name, one.connection_providers) == ("2300000001", "Supply", {"9900000001"})
    (role,) = one.roles
    assert role.valid_from == datetime(2026, 5, 31, 23, tzinfo=UTC), "midnight in the UK, in summer"
    assert role.valid_to == datetime(2027, 1, 1, tzinfo=UTC)
    (hook,) = one.webhooks
    assert (hook.url, hook.messages_max, hook.payload_kb_max) == ("https://a.example/x", 5, 1.5)
    assert one.certificates == {"ab" * 32}


def test_a_plain_key_leaves_as_salt_and_digest_only() -> None:
    (one,), _ = _reader().read(json.dumps([_entry()]))
    (row,) = one.api_keys
    assert row.lookup == lookup_digits(KEY)
    assert proves(KEY, row)
    assert not proves(KEY + "x", row)
    assert KEY not in repr(one)


def test_a_key_that_is_hashed_already_is_kept_as_it_is() -> None:
    row = {"lookup": "a" * 16, "salt": "bb", "digest": "c" * 64}
    (one,), _ = _reader().read(json.dumps([_entry(api_keys=[row])]))
    assert one.api_keys[0].digest == "c" * 64


def test_certificates_may_be_fingerprints_pem_text_or_files(tmp_path: Path) -> None:
    issued = certificate_of("2300000001")
    (tmp_path / "x.pem").write_bytes(issued.certificate_pem)
    digits = ":".join(issued.fingerprint[n : n + 2] for n in range(0, 64, 2)).upper()
    for form in (digits, issued.certificate_pem.decode(), "x.pem"):
        (one,), _ = _reader(tmp_path).read(json.dumps([_entry(certificates=[form])]))
        assert one.certificates == {issued.fingerprint}


def test_keys_and_certificates_have_periods_so_that_one_can_follow_another() -> None:
    digits = "cd" * 32
    (one,), mistakes = _reader().read(json.dumps([_entry(
        api_keys=[{"key": KEY, "to": "2026-02-01"}, {"key": KEY + "2", "from": "2026-01-01"}],
        certificates=["ab" * 32, {"certificate": digits, "from": "2026-01-01", "to": "2026-02-01"}],
    )]))  # fmt: skip
    assert mistakes == ()
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert [(key.valid_from, key.valid_to) for key in one.api_keys] == [(None, end), (start, None)]
    assert one.certificates == {"ab" * 32, digits}
    instants = (start - timedelta(seconds=1), start, end - timedelta(seconds=1), end)
    assert [digits in one.signing_at(instant) for instant in instants] == [False, True, True, False]
    assert all("ab" * 32 in one.signing_at(instant) for instant in instants)


def test_client_certificates_are_kept_apart_from_those_that_sign() -> None:
    (one,), mistakes = _reader().read(json.dumps([_entry(
        tls_certificates=["cd" * 32], tls_names=["CN=2300000001", "DNS:Supply.Example", "URI:urn:X"],
    )]))  # fmt: skip
    assert mistakes == ()
    assert (one.certificates, one.tls_certificates) == ({"ab" * 32}, {"cd" * 32})
    assert one.tls_names == {"CN=2300000001", "DNS:supply.example", "URI:urn:X"}


def test_a_recipient_may_ask_for_standard_webhooks() -> None:
    (one,), mistakes = _reader().read(
        json.dumps([_entry(webhook_signatures=["v1a", "v1"], webhook_oauth2=True)])
    )
    assert mistakes == ()
    assert one.webhook_signatures == {"v1", "v1a"}
    assert one.webhook_oauth2


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"webhook_signatures": ["v2"]}, "/0/webhook_signatures/0"),
        ({"webhook_signatures": [["v1"]]}, "/0/webhook_signatures/0"),
        ({"webhook_signatures": "v1"}, "/0/webhook_signatures"),
        ({"webhook_oauth2": "yes"}, "/0/webhook_oauth2"),
        ({"webhook_oauth2": 1}, "/0/webhook_oauth2"),
        ({"id": "23"}, "/0/id"),
        ({"id": None}, "/0/id"),
        ({"name": " "}, "/0/name"),
        ({"names": "x"}, "/0/names"),
        ({"roles": "SUP"}, "/0/roles"),
        ({"roles": ["SUP"]}, "/0/roles/0"),
        ({"roles": [{"role": "BOSS", "from": "2026-01-01"}]}, "/0/roles/0/role"),
        ({"roles": [{"role": "SUP", "from": "2026-13-01"}]}, "/0/roles/0/from"),
        ({"roles": [{"role": "SUP"}]}, "/0/roles/0/from"),
        ({"roles": [{"role": "SUP", "from": "2026-01-02", "to": "2026-01-02"}]}, "/0/roles/0/to"),
        ({"roles": [{"role": "SUP", "from": "2026-01-01"}, {"role": "SUP", "from": "2027-01-01"}]}, "/0/roles"),
        ({"api_keys": ["short"]}, "/0/api_keys/0"),
        ({"api_keys": ["ké" * 20]}, "/0/api_keys/0"),
        ({"api_keys": [" " + KEY]}, "/0/api_keys/0"),
        ({"api_keys": [{"lookup": "a" * 16, "salt": "b", "digest": "c" * 64}]}, "/0/api_keys/0/salt"),
        ({"certificates": ["no such file.pem"]}, "/0/certificates/0"),
        ({"certificates": ["-----BEGIN CERTIFICATE-----\nAAAA"]}, "/0/certificates/0"),
        ({"certificates": ["ab" * 32, "AB" * 32]}, "/0/certificates/1"),
        ({"certificates": [{"certificate": "ab" * 32, "until": "2026-01-01"}]}, "/0/certificates/0/until"),
        ({"certificates": [{"certificate": "x"}]}, "/0/certificates/0/certificate"),
        ({"tls_certificates": [{"certificate": "ab" * 32, "from": "soon"}]}, "/0/tls_certificates/0/from"),
        ({"tls_names": ["2300000001"]}, "/0/tls_names/0"),
        ({"tls_names": ["DNS:"]}, "/0/tls_names/0"),
        ({"api_keys": [{"key": "short"}]}, "/0/api_keys/0"),
        ({"api_keys": [{"key": KEY, "from": "2026-02-01", "to": "2026-02-01"}]}, "/0/api_keys/0/to"),
        ({"api_keys": [{"key": KEY, "salt": "ab"}]}, "/0/api_keys/0/salt"),
        ({"connection_providers": [1]}, "/0/connection_providers/0"),
        ({"webhooks": [{"channel": "IF-999", "callbackURL": "https://a"}]}, "/0/webhooks/0/channel"),
        ({"webhooks": [{"channel": "*", "callbackURL": "ftp://a"}]}, "/0/webhooks/0/callbackURL"),
        ({"webhooks": [{"channel": "*", "callbackURL": "https://u:p@a"}]}, "/0/webhooks/0/callbackURL"),
        ({"webhooks": [HOOK | {"maxMessageCount": 0}]}, "/0/webhooks/0/maxMessageCount"),
        ({"webhooks": [HOOK | {"maxMessageCount": True}]}, "/0/webhooks/0/maxMessageCount"),
        ({"webhooks": [HOOK] * 2}, "/0/webhooks"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_pointer(changes: dict[str, object], place: str) -> None:
    (mistake,) = _mistakes(_entry(**changes))
    assert mistake.startswith(place + " ")


def test_all_mistakes_are_found_at_once_and_lines_are_those_of_the_file() -> None:
    text = json.dumps([_entry(), _entry(), _entry(id="x", name=""), 7], indent=1)
    found, mistakes = _reader().read(text)
    assert found == ()
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines, 1) if line in {" {", " 7"}]
    assert [(one.pointer, one.line) for one in mistakes] == [
        ("/1/id", starts[1]),
        ("/2/id", starts[2]),
        ("/2/name", starts[2]),
        ("/3", starts[3]),
    ]


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1", "[1]\n]", '[{"id": 1, "id": 1}]', "nonsense"])
def test_a_file_that_is_no_array_of_participants_is_one_mistake(text: str) -> None:
    found, mistakes = _reader().read(text)
    assert (found, len(mistakes)) == ((), 1)


def test_the_place_of_broken_json_is_its_line() -> None:
    _, (mistake,) = _reader().read('[\n{"id": "1",\n}]')
    assert mistake == Mistake(line=3, pointer="", text=mistake.text)


def test_the_template_is_a_file_but_for_its_certificates() -> None:
    """What `dip participants template` prints must lead somewhere: only the named PEM files are missing."""
    reader = _reader()
    _, mistakes = reader.read(json.dumps(TEMPLATE))
    assert {one.pointer for one in mistakes} == {"/0/certificates/0", "/1/certificates/0"}


def test_a_hundred_thousand_webhooks_are_one_mistake() -> None:
    hooks = [{"channel": f"IF-{number}", "callbackURL": f"https://a/{number}"} for number in range(100_000)]
    found, mistakes = _reader().read(json.dumps([_entry(webhooks=hooks)]))
    assert found == ()
    (mistake,) = mistakes
    assert mistake.pointer == "/0/webhooks"
    assert mistake.text == "100000 webhooks: expected at most 3, one for a channel"
