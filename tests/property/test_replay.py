"""Replay: each filter returns what a naive filter over the same log returns; pages neither skip nor repeat."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.copy_index import wanted_messages, wanted_statuses
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.times import format_instant
from pipeline.ingress.calls import Reply
from pipeline.ingress.replaying import CONTINUATION, Replay
from tests.support.bridge import NOW
from tests.support.journal_rig import START, JournalRig, copy_of, status_of, transaction

SECRET = "a secret of the tests, long enough"
ME, OTHER = "2300000001", "2300000002"
MPANS = ("2000056535971", "1900012374324")
EVENTS = ("ActivePower", "ReactivePower")

TIMES = st.integers(0, 40).map(lambda steps: START + timedelta(milliseconds=700 * steps))
MESSAGES = st.tuples(
    st.sampled_from((ME, ME, OTHER)),
    TIMES,
    st.sampled_from(("IF-021", "IF-021", "IF-035")),
    st.sampled_from(EVENTS),
    st.sampled_from((*MPANS, None)),
    st.sampled_from(("011", "010")),
)
BOUNDS = st.none() | st.integers(-2, 30).map(lambda seconds: START + timedelta(seconds=seconds))
REQUESTS = st.fixed_dictionaries(
    {
        "datetimeFrom": BOUNDS,
        "datetimeTo": BOUNDS,
        "eventCode": st.none() | st.sampled_from([f"[{one}]" for one in EVENTS]),
        "MPAN": st.none() | st.sampled_from(MPANS),
        "version": st.none() | st.just("011"),
    },
    optional={"transactionIDs": st.lists(st.integers(0, 40), min_size=1, max_size=5)},
)


@dataclass
class Replayed:
    """What came out of a replay, page by page; `between` is called after each page but the last."""

    rig: JournalRig
    pages: list[list[Any]] = field(default_factory=list)

    async def run(self, wanted: Any, between: Any) -> list[Any]:
        replay, at = Replay(SECRET), None
        while True:
            outcome = await replay._page(wanted, at, NOW, self.rig.worker.client())
            assert isinstance(outcome, Reply), outcome
            self.pages.append(orjson.loads(orjson.dumps(outcome.value)))
            if CONTINUATION not in outcome.headers:
                assert outcome.status == 200
                return [one for page in self.pages for one in page]
            assert outcome.status == 206
            assert len(self.pages) < 200, "a replay comes to its end"
            at = self._read(outcome.headers[CONTINUATION], wanted)
            between()

    def _read(self, token: str, wanted: Any) -> Any:
        from pipeline.domain.continuation import Continuation, read_token

        found = read_token(SECRET.encode(), token, wanted, now=NOW)
        assert isinstance(found, Continuation)
        return found


def naive(sent: list[Copy], request: Mapping[str, Any], channel: str) -> set[str]:
    """Look at every copy that was sent, as a participant would with its own list."""
    found = set()
    for copy in sent:
        told = datetime.fromisoformat(format_instant(copy.received_at))  # as D0 has it, in whole seconds
        header = orjson.loads(copy.body)["payload"]["CommonBlock"]["S0"]
        named = request.get("transactionIDs")
        if (
            copy.recipient == ME
            and copy.channel == channel
            and (request["datetimeFrom"] is None or request["datetimeFrom"] <= told)
            and (request["datetimeTo"] is None or told <= request["datetimeTo"])
            and request["eventCode"] in (None, header["eventCode"])
            and request["MPAN"] in (None, copy.mpan)
            and request["version"] in (None, header["schemaVersion"])
            and (named is None or copy.transaction_id in named)
        ):
            found.add(copy.transaction_id)
    return found


def wire(request: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: request[name] and format_instant(request[name]) for name in ("datetimeFrom", "datetimeTo")}
    return {**request, **times}


@settings(max_examples=150)
@given(
    first=st.lists(MESSAGES, max_size=25),
    later=st.lists(MESSAGES, max_size=15),
    request=REQUESTS,
    page=st.integers(1, 4),
)
def test_every_filter_is_the_naive_one_and_pages_are_a_snapshot(
    first: list[Any], later: list[Any], request: dict[str, Any], page: int
) -> None:
    """What is sent while pages are fetched is not among them, however early it was received."""
    if "transactionIDs" in request:
        request = {**request, "transactionIDs": [transaction(one) for one in request["transactionIDs"]]}
    rig, waiting = JournalRig(page=page), list(enumerate(later, len(first)))

    def send(number: int, facts: Any) -> Copy:
        recipient, at, channel, event, mpan, version = facts
        copy = copy_of(number, recipient, at=at, channel=channel, event=event, mpan=mpan, version=version)
        rig.sent(copy)
        return copy

    def between() -> None:
        for _ in range(min(3, len(waiting))):
            send(*waiting.pop())
        rig.index()

    sent = [send(number, facts) for number, facts in enumerate(first)]
    wanted = wanted_messages(ParticipantId(ME), InterfaceId("IF-021"), wire(request))
    replayed = Replayed(rig)
    found = asyncio.run(replayed.run(wanted, between))
    blocks = [one["payload"]["CommonBlock"] for one in found]
    told = [one["D0"]["transactionID"] for one in blocks]
    assert set(told) == naive(sent, request, "IF-021")
    assert len(told) == len(set(told))
    assert all(one["D0"]["replayIndicator"] is True for one in blocks)
    assert max(map(len, replayed.pages)) <= page


@settings(max_examples=50)
@given(
    sent=st.lists(
        st.tuples(st.sampled_from((ME, OTHER)), TIMES, st.sampled_from((None, "CI-1"))), max_size=12
    ),
    bounds=st.tuples(st.integers(-2, 30), st.integers(-2, 30)),
    transaction_of=st.none() | st.integers(0, 12),
    correlation=st.none() | st.just("CI-1"),
)
def test_status_messages_are_found_by_when_they_were_written(
    sent: list[Any], bounds: tuple[int, int], transaction_of: int | None, correlation: str | None
) -> None:
    rig = JournalRig()
    since, until = (START + timedelta(seconds=one) for one in bounds)
    for number, (recipient, at, about) in enumerate(sent):
        rig.sent(status_of(number, recipient, at=at, correlation=about))
    request = {
        "datetimeFrom": format_instant(since),
        "datetimeTo": format_instant(until),
        "transactionID": None if transaction_of is None else transaction(transaction_of, ME),
        "correlationID": correlation,
    }
    found = asyncio.run(Replayed(rig).run(wanted_statuses(ParticipantId(ME), request), lambda: None))
    expected = {
        transaction(number, ME)
        for number, (recipient, at, about) in enumerate(sent)
        if recipient == ME
        and since <= at.replace(microsecond=0) <= until
        and transaction_of in (None, number)
        and correlation in (None, about)
    }
    assert {one["transactionID"] for one in found} == expected
