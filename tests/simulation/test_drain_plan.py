"""The drain plan of docs/RUNBOOK.md, walked through after a simulated outage of 72 hours.

The commands are read from the chapter and parsed by the command line itself, so that the page cannot say what does not
work; instead of Kafka the simulated worker gets what they write.
"""

import asyncio
import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click

from pipeline.catalogue.delivery import load_delivery_rules
from pipeline.domain.delivery import Answered, Schedule
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_limits import LaneLimits, Rates
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.limits import PACE_OVERSHOOT_SHARE_MAX
from pipeline.operate.lane import changes_for, lane
from pipeline.operate.lane_limit import outweighed
from tests.support.fake_engine import FakeParticipants, ScriptedWebhooks, World, make_copy, make_participants

RUNBOOK = Path(__file__).parents[2] / "docs" / "RUNBOOK.md"
WHO, OTHER = ParticipantId("2300000001"), ParticipantId("2300000002")
APPOINTMENTS, READINGS = "IF-036", "IF-021"
DOWN, OK = Answered(status=503), Answered(status=201)
HOURS, EVERY = 72, timedelta(minutes=1)  # a reading a minute, an appointment every ten
STATES = {"pause": LaneState.PAUSED, "disable": LaneState.DISABLED, "resume": LaneState.ACTIVE}


class Recipients(ScriptedWebhooks):
    """Notes when each copy was taken, and how many came in one array."""

    def __init__(self, world_now) -> None:
        super().__init__()
        self.now = world_now
        self.log: list[tuple[datetime, str, str]] = []

    async def post(self, post):
        result = await super().post(post)
        if result.status == 201:
            self.log += [(self.now(), post.recipient, one) for one in post.delivery_ids]
        return result


