"""The table of calls against what is published: endpoints.tsv, and where that is older, protocol.md section 8."""

import pytest

from pipeline.catalogue.facts import rows
from pipeline.domain.signing import Policy
from pipeline.ingress.operations import operations
from pipeline.ingress.outside import Outside
from pipeline.ingress.routes import ROUTES, Operation, Place, Route
from pipeline.ingress.trust import FixedTrust, Trust
from pipeline.openapi.operations import Content
from pipeline.settings import Settings
from tests.support.bridge import EVERYBODY, FixedClock, FixedParticipants, Recorder, catalogue, codec

TABLE = [row for row in rows("endpoints.tsv") if row["direction"] == "to DIP"]
PUBLISHED = [one for one in ROUTES if one.published]
GATEWAY = {500, 502, 503, 504}
LATER: dict[Operation, set[int]] = {
    # 2.2.1, which the table of 2.1.0 does not hold in full
    Operation.REPLAY: set(),
    Operation.REQUEUE: set(),
    Operation.REQUEUE_STATUS: {204, 400, 401, 403, 429} | GATEWAY,
    Operation.DELIVERY_STATUS: {204, 400, 401, 403, 429} | GATEWAY,
    Operation.DELETE_STATUS_WEBHOOK: GATEWAY,
    Operation.REPLAY_STATUS: {400, 401, 403} | GATEWAY,
    Operation.REQUEUE_STATUS_MESSAGES: {400, 401, 403},
    Operation.STATUS_REQUEUE_STATUS: {204, 400, 401, 403, 429} | GATEWAY,
}
GONE: dict[Operation, set[int]] = {Operation.REQUEUE: {200}}
"""2.1.0 answered a requeue with 200; 2.2.1 with 202."""
BETWEEN = {Operation.REPLAY, Operation.REQUEUE}
"""Their 400 has a StandardResponse in 2.1.0 and no body in 2.2.1; section 8 keeps it for replay."""
BODIES = {
    "": Content.NOTHING,
    "[DIPMessage]": Content.MESSAGES,
    "WebhookConfig": Content.WEBHOOK_CONFIG,
    "MessageRequest": Content.MESSAGE_REQUEST,
    "StatusMessageRequest": Content.STATUS_MESSAGE_REQUEST,
    "[StandardResponseBodyType]": Content.STATUSES,
    "[{payload:payload of (interface,event)}]": Content.PAYLOADS,
}


def _rows_of(route: Route) -> list[dict[str, str]]:
    return [row for row in TABLE if (row["method"], row["path"]) == (route.method, route.path)]


def _statuses(row: dict[str, str]) -> dict[int, str]:
    parts = (part.partition(":") for part in row["responses"].split(";"))
    return {int(code): body for code, _, body in parts}


def _names(cell: str) -> set[str]:
    return {name for name in cell.split(",") if name}


def test_the_calls_are_the_published_ones() -> None:
    assert {(one.method, one.path) for one in PUBLISHED} == {(row["method"], row["path"]) for row in TABLE}
    assert len({(one.method, one.path.lower()) for one in ROUTES}) == len(ROUTES)
    assert len(PUBLISHED) == 16


def test_every_operation_has_one_route_and_a_handler() -> None:
    assert sorted(one.operation for one in ROUTES) == sorted(Operation)
    outside = Outside(
        settings=Settings(),
        clock=FixedClock(),
        participants=FixedParticipants(EVERYBODY),
        publisher=Recorder(),
        encoder=codec(),
        catalogue=catalogue(),
        trust=FixedTrust(trust=Trust(signing=Policy(skew_s=300))),
    )
    assert set(operations(outside)) == set(Operation)


@pytest.mark.parametrize("route", PUBLISHED, ids=lambda route: route.operation)
def test_published_statuses_are_those_of_the_tables(route: Route) -> None:
    published = set().union(*(_statuses(row) for row in _rows_of(route)))
    later = LATER.get(route.operation, set())
    assert set(route.answers) == (published | later) - GONE.get(route.operation, set())
    assert not set(route.answers) & set(route.beyond)


@pytest.mark.parametrize("route", PUBLISHED, ids=lambda route: route.operation)
def test_the_bodies_of_published_statuses_are_those_of_the_tables(route: Route) -> None:
    for row in _rows_of(route):
        for status, body in _statuses(row).items():
            if status not in route.answers or (route.operation in BETWEEN and status == 400):
                continue
            if body == "StandardResponse":
                assert route.answers[status] is Content.STANDARD_RESPONSE
            elif body == "string":
                assert route.answers[status] is Content.TEXT
            elif not body:
                assert route.answers[status] in {Content.PROBLEM, Content.NOTHING}
            else:
                assert route.answers[status] not in {Content.PROBLEM, Content.NOTHING}


@pytest.mark.parametrize("route", PUBLISHED, ids=lambda route: route.operation)
def test_parameters_and_request_bodies_are_those_of_the_tables(route: Route) -> None:
    own = {one.name + "!" * one.required: one.place for one in route.parameters if one.published}
    newest = _rows_of(route)[-1]
    for place, column in (
        (Place.PATH, "path_params"),
        (Place.QUERY, "query_params"),
        (Place.HEADER, "header_params"),
    ):
        assert {name for name, where in own.items() if where is place} == _names(newest[column])
    if (
        route.operation is not Operation.ADD_COMPANY
    ):  # its body is this router's extension, and may be left out
        assert route.body is BODIES[newest["request_body"]]
    assert route.signed is ("X-DIP-Signature!" in own)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_whoever_is_told_to_wait_is_told_how_long(route: Route) -> None:
    for status in {429, 503} & set(route.statuses):
        assert "Retry-After" in route.response_headers[status]
