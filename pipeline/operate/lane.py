"""`dip lane`: let recipients wait, let them go on, and say how fast. Copies are kept, whatever happens to workers."""

import getpass
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import click

from pipeline import limits, topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.producer import Outgoing, publish_once
from pipeline.codec import Codec
from pipeline.domain.delivery import stage_of
from pipeline.domain.envelope import AuditRecord, Status
from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState, order_key
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.domain.times import format_instant
from pipeline.errors import RouterError
from pipeline.operate.lane_limit import limit, limits_line, plain_limits
from pipeline.operate.lane_outside import ALL_CHANNELS, CHANNEL_HELP, channel_of, outside, participant_of
from pipeline.settings import Settings


class WorkerUnreachable(RouterError):
    """Nothing that is a delivery worker answered. The operator checks the address and that the worker runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one key of `dip.lanes`: an order, or None that takes the last one back."""

    recipient: ParticipantId
    channel: InterfaceId
    order: LaneOrder | None


@click.group()
def lane() -> None:
    """Pause, disable, resume and limit the delivery to recipients.

    A lane is one recipient on one channel. While it waits its copies are parked, for as long as copies are held at
    all (DIP_HOLD_S); calls under way end as they may. Orders are kept in Kafka: restarts and new workers know them.
    """


@lane.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per order.")
def show(*, as_json: bool) -> None:
    """List the orders and limits in force, with who gave them, when and why."""
    with outside() as (_, _, orders, _):
        rows = [_plain(one) for one in orders]
        limited = [plain_limits(one) for one in orders.limits()]
    for row in rows:
        if as_json:
            click.echo(json.dumps(row))
        else:
            reason = f"  {row['reason']}" if row["reason"] else ""
            click.echo(
                f"{row['recipient']}  {row['channel']:<12}  {row['state']:<8}  {row['at']}  by {row['by']}{reason}"
            )
    for row in limited:
        click.echo(json.dumps(row) if as_json else limits_line(row))
    if not rows and not as_json:
        click.echo("no lane waits by order")


@lane.command()
@click.argument("worker")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per lane.")
def status(worker: str, *, as_json: bool) -> None:
    """Show how the lanes of a delivery worker stand; WORKER is the address of its health pages, http://host:port."""
    url = f"{worker.rstrip('/')}/lanes/"
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(
            "write http://host:port (DIP_WORKER_HOST, DIP_WORKER_PORT)", param_hint="WORKER"
        )
    try:
        with urlopen(url, timeout=limits.OPERATOR_CALL_S_MAX) as answer:  # noqa: S310  # http(s) only, checked above
            page = json.load(answer)
    except (OSError, ValueError) as error:
        raise WorkerUnreachable(f"no delivery worker answers at {url}: {error}") from None
    for row in page["lanes"]:
        click.echo(json.dumps(row) if as_json else _standing_line(row))
    if not page["lanes"] and not as_json:
        click.echo("no lane has anything to do, or has had")


def _standing_line(row: Mapping[str, Any]) -> str:
    """Return one lane as a line of the table."""
    more = row["order"] or (
        f"failure {row['failures']}, next try {row['next_try_at']}" if row["next_try_at"] else ""
    )
    if row["aside"]:
        more = f"{more}  {row['aside']} tried alone: others are taken".strip()
    calls = f"{row['calls']} of {row['calls_max']} calls"
    return f"{row['recipient']}  {row['channel']:<8}  {row['standing']:<10}  {row['parked']:>8} parked  {calls:<15}  {more}"


lane.add_command(limit)


def _command(name: str, state: LaneState, text: str) -> None:
    @lane.command(name=name, help=text)
    @click.argument("participant")
    @click.option("--channel", help=CHANNEL_HELP)
    @click.option("--reason", default="", help="Why; the audit and the list tell it.")
    @click.option("--by", default=getpass.getuser, show_default="the user", help="Who orders it.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per change.")
    def order(participant: str, channel: str | None, reason: str, by: str, *, as_json: bool) -> None:
        with outside() as (settings, codec, orders, people):
            place = (participant_of(participant, people), channel_of(channel))
            given = LaneOrder(
                recipient=place[0],
                channel=place[1],
                state=state,
                reason=reason,
                by=by,
                at=SystemClock().now(),
            )
            write_order(settings, codec, changes_for(given, orders), given)
            _tell(given, as_json=as_json)


_command(
    "pause", LaneState.PAUSED, "Let a lane wait for a while, for work on the endpoint or a drain in order."
)
_command(
    "disable", LaneState.DISABLED, "Let a lane wait until its endpoint is mended and somebody resumes it."
)
_command(
    "resume", LaneState.ACTIVE, "Let a lane go on, now and carefully: one message first, then 2, 4, 8 ..."
)


def changes_for(given: LaneOrder, orders: LaneOrders) -> tuple[Change, ...]:
    """Return what to write so that an order holds. Pure.

    An order to all channels takes back what was said of single ones. "Active" is only kept where it is an exception:
    one channel goes on while its participant waits.
    """
    changes = []
    if given.channel == ANY_CHANNEL:
        changes = [
            Change(recipient=one.recipient, channel=one.channel, order=None)
            for one in orders
            if one.recipient == given.recipient and one.channel != ANY_CHANNEL
        ]
    exception = given.channel != ANY_CHANNEL and orders.get(given.recipient, ANY_CHANNEL) is not None
    kept = given if given.state is not LaneState.ACTIVE or exception else None
    return (*changes, Change(recipient=given.recipient, channel=given.channel, order=kept))


def write_order(settings: Settings, codec: Codec, changes: tuple[Change, ...], given: LaneOrder) -> None:
    """Make an order and its audit record durable. Raises BrokerUnavailable; the order may then be given again."""
    records = [
        Outgoing(
            topic=topics.LANES,
            key=order_key(one.recipient, one.channel),
            value=None if one.order is None else codec.encode_lane_order(one.order),
        )
        for one in changes
    ]
    records.append(Outgoing(topic=topics.AUDIT, key=given.key, value=codec.encode_audit(_audit(given))))
    publish_once(settings, records, "the order could not be written")


def _audit(given: LaneOrder) -> AuditRecord:
    return AuditRecord(
        at=given.at,
        stage=stage_of(given.channel),
        status=Status.OK if given.state is LaneState.ACTIVE else Status.PAUSED,
        reason=f"lane {given.text}",
        recipient=given.recipient,
        channel=given.channel,
    )


def _tell(given: LaneOrder, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_plain(given)))
        return
    channel = ALL_CHANNELS if given.channel == ANY_CHANNEL else given.channel
    click.echo(f"{given.recipient}, {channel}: {given.state}. Workers know it within seconds.")


def _plain(one: LaneOrder) -> dict[str, Any]:
    return {
        "recipient": one.recipient,
        "channel": ALL_CHANNELS if one.channel == ANY_CHANNEL else one.channel,
        "state": one.state,
        "reason": one.reason,
        "by": one.by,
        "at": format_instant(one.at),
    }
