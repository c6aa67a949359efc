"""`dip lane`: let recipients wait, and let them go on. Copies are kept meanwhile, whatever happens to workers."""

import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.request import urlopen

import click

from pipeline import limits, topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.lane_orders import LaneOrderFeed
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.producer import Outgoing, publish_once
from pipeline.adapters.registry import connect
from pipeline.catalogue import load_catalogue
from pipeline.codec import Codec
from pipeline.domain.delivery import stage_of
from pipeline.domain.envelope import AuditRecord, Status
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrder, LaneOrders, LaneState, order_key
from pipeline.domain.participants import ANY_CHANNEL, Participants
from pipeline.domain.times import format_instant
from pipeline.errors import RouterError, SettingsInvalid
from pipeline.operate.stack import located
from pipeline.settings import Settings

_ALL: Final = "all channels"
_CHANNEL_HELP: Final = f"Only this channel, as IF-021 or {STATUS_CHANNEL}. Default: all of the participant's."


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
    """Pause, disable and resume the delivery to recipients.

    A lane is one recipient on one channel. While it waits its copies are parked, for as long as copies are held at
    all (DIP_HOLD_S); calls under way end as they may. Orders are kept in Kafka: restarts and new workers know them.
    """


@lane.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per order.")
def show(*, as_json: bool) -> None:
    """List the orders in force, with who gave them, when and why."""
    with _outside() as (_, _, orders, _):
        rows = [_plain(one) for one in orders]
    for row in rows:
        if as_json:
            click.echo(json.dumps(row))
        else:
            reason = f"  {row['reason']}" if row["reason"] else ""
            click.echo(
                f"{row['recipient']}  {row['channel']:<12}  {row['state']:<8}  {row['at']}  by {row['by']}{reason}"
            )
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
    calls = f"{row['calls']} of {row['calls_max']} calls"
    return f"{row['recipient']}  {row['channel']:<8}  {row['standing']:<10}  {row['parked']:>8} parked  {calls:<15}  {more}"


def _command(name: str, state: LaneState, text: str) -> None:
    @lane.command(name=name, help=text)
    @click.argument("participant")
    @click.option("--channel", help=_CHANNEL_HELP)
    @click.option("--reason", default="", help="Why; the audit and the list tell it.")
    @click.option("--by", default=getpass.getuser, show_default="the user", help="Who orders it.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per change.")
    def order(participant: str, channel: str | None, reason: str, by: str, *, as_json: bool) -> None:
        with _outside() as (settings, codec, orders, people):
            place = (_participant(participant, people), _channel(channel))
            given = LaneOrder(
                recipient=place[0],
                channel=place[1],
                state=state,
                reason=reason,
                by=by,
                at=SystemClock().now(),
            )
            _write(settings, codec, changes_for(given, orders), given)
            _tell(given, as_json=as_json)


_command(
    "pause", LaneState.PAUSED, "Let a lane wait for a while, for work on the endpoint or a drain in order."
)
_command(
    "disable", LaneState.DISABLED, "Let a lane wait until its endpoint is mended and somebody resumes it."
)
_command("resume", LaneState.ACTIVE, "Let a lane go on: carefully, one message first, then 2, 4, 8 ...")


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


def _write(settings: Settings, codec: Codec, changes: tuple[Change, ...], given: LaneOrder) -> None:
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
    channel = _ALL if given.channel == ANY_CHANNEL else given.channel
    click.echo(f"{given.recipient}, {channel}: {given.state}. Workers know it within seconds.")


def _plain(one: LaneOrder) -> dict[str, Any]:
    return {
        "recipient": one.recipient,
        "channel": _ALL if one.channel == ANY_CHANNEL else one.channel,
        "state": one.state,
        "reason": one.reason,
        "by": one.by,
        "at": format_instant(one.at),
    }


def _participant(name: str, people: Participants) -> ParticipantId:
    if ParticipantId(name) not in people:
        raise click.BadParameter(
            f"no participant {name}; `dip participants list` shows who exists", param_hint="PARTICIPANT"
        )
    return ParticipantId(name)


def _channel(name: str | None) -> InterfaceId:
    if name is None:
        return ANY_CHANNEL
    found = STATUS_CHANNEL if name.lower() == STATUS_CHANNEL.lower() else InterfaceId(name.upper())
    if found != STATUS_CHANNEL and found not in load_catalogue(rules=Settings.load().rules_dir).channels:
        raise click.BadParameter(
            f"no channel {name}: write IF-021 or the like, or {STATUS_CHANNEL} for status messages",
            param_hint="--channel",
        )
    return found


@contextmanager
def _outside() -> Iterator[tuple[Settings, Codec, LaneOrders, Participants]]:
    """Connect, and read the orders in force and who exists."""
    settings = located(Settings.load())
    if not settings.schema_registry_url:
        raise SettingsInvalid("SCHEMA_REGISTRY_URL is not set; `dip up` prints the one of the local stack")
    codec = connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=_say)
    orders, people = LaneOrderFeed(settings, codec), ParticipantFeed(settings, codec)
    orders.start()
    people.start()
    try:
        yield settings, codec, orders.current(), people.current()
    finally:
        orders.stop()
        people.stop()


def _say(text: str) -> None:
    click.echo(f"dip: {text}", err=True)
