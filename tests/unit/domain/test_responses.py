"""The response object: ten keys always, texts that fit the published schema."""

from datetime import UTC, datetime

import pytest

from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.rejections import TEXTS, CheckId, Code, Rejection
from pipeline.domain.responses import Body, fitted, help_of, standard_response, text_of

NOW = datetime(2026, 1, 5, 1, 0, 0, 999_999, tzinfo=UTC)
TEN_KEYS = [
    "transactionID",
    "senderUniqueReference",
    "correlationID",
    "sentTimestamp",
    "senderID",
    "recipientID",
    "DIPConnectionProviderID",
    "message",
    "help",
    "serviceTicketURL",
]


def test_a_body_has_its_ten_keys_even_where_nothing_is_known() -> None:
    body = Body(sent_at=NOW, message=text_of(Code.SCHEMA)).wire()
    assert list(body) == TEN_KEYS
    assert body["senderID"] == "0000000000"
    assert body["message"] == "MSG1001 - Schema Failure"
    assert [key for key, value in body.items() if value is None] == [
        "transactionID",
        "senderUniqueReference",
        "correlationID",
        "recipientID",
        "DIPConnectionProviderID",
        "help",
        "serviceTicketURL",
    ]


def test_times_are_25_characters_with_an_offset() -> None:
    body = Body(sent_at=NOW, message=None, recipient_id=ParticipantId("2300000001"))
    response = standard_response([body], NOW)
    assert response["timestamp"] == "2026-01-05T01:00:00+00:00"
    assert response["messageArray"][0]["sentTimestamp"] == response["timestamp"]
    assert len(response["timestamp"]) == 25


def test_a_response_without_a_body_is_a_defect_of_ours() -> None:
    with pytest.raises(AssertionError):
        standard_response([], NOW)


def test_texts_beyond_the_schema_are_cut_and_say_so() -> None:
    body = Body(sent_at=NOW, message="m" * 201, help="h" * 501).wire()
    assert (len(body["message"]), len(body["help"])) == (200, 500)
    assert body["help"].endswith("h…")
    assert fitted("h" * 500, 500) == "h" * 500
    assert fitted("", 500) is None


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_text_that_fits(code: Code) -> None:
    assert text_of(code) == f"{code.value} - {TEXTS[code]}"
    assert len(text_of(code)) <= 200


def test_help_names_the_place_of_each_problem_and_the_further_codes() -> None:
    problems = (
        Rejection(
            check=CheckId.SCHEMA,
            code=Code.SCHEMA,
            help="expected text",
            pointer="/payload/CommonBlock/S0/eventCode",
        ),
        Rejection(check=CheckId.SCHEMA, code=Code.SCHEMA, help="is missing", pointer="/payload/CustomBlock"),
        Rejection(check=CheckId.SENDER_ROLE, code=Code.SENDER_ROLE, help="not held on the date"),
    )
    assert help_of(problems, pointers_under="/3") == (
        "/3/payload/CommonBlock/S0/eventCode: expected text; /3/payload/CustomBlock: is missing; "
        "MSG1010: not held on the date"
    )
