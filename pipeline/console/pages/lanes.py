"""How the lanes stand, and the orders that operators give them: what `dip lane list|status|pause|disable|resume` do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pipeline.console.ports import StandingRow, Trouble
from pipeline.console.serving import Answer, Moved, Page, Refused, Visit
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.lane_orders import NO_ORDERS, LaneOrder, LaneOrders, LaneState
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.limits import CONSOLE_LANES_SHOWN_MAX

ALL: Final = "all"
_ORDERS: Final = {
    "pause": LaneState.PAUSED,
    "disable": LaneState.DISABLED,
    "resume": LaneState.ACTIVE,
}
_SOUND: Final = "healthy"


async def show(visit: Visit) -> Page:
    """Show orders and standings; a participant sees its own lanes."""
    orders, people = await visit.outside.lanes.orders(), await visit.outside.market.people()
    standings = await visit.outside.processes.standings()
    wanted = visit.own or visit.asked("recipient")
    known = orders if isinstance(orders, LaneOrders) else NO_ORDERS
    rows = [one for one in standings.rows if wanted is None or one.recipient == wanted]
    rows.sort(key=lambda one: (one.standing == _SOUND, -one.parked, one.recipient, one.channel))
    everything = wanted is not None or visit.asked("all") is not None
    sound = 0 if everything else sum(_is_sound(one) for one in rows)
    rows = [one for one in rows if everything or not _is_sound(one)]
    troubles = [one.text for one in (orders, people) if isinstance(one, Trouble)]
    return Page(
        template="lanes.html",
        values={
            "rows": rows[:CONSOLE_LANES_SHOWN_MAX],
            "sound": sound,
            "left_out": max(0, len(rows) - CONSOLE_LANES_SHOWN_MAX),
            "orders": [_order(one) for one in known if wanted is None or one.recipient == wanted],
            "waits": {(one.recipient, one.channel): _waits(one, known) for one in rows},
            "names": {} if isinstance(people, Trouble) else {one: people[one].name for one in people},
            "channels": [STATUS_CHANNEL, *visit.outside.lanes.channels],
            "wanted": wanted,
            "troubles": [
                *troubles,
                *(standings.troubles if visit.own is None else _plainly(standings.troubles)),
            ],
            "now": visit.outside.clock.now(),
        },
    )


def _is_sound(one: StandingRow) -> bool:
    """Tell whether there is nothing to see: a market has thousands of such lanes."""
    return one.standing == _SOUND and not one.parked


def _order(one: LaneOrder) -> Mapping[str, Any]:
    channel = "all channels" if one.channel == ANY_CHANNEL else one.channel
    return {"order": one, "channel": channel, "field": ALL if one.channel == ANY_CHANNEL else one.channel}


def _plainly(troubles: Sequence[str]) -> tuple[str, ...]:
    """Return what a participant is told of workers that do not answer: nothing of their addresses."""
    return ("Not every delivery worker does answer; some lanes may be missing.",) if troubles else ()


def _waits(one: StandingRow, orders: LaneOrders) -> bool:
    """Tell whether an operator let this lane wait: then there is something to resume."""
    order = orders.get(ParticipantId(one.recipient), InterfaceId(one.channel)) or orders.get(
        ParticipantId(one.recipient), ANY_CHANNEL
    )
    return order is not None and order.state is not LaneState.ACTIVE


async def order(visit: Visit) -> Answer:
    """Give an order, as the command does: the same record, the same audit."""
    people = await visit.outside.market.people()
    if isinstance(people, Trouble):
        return Refused(status=HTTPStatus.SERVICE_UNAVAILABLE, text=people.text)
    given = _given(visit, people)
    if isinstance(given, Refused):
        return given
    trouble = await visit.outside.lanes.give(given)
    if trouble is not None:
        return Refused(status=HTTPStatus.SERVICE_UNAVAILABLE, text=trouble.text)
    where = "all channels" if given.channel == ANY_CHANNEL else given.channel
    return Moved(
        to="/lanes",
        note=f"{given.recipient}, {where}: {given.state}. Workers know it within seconds.",
    )


def _given(visit: Visit, people: Mapping[ParticipantId, object]) -> LaneOrder | Refused:
    recipient, state = ParticipantId(visit.given("recipient") or ""), _ORDERS.get(visit.given("order") or "")
    channel = _channel(visit.given("channel"), visit.outside.lanes.channels)
    if recipient not in people:
        return Refused(
            status=HTTPStatus.BAD_REQUEST, text=f"There is no participant {recipient or '(none given)'}."
        )
    if channel is None:
        return Refused(
            status=HTTPStatus.BAD_REQUEST,
            text=f"There is no channel {visit.given('channel') or '(none given)'}.",
        )
    if state is None:
        return Refused(status=HTTPStatus.BAD_REQUEST, text="The order must be pause, disable or resume.")
    return LaneOrder(
        recipient=recipient,
        channel=channel,
        state=state,
        reason=visit.given("reason") or "",
        by=visit.account.name,
        at=visit.outside.clock.now(),
    )


def _channel(name: str | None, channels: Sequence[InterfaceId]) -> InterfaceId | None:
    if name == ALL:
        return ANY_CHANNEL
    found = InterfaceId(name or "")
    return found if found == STATUS_CHANNEL or found in channels else None
