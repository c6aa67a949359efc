"""What the commands about lanes share: the connection to the outside, and the names of participants and channels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from pipeline.adapters.lane_orders import LaneOrderFeed
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.registry import connect
from pipeline.catalogue import load_catalogue
from pipeline.codec import Codec
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrders
from pipeline.domain.participants import ANY_CHANNEL, Participants
from pipeline.operate.stack import located
from pipeline.settings import Settings

ALL_CHANNELS: Final = "all channels"
CHANNEL_HELP: Final = f"Only this channel, as IF-021 or {STATUS_CHANNEL}. Default: all of the participant's."


def participant_of(name: str, people: Participants) -> ParticipantId:
    """Return a participant that exists; click.BadParameter for another."""
    if ParticipantId(name) not in people:
        raise click.BadParameter(
            f"no participant {name}; `dip participants list` shows who exists", param_hint="PARTICIPANT"
        )
    return ParticipantId(name)


def channel_of(name: str | None) -> InterfaceId:
    """Return a channel that exists, all of them for None; click.BadParameter for another."""
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
def outside() -> Iterator[tuple[Settings, Codec, LaneOrders, Participants]]:
    """Connect, and read the orders in force and who exists."""
    settings = located(Settings.load())
    settings.require("schema_registry_url")
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
