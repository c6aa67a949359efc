"""Audit records are found by every name they bear, and written so that a spreadsheet does not run them."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from pipeline.domain.audit_query import COLUMNS, Wanted, flat, parties, plain

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
ROUTED = {
    "at": AT,
    "stage": "Addressing",
    "status": "SentToTopic",
    "code": None,
    "transaction_id": "T-1",
    "sender_id": "S",
    "sender_reference": "R-1",
    "mpan": "1200000000001",
    "interface": "IF-021",
    "addressees": [{"recipient": "A", "reasons": []}, {"recipient": "B", "reasons": []}],
    "copies": [],
}
SENT = {
    "at": AT,
    "stage": "Outbound",
    "status": "Delivered",
    "recipient": "A",
    "channel": "IF-021",
    "status_code": 201,
    "reason": "=cmd()",
    "copies": [
        {
            "delivery_id": "T-1>A",
            "transaction_id": "T-1",
            "sender_id": "S",
            "sender_reference": "R-1",
            "mpan": None,
        },
        {
            "delivery_id": "T-2>A",
            "transaction_id": "T-2",
            "sender_id": "Q",
            "sender_reference": "R-2",
            "mpan": "9",
        },
    ],
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "RS"),
        ({"transaction": "T-1"}, "RS"),
        ({"transaction": "T-2"}, "S"),
        ({"transaction": "T"}, ""),
        ({"reference": "R-2"}, "S"),
        ({"mpan": "1200000000001"}, "R"),
        ({"mpan": "9"}, "S"),
        ({"participant": "B"}, "R"),
        ({"participant": "Q"}, "S"),
        ({"participant": "A"}, "RS"),
        ({"channel": "IF-021"}, "RS"),
        ({"channel": "status"}, ""),
        ({"stage": "Outbound"}, "S"),
        ({"status": "SentToTopic"}, "R"),
        ({"code": "MSG1006"}, ""),
        ({"since": AT}, "RS"),
        ({"until": AT}, ""),
        ({"participant": "A", "transaction": "T-2"}, "S"),
    ],
)
def test_all_that_is_asked_for_must_hold(wanted, found):
    taken = "".join(name for name, one in (("R", ROUTED), ("S", SENT)) if Wanted(**wanted).takes(one))
    assert taken == found


def test_every_party_counts():
    assert set(parties(ROUTED)) == {"S", "A", "B"}
    assert set(parties(SENT)) == {"A", "S", "Q"}


def test_a_table_row_has_all_columns_and_no_formula():
    out = io.StringIO()
    csv.DictWriter(out, COLUMNS).writerow(flat(SENT, "dip.audit[0]@7"))
    row = next(csv.DictReader(io.StringIO(",".join(COLUMNS) + "\n" + out.getvalue())))
    assert row["reason"] == "'=cmd()"
    assert row["copies"] == "T-1>A T-2>A"
    assert row["record"] == "dip.audit[0]@7"


def test_json_leaves_out_what_is_empty():
    row = json.loads(json.dumps(plain(ROUTED, "x")))
    assert row["at"] == AT.isoformat()
    assert "code" not in row
    assert "copies" not in row
    assert [one["recipient"] for one in row["addressees"]] == ["A", "B"]
