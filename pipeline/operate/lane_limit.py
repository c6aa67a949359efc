"""`dip lane limit`: say how fast a recipient may be served."""

import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import click

from pipeline import topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.producer import Outgoing, publish_once
from pipeline.codec import Codec
from pipeline.domain.delivery import stage_of
from pipeline.domain.envelope import AuditRecord, Status
from pipeline.domain.lane_limits import ANY_RATES, LaneLimits, Rates
from pipeline.domain.lane_orders import LaneOrders
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.domain.times import format_instant
from pipeline.limits import CALLS_PER_MIN_MAX, CATCH_UP_PER_S_MAX
from pipeline.operate.lane_outside import ALL_CHANNELS, CHANNEL_HELP, channel_of, outside, participant_of
from pipeline.settings import Settings

_CALLS_AT_A_TIME_MAX = 1_000


class Rate(click.FloatRange):
    """A number above 0; `nan` is in every range for Python, and no rate."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        rate = super().convert(value, param, ctx)
        if not isfinite(rate):
            self.fail(f"{value} is no rate", param, ctx)
        return float(rate)


@click.command()
@click.argument("participant")
@click.option("--channel", help=CHANNEL_HELP)
@click.option(
    "--calls-per-min",
    type=Rate(0, CALLS_PER_MIN_MAX, min_open=True),
    help="POSTs a minute; its own WebHook-Allowed-Rate counts where it is lower.",
)
@click.option(
    "--catch-up-per-s",
    type=Rate(0, CATCH_UP_PER_S_MAX, min_open=True),
    help="Parked copies a second. Below its traffic a backlog only grows.",
)
@click.option(
    "--calls-at-a-time", "calls_max", type=click.IntRange(1, _CALLS_AT_A_TIME_MAX), help="Calls under way."
)
@click.option("--none", "lifted", is_flag=True, help="Lift the limits of this channel, or of all of them.")
@click.option("--reason", default="", help="Why; the audit and the list tell it.")
@click.option("--by", default=getpass.getuser, show_default="the user", help="Who orders it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def limit(
    participant: str,
    channel: str | None,
    reason: str,
    by: str,
    *,
    lifted: bool,
    as_json: bool,
    **rates: Any,
) -> None:
    """Say how fast a recipient may be served: it replaces what was said before, of the same channel or all of them.

    A copy that is held back burns no attempt and loses nothing. What is not named is limited by the settings
    (DIP_LANE_CALLS_PER_MIN, DIP_LANE_CATCH_UP_PER_S, DIP_LANE_IN_FLIGHT_MAX) only.
    """
    wanted = Rates(**rates)
    if lifted == (wanted != ANY_RATES):
        raise click.UsageError("name at least one limit, or --none to lift them: --catch-up-per-s 500")
    with outside() as (settings, codec, orders, people):
        given = LaneLimits(
            recipient=participant_of(participant, people),
            channel=channel_of(channel),
            rates=wanted,
            reason=reason,
            by=by,
            at=SystemClock().now(),
        )
        _write(settings, codec, given, outweighed(given, orders))
    if as_json:
        click.echo(json.dumps(plain_limits(given)))
    else:
        click.echo(f"{limits_line(plain_limits(given))}. Workers know it within seconds.")


def outweighed(given: LaneLimits, orders: LaneOrders) -> tuple[LaneLimits, ...]:
    """Return the words on single channels that one on all of them takes back. Pure."""
    if given.channel != ANY_CHANNEL:
        return ()
    return tuple(
        one for one in orders.limits() if one.recipient == given.recipient and one.channel != ANY_CHANNEL
    )


def plain_limits(one: LaneLimits) -> dict[str, Any]:
    """Return limits as they are shown."""
    return {
        "recipient": one.recipient,
        "channel": ALL_CHANNELS if one.channel == ANY_CHANNEL else one.channel,
        "limits": asdict(one.rates),
        "reason": one.reason,
        "by": one.by,
        "at": format_instant(one.at),
    }


def limits_line(row: Mapping[str, Any]) -> str:
    """Return limits as a line of the list."""
    reason = f"  {row['reason']}" if row["reason"] else ""
    text = Rates(**row["limits"]).text
    return f"{row['recipient']}  {row['channel']:<12}  {text}  {row['at']}  by {row['by']}{reason}"


def _write(settings: Settings, codec: Codec, given: LaneLimits, former: Sequence[LaneLimits]) -> None:
    value = None if given.rates == ANY_RATES else codec.encode_lane_limits(given)
    audit = AuditRecord(
        at=given.at,
        stage=stage_of(given.channel),
        status=Status.OK,
        reason=f"lane limits: {given.text}",
        recipient=given.recipient,
        channel=given.channel,
    )
    records = [
        *(Outgoing(topic=topics.LANES, key=one.key, value=None) for one in former),
        Outgoing(topic=topics.LANES, key=given.key, value=value),
        Outgoing(topic=topics.AUDIT, key=given.key, value=codec.encode_audit(audit)),
    ]
    publish_once(settings, records, "the limits could not be written")
