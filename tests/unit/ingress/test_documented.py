"""The watcher of every other test of the entrance sees what the document does not say."""

import pytest
from aiohttp import web

from pipeline.openapi.operations import Content
from tests.support.documented import complaint

STATUSES = {201: Content.STANDARD_RESPONSE, 204: Content.NOTHING, 400: Content.PROBLEM, 200: Content.TEXT}
RESPONSE = (
    b'{"messageArray": [{"transactionID": null, "senderUniqueReference": null, "correlationID": null,'
    b' "sentTimestamp": "2026-01-05T09:30:00+00:00", "senderID": "0000000000", "recipientID": null,'
    b' "DIPConnectionProviderID": null, "message": null, "help": null, "serviceTicketURL": null}],'
    b' "timestamp": "2026-01-05T09:30:00+00:00"}'
)
PROBLEM = b'{"type": "urn:x", "title": "x", "status": 400, "detail": "x"}'


def answer(status, body=b"", media="application/json"):
    return web.Response(status=status, body=body, content_type=media)


@pytest.mark.parametrize(
    "response",
    [
        answer(201, RESPONSE),
        answer(204),
        answer(400),
        answer(400, PROBLEM, "application/problem+json"),
        answer(200, b'"x"'),
    ],
)
def test_what_the_document_says_is_no_complaint(response):
    assert complaint(STATUSES, response) == ""


@pytest.mark.parametrize(
    "response",
    [
        answer(418),
        answer(201),
        answer(201, RESPONSE.replace(b'"help": null, ', b"")),
        answer(204, b"{}"),
        answer(400, b"{}", "application/problem+json"),
        answer(400, b"{}"),
        answer(200, b"{}"),
    ],
)
def test_what_it_does_not_say_is_one(response):
    assert complaint(STATUSES, response)
