"""What the pages tell, and whom: figures, orders, messages, letters, spans; hostile texts stay texts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.console.accounts import Role
from pipeline.console.ports import FoundLetters, Plan, Process, Requeue, Standings, Story, Trouble
from pipeline.domain.identifiers import (
    InterfaceId,
    Mpan,
    ParticipantId,
    SenderReference,
    TransactionId,
)
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.participants import (
    ANY_CHANNEL,
    Participants,
)
from pipeline.domain.routing import Slot
from tests.support.builders import MPAN, history, holds, message, participant
from tests.support.console_rig import HOSTILE, NOW, FakeOutside, Rig, ago, letter, open_rig, standing
from tests.support.console_scene import ME, OTHER, SENDER, T, data, process, rich, said, whole_story

DAY_S = 86_400.0


@pytest.fixture
async def rig():
    outside = FakeOutside(market=Participants([participant(one, "SUP") for one in (ME, OTHER, SENDER)]))
    opened = await open_rig(outside)
    yield opened
    await opened.close()


# --- stages ---


async def test_stages_show_rates_between_two_looks(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    for number, total in enumerate((100.0, 150.0, 40.0)):  # it began anew before the third
        rig.outside.now_at = NOW + timedelta(seconds=10 * number)
        rig.outside.processes = (process("bridge", dip_bridge_accepted_total=total),)
        await rig.console.watch.look()
    rows = {row.stage.name: row for row in rig.console.watch.rows()}
    assert rows["entrance"].history == (5.0, 4.0)
    assert rows["entrance"].running == 1
    assert rows["delivery"].per_s is None
    page = (await who.get("/")).text
    assert "4.0" in page
    assert "none seen" in page


async def test_a_lag_is_the_workers_word_and_else_the_brokers(rig: Rig) -> None:
    rig.outside.lag = {("dip-router", "dip.inbound"): 70}
    await rig.console.watch.look()
    row = next(one for one in rig.console.watch.rows() if one.stage.name == "validation")
    assert (row.lag, row.lag_at_most) == (70, True)
    said = {"dip_consumer_lag_records": {("dip.inbound", "0"): 3.0, ("dip.validated", "0"): 9.0}}
    router = process("router")
    rig.outside.processes = (replace(router, figures={**router.figures, **said}),)
    await rig.console.watch.look()
    row = next(one for one in rig.console.watch.rows() if one.stage.name == "validation")
    assert (row.lag, row.lag_at_most) == (3, False)


# --- lanes ---


async def test_lanes_in_trouble_come_first_and_sound_ones_are_counted(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.lanes = Standings(
        rows=(standing(ME), standing(OTHER, standing="waiting", failures=4, parked=12, oldest_at=ago(90)))
    )
    page = (await who.get("/lanes")).text
    assert "1 min 30 s" in page
    assert "without a backlog: 1." in page
    assert f"{ME}<br>" not in page
    assert f"{ME}<br>" in (await who.get("/lanes?all=1")).text
    assert '<button type="submit" name="order"' not in page, "a viewer has no controls"


@pytest.mark.parametrize(
    ("order", "channel", "state", "where"),
    [
        ("pause", "IF-021", LaneState.PAUSED, "IF-021"),
        ("disable", "all", LaneState.DISABLED, "*"),
        ("resume", "status", LaneState.ACTIVE, "status"),
    ],
)
async def test_an_order_is_given_with_who_when_and_why(rig: Rig, order, channel, state, where) -> None:
    who = await rig.as_(Role.OPERATOR)
    answer = await who.send("/lanes", "/lanes", recipient=ME, channel=channel, order=order, reason=" work ")
    assert (answer.status, answer.headers["Location"]) == (303, "/lanes")
    assert rig.outside.given == [
        LaneOrder(
            recipient=ParticipantId(ME),
            channel=InterfaceId(where),
            state=state,
            reason="work",
            by="operator",
            at=NOW,
        )
    ]
    first, second = await who.get("/lanes"), await who.get("/lanes")
    assert "Workers know it within seconds" in first.text
    assert "Workers know it within seconds" not in second.text


@pytest.mark.parametrize(
    "wrong",
    [{"recipient": "9"}, {"recipient": HOSTILE}, {"channel": "IF-999"}, {"channel": ""}, {"order": "delete"}],
)
async def test_a_wrong_order_is_none_and_the_page_says_why(rig: Rig, wrong) -> None:
    who = await rig.as_(Role.OPERATOR)
    form = {"recipient": ME, "channel": "IF-021", "order": "pause"} | wrong
    answer = await who.send("/lanes", "/lanes", **form)
    assert answer.status == 400
    assert not rig.outside.given
    assert "<script" not in answer.text


async def test_an_order_that_kafka_does_not_take_is_told(rig: Rig) -> None:
    who = await rig.as_(Role.OPERATOR)
    rig.outside.refuses = Trouble(text="the order could not be written within 10 s.")
    answer = await who.send("/lanes", "/lanes", recipient=ME, channel="all", order="pause")
    assert answer.status == 503
    assert "could not be written" in answer.text


async def test_a_participant_sees_its_own_lanes_and_no_others(rig: Rig) -> None:
    who = await rig.as_(Role.PARTICIPANT, ME)
    rig.outside.lanes = Standings(
        rows=(standing(ME, parked=3), standing(OTHER, parked=777)),
        troubles=("http://10.9.8.7:8081 does not answer: refused",),
    )
    rig.outside.orders_now = LaneOrders(
        [
            LaneOrder(recipient=ParticipantId(one), channel=ANY_CHANNEL, state=LaneState.PAUSED,
                      reason=f"because {one}", by="op", at=NOW)
            for one in (ME, OTHER)
        ]
    )  # fmt: skip
    for path in ("/lanes", f"/lanes?recipient={OTHER}", "/lanes?all=1"):
        page = (await who.get(path)).text
        assert f"because {ME}" in page
        assert OTHER not in page.replace(f"recipient={OTHER}", "")
        assert "777" not in page
        assert "10.9.8.7" not in page


# --- messages ---


async def test_a_message_shows_its_way_and_why(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.stories = {T: whole_story()}
    page = (await who.get(f"/messages/{T}")).text
    assert "<svg" in page
    assert f"Outbound {OTHER}" in page
    assert "Secondary as SUP" in page
    assert "load-1" in page
    assert "+1.000 s: Outbound Delivered" in page
    assert (await who.get(f"/messages?transaction={T}")).text.count("<tr") == page.count("<tr")


async def test_a_recipient_sees_the_way_to_itself_only(rig: Rig) -> None:
    who = await rig.as_(Role.PARTICIPANT, ME)
    rig.outside.stories = {T: whole_story()}
    page = (await who.get(f"/messages/{T}")).text
    assert "took it" in page
    assert OTHER not in page
    assert "secret of the other" not in page


async def test_a_sender_sees_all_of_its_message_but_not_whose_word_was_behind_it(rig: Rig) -> None:
    who = await rig.as_(Role.PARTICIPANT, SENDER)
    rig.outside.stories = {T: whole_story()}
    page = (await who.get(f"/messages/{T}")).text
    assert OTHER in page
    assert "Secondary as SUP" in page
    assert "load-1" not in page


async def test_a_foreign_message_is_as_unknown_as_one_that_never_was(rig: Rig) -> None:
    who = await rig.as_(Role.PARTICIPANT, "2500000001")
    rig.outside.stories = {T: whole_story()}
    foreign, absent = await who.get(f"/messages/{T}"), await who.get("/messages/T-none")
    assert foreign.status == absent.status == 404
    assert foreign.text.replace(T, "") == absent.text.replace("T-none", "")


async def test_a_search_finds_messages_also_by_the_copies_of_a_call(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.found = data(*whole_story().records)
    page = (await who.get(f"/messages?mpan={MPAN}")).text
    assert "Messages found: 1" in page
    assert "Retrying" in page, "what was said last"


async def test_a_participants_search_finds_its_own_business_only(rig: Rig) -> None:
    rig.outside.found = data(*whole_story().records)
    stranger = await rig.as_(Role.PARTICIPANT, "2500000001")
    assert "Nothing was found" in (await stranger.get(f"/messages?mpan={MPAN}")).text
    recipient = await rig.as_(Role.PARTICIPANT, ME)
    page = (await recipient.get(f"/messages?mpan={MPAN}")).text
    assert T in page
    assert OTHER not in page


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("mpan=12", "13 digits"),
        ("mpan=x&since=yesterday", "no time"),
        ("participant=1&since=2026-01-05&until=2026-01-04", "before it begins"),
    ],
)
async def test_a_wrong_search_is_told_and_nothing_is_read(rig: Rig, query, what) -> None:
    who = await rig.as_(Role.VIEWER)
    answer = await who.get(f"/messages?{query}")
    assert answer.status == 400
    assert what in answer.text
    assert not rig.outside.searched


async def test_a_reference_leads_to_its_message(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.found, rig.outside.stories = data(*whole_story().records), {T: whole_story()}
    assert "Its journal" in (await who.get("/messages?reference=S-1")).text
    both = said(transaction_id=TransactionId("T-another"))
    rig.outside.found = data(*whole_story().records, both)
    assert "Messages found: 2" in (await who.get("/messages?reference=S-1")).text


async def test_of_an_index_only_the_messages_that_are_meant_are_shown(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.found = data(
        said(), said(transaction_id=TransactionId("T-another")), transactions=frozenset({T})
    )
    page = (await who.get(f"/messages?mpan={MPAN}")).text
    assert "Messages found: 1" in page
    assert "T-another" not in page


# --- letters ---


async def test_letters_are_listed_shown_and_asked_for(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.letters_now = FoundLetters(
        letters=(letter(7, record=message()), letter(8, code="MSG1006")),
        more=False,
    )
    page = (await who.get("/letters")).text
    assert "Letters: 2" in page
    assert "Send these back" not in page
    assert "Letters: 1" in (await who.get("/letters?code=MSG1006")).text
    shown = await who.get("/letters/dip.dead-letter.addressing[0]@7")
    assert shown.status == 200
    assert "CommonBlock" in shown.text
    assert (await who.get("/letters/dip.dead-letter.addressing[0]@99")).status == 404
    assert (await who.get("/letters/nonsense")).status == 404
    assert (await who.get("/letters?stage=none")).status == 400


async def test_letters_go_back_after_a_plan_and_a_word(rig: Rig) -> None:
    who = await rig.as_(Role.OPERATOR)
    rig.outside.letters_now = FoundLetters(letters=(letter(7),), more=False)
    rig.outside.planned = Plan(
        going=41, kinds=(("addressing", "MSG1037", 42),), staying=(("the recipient has it", 1),)
    )
    plan = await who.send("/letters/plan", "/letters", stage="addressing", code="MSG1037")
    assert "Send 41 back" in plan.text
    assert "the recipient has it" in plan.text
    assert not rig.outside.requeued
    form = {"token": plan.token, "stage": "addressing", "code": "MSG1037", "rate": "20"}
    assert (await who.post("/letters/requeue", form)).status == 303
    ((asked, by, rate),) = rig.outside.requeued
    assert (asked.stage, asked.wanted.code, by, rate) == ("addressing", "MSG1037", "operator", 20.0)
    rig.outside.running = Requeue(by="operator", what="MSG1037", sent=5, going=41, ended=None)
    assert "5 of 41 so far" in (await who.get("/letters")).text
    for rate in ("0", "nan", "-1", "inf", "many"):
        assert (await who.post("/letters/requeue", form | {"rate": rate})).status == 400
    assert (await who.post("/letters/requeue", form | {"stage": "reporting"})).status == 400


async def test_a_participant_sees_letters_of_its_own_messages_only(rig: Rig) -> None:
    own = message()
    rig.outside.letters_now = FoundLetters(letters=(letter(7, record=own), letter(8)), more=False)
    rig.outside.running = Requeue(by="operator", what="all", sent=5, going=41, ended=None)
    sender = await rig.as_(Role.PARTICIPANT, own.sender_id)
    page = (await sender.get("/letters")).text
    assert "Letters: 1" in page
    assert "so far" not in page
    assert (await sender.get("/letters/dip.dead-letter.addressing[0]@8")).status == 404
    other = await rig.as_(Role.PARTICIPANT, OTHER)
    assert (await other.get("/letters/dip.dead-letter.addressing[0]@7")).status == 404


# --- participants ---


async def test_participants_show_certificates_and_nothing_that_proves_a_key(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    rig.outside.market = Participants([rich(ME, "Supply")])
    assert "registration ends in 12 days" in (await who.get("/participants")).text
    page = (await who.get(f"/participants/{ME}")).text
    assert "https://supply.example/dip" in page
    assert "0123456789abcdef" in page
    assert "5a17" not in page
    assert "d16e57" not in page


async def test_a_participant_finds_itself_alone(rig: Rig) -> None:
    who = await rig.as_(Role.PARTICIPANT, ME)
    page = (await who.get("/participants")).text
    assert ME in page
    assert OTHER not in page
    assert (await who.get(f"/participants/{OTHER}")).status == 404


# --- hostile texts ---


async def test_hostile_texts_stay_texts_on_every_page(rig: Rig) -> None:
    """Names, references, reasons and bodies are written by others."""
    who = await rig.as_(Role.OPERATOR)
    rig.outside.market = Participants([rich(ME, HOSTILE)])
    rig.outside.processes = (Process(address=HOSTILE, trouble=HOSTILE),)
    rig.outside.lag = Trouble(text=HOSTILE)
    rig.outside.lanes = Standings(
        rows=(standing(ME, channel=HOSTILE, standing=HOSTILE, order=HOSTILE, parked=1, next_try_at=None),),
        troubles=(HOSTILE,),
    )
    rig.outside.orders_now = LaneOrders(
        [LaneOrder(recipient=ParticipantId(ME), channel=InterfaceId(HOSTILE), state=LaneState.PAUSED,
                   reason=HOSTILE, by=HOSTILE, at=NOW)]
    )  # fmt: skip
    hostile = said(
        reason=HOSTILE, code=HOSTILE, sender_reference=SenderReference(HOSTILE), transaction_id=TransactionId(HOSTILE),
        mpan=Mpan(HOSTILE), correlation_id=HOSTILE, recipient=ParticipantId(HOSTILE), interface=InterfaceId(HOSTILE),
    )  # fmt: skip
    rig.outside.found = data(hostile)
    rig.outside.stories = {HOSTILE: Story(records=(hostile,), source="the journal", remark=HOSTILE)}
    own = message(senderUniqueReference=HOSTILE)
    rig.outside.letters_now = FoundLetters(
        letters=(letter(7, record=own, text=HOSTILE, code=HOSTILE),), more=True
    )
    rig.outside.running = Requeue(by=HOSTILE, what=HOSTILE, sent=1, going=1, ended=HOSTILE)
    paths = (
        "/", "/lanes", f"/participants?find={HOSTILE}", "/participants", f"/participants/{ME}", f"/participants/{HOSTILE}",
        f"/messages?correlation={HOSTILE}", f"/messages?participant={HOSTILE}", f"/messages?mpan={HOSTILE}",
        f"/messages/{HOSTILE}", f"/letters?sender={HOSTILE}&until={HOSTILE}", "/letters",
        "/letters/dip.dead-letter.addressing[0]@7", f"/letters/{HOSTILE}",
        f"/meters?mpan={HOSTILE}", f"/lanes?recipient={HOSTILE}",
    )  # fmt: skip
    seen = 0
    for path in paths:
        page = (await who.get(path)).text
        assert "<script" not in page, path
        assert "<img" not in page, path
        assert "{{7*7}}" in page or "49" not in page, path
        seen += "&lt;script&gt;" in page
    assert seen >= 12, "the texts are there: they were looked at, and escaped"


async def test_spans_are_drawn_as_they_were_known(rig: Rig) -> None:
    who = await rig.as_(Role.VIEWER)
    first, then = ago(40 * DAY_S), ago(10 * DAY_S)
    before = history(holds(Slot.SUPPLIER, ME, first), recorded_at=first, source="load-1")
    rig.outside.histories = {
        MPAN: history(holds(Slot.SUPPLIER, OTHER, then), since=before, recorded_at=then, source="switch-2")
    }
    now = (await who.get(f"/meters?mpan={MPAN}")).text
    assert now.count('class="bar ') == 2
    assert "switch-2" in now
    earlier = (await who.get(f"/meters?mpan={MPAN}&known={ago(20 * DAY_S):%Y-%m-%d}")).text
    assert earlier.count('class="bar ') == 1
    assert "switch-2" not in earlier
    assert "Nothing is known" in (await who.get("/meters?mpan=2000000000000")).text
    for wrong in ("mpan=12", f"mpan={MPAN}&known=once"):
        assert (await who.get(f"/meters?{wrong}")).status == 400


async def test_a_participant_sees_its_own_spans_only(rig: Rig) -> None:
    rig.outside.histories = {
        MPAN: history(
            holds(Slot.SUPPLIER, ME, ago(9 * DAY_S)), holds(Slot.DISTRIBUTOR, "2500000001", ago(9 * DAY_S))
        )
    }
    page = (await (await rig.as_(Role.PARTICIPANT, ME)).get(f"/meters?mpan={MPAN}")).text
    assert page.count('class="bar ') == 1
    assert "2500000001" not in page
    foreign = (await (await rig.as_(Role.PARTICIPANT, OTHER)).get(f"/meters?mpan={MPAN}")).text
    assert "Nothing is known" in foreign
    assert ME not in foreign