class Operator:
    """Does what a command of the page says to the simulated worker."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[tuple[str, str], LaneOrder] = {}
        self.limits: dict[tuple[str, str], LaneLimits] = {}

    def do(self, line: str) -> None:
        """Run one `dip lane` command."""
        _, _, name, *arguments = shlex.split(line)
        command = lane.commands[name]
        params = command.make_context(name, list(arguments)).params
        if name in STATES:
            self._order(params, STATES[name])
        elif name == "limit":
            self._limit(params)
        self.world.orders.picture = LaneOrders(self.orders.values(), self.limits.values())

    def _who(self, params: dict) -> dict:
        return {
            "recipient": ParticipantId(params["participant"]),
            "channel": InterfaceId(params["channel"] or ANY_CHANNEL),
            "reason": params["reason"],
            "by": "ops",
            "at": self.world.clock.now(),
        }

    def _order(self, params: dict, state: LaneState) -> None:
        given = LaneOrder(state=state, **self._who(params))
        for change in changes_for(given, LaneOrders(self.orders.values())):
            place = (change.recipient, change.channel)
            self.orders.pop(place, None)
            if change.order is not None:
                self.orders[place] = change.order

    def _limit(self, params: dict) -> None:
        rates = Rates(
            calls_per_min=params["calls_per_min"],
            catch_up_per_s=params["catch_up_per_s"],
            calls_max=params["calls_max"],
        )
        given = LaneLimits(rates=rates, **self._who(params))
        for one in outweighed(given, LaneOrders([], self.limits.values())):
            del self.limits[one.recipient, one.channel]
        self.limits.pop((given.recipient, given.channel), None)
        if not params["lifted"]:
            self.limits[given.recipient, given.channel] = given


def commands(step: str) -> Iterator[str]:
    """Yield the commands of a step of the drain plan."""
    text = RUNBOOK.read_text(encoding="utf-8")
    (chapter,) = re.findall(
        r"^## After an outage: the drain plan\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    (part,) = re.findall(rf"^{re.escape(step)} .*?```sh\n(.*?)```", chapter, re.MULTILINE | re.DOTALL)
    yield from (line for line in part.splitlines() if line.startswith("dip lane"))


def test_every_command_of_the_runbook_is_one() -> None:
    """Also those in tables and in running text."""
    text = RUNBOOK.read_text(encoding="utf-8")
    found = re.findall(r"`(dip lane [^`]+)`|^(dip lane .+)$", text, re.MULTILINE)
    assert len(found) > 8
    for line in (one or other for one, other in found):
        name, *arguments = shlex.split(line)[2:]
        try:
            lane.commands[name].make_context(name, list(arguments))
        except click.UsageError as error:  # pragma: no cover
            raise AssertionError(f"{line}: {error}") from error


async def turn(world: World, seconds: float, turns: int = 30) -> None:
    world.clock.forward(seconds)
    world.dispatcher.tick()
    for _ in range(turns):
        await asyncio.sleep(0)


async def outage(world: World, sent: list[Copy]) -> None:
    """Let a recipient be away for three days in which its copies go on coming; another one is well."""
    minutes = HOURS * 60
    for minute in range(minutes):
        channels = (READINGS, APPOINTMENTS) if minute % 10 == 0 else (READINGS,)
        for channel in channels:
            for who in (WHO, OTHER):
                copy = make_copy(
                    len(sent),
                    recipient=who,
                    channel=channel,
                    at=world.clock.now(),
                    mpan=f"{2 * 10**12 + minute % 7}",
                )
                sent.append(copy)
                world.send(copy)
        await turn(world, EVERY.total_seconds(), turns=15)
        if minute == minutes // 2:
            await world.settle_down()


async def test_the_drain_plan_brings_a_recipient_back_after_three_days() -> None:
    world = World(
        people=FakeParticipants(make_participants(WHO, OTHER)),
        schedule=Schedule(delays_s=(0, 1, 2, 4, 8, 15, 60, 300, 600, 3_600), hold_s=14 * 86_400),
        rules=load_delivery_rules(),
        lane_in_flight_max=64,
    )
    webhooks = world.webhooks = Recipients(world.clock.now)
    world.dispatcher = world.make()
    webhooks.then(WHO, DOWN)
    operator, sent = Operator(world), []
    await world.own()
    await outage(world, sent)
    tries = sum(one.recipient == WHO for one in webhooks.posts)
    assert tries < 2 * (HOURS + 30), "two lanes, about a call an hour each"
    assert sum(who == OTHER for _, who, _ in webhooks.log) >= len(sent) // 2 - 2, "the other had no outage"
    backlog = len(world.engine.parked())
    assert backlog == len(sent) // 2

    # 1 and 2: it waits, and a rate is agreed, before the endpoint is opened.
    for step in ("1.", "2."):
        for command in commands(step):
            operator.do(command)
    webhooks.then(WHO, OK)
    before = len(webhooks.posts)
    for _ in range(20):
        await turn(world, 30)
    assert sum(one.recipient == WHO for one in webhooks.posts[before:]) == 0, "nothing comes unplanned"

    # 3: it goes on, one message first.
    for command in commands("3."):
        operator.do(command)
    began, first = world.clock.now(), len(webhooks.log)
    rate = operator.limits[WHO, ANY_CHANNEL].rates.catch_up_per_s
    assert rate is not None
    while world.engine.parked():
        assert world.clock.now() - began < timedelta(hours=1), "the drain does not end"
        await turn(world, 0.25)
    drained = [(at, one) for at, who, one in webhooks.log[first:] if who == WHO]
    sizes = [len(one.bodies) for one in webhooks.posts[before:] if one.recipient == WHO]
    assert sizes[0] == 1

    # Appointments first, each MPAN in order; the rate is kept; nothing is lost or sent twice.
    channel = {one.delivery_id: one.channel for one in sent}
    order = [channel[one] for _, one in drained]
    assert order.index(READINGS) == order.count(APPOINTMENTS) == HOURS * 6
    assert len(drained) == len({one for _, one in drained}) == backlog
    assert [one for _, one in drained if channel[one] == READINGS] == [
        one.delivery_id for one in sent if one.recipient == WHO and one.channel == READINGS
    ]
    per_minute: dict[int, int] = {}
    for at, _ in drained:
        minute = int((at - began) / timedelta(minutes=1))
        per_minute[minute] = per_minute.get(minute, 0) + 1
    # Two lanes have a bucket each: in the minute in which the one follows the other both begin.
    assert max(per_minute.values()) <= rate * 60 * (1 + PACE_OVERSHOOT_SHARE_MAX) + rate
    took = (world.clock.now() - began).total_seconds()
    assert 0.95 * backlog / rate <= took <= 1.3 * backlog / rate, "as the page reckons"

    # 4: the limit is lifted, and copies are not parked any more.
    for command in commands("4."):
        operator.do(command)
    await turn(world, 1)
    copy = make_copy(len(sent), recipient=WHO, at=world.clock.now())
    world.send(copy)
    await world.settle_down()
    assert webhooks.log[-1][2] == copy.delivery_id
    assert not operator.orders
    assert not operator.limits
    assert world.engine.dead() == []
    assert not any(world.engine.unsettled.values())
