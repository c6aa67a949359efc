"""`dip example`: prints a verified example message; needs no broker."""

import sys

import click
import orjson

from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.catalogue.catalogue import Pair
from pipeline.catalogue.examples import example as message_of
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.settings import Settings


@click.command()
@click.argument("interface", required=False)
@click.argument("event", required=False)
@click.option("--egress", is_flag=True, help="As a recipient gets it: with D0, and A0 filled.")
@click.option("--pretty", is_flag=True, help="Indented, for reading.")
@click.option("--list", "listed", is_flag=True, help="List interfaces and events instead.")
def example(interface: str | None, event: str | None, *, egress: bool, pretty: bool, listed: bool) -> None:
    """Print an example of INTERFACE and EVENT: an array with one message, as a POST takes it.

    All values are made up, and every example is valid. Both names may be in any letter case and the event in
    its brackets; the event may be left out where the interface has only one.
    """
    catalogue = load_catalogue(rules=Settings.load().rules_dir)
    if listed:
        for pair in catalogue.pairs:
            click.echo(f"{pair[0]}\t{pair[1]}\t{catalogue.channels[pair[0]].short_name}")
        return
    pair = _pair(catalogue, interface, event)
    option = orjson.OPT_INDENT_2 if pretty or sys.stdout.isatty() else 0
    click.echo(orjson.dumps([message_of(catalogue, *pair, egress=egress)], option=option))


def _pair(catalogue: Catalogue, interface: str | None, event: str | None) -> Pair:
    """Find the pair that a person means; a UsageError tells which there are."""
    if interface is None:
        raise click.UsageError("name an interface, as in `dip example IF-021`; --list shows all")
    channel = catalogue.channels.get(InterfaceId(interface.upper()))
    if channel is None:
        raise click.UsageError(f"{interface} is no interface with a schema; --list shows all")
    if event is None and len(channel.events) == 1:
        return channel.interface, channel.events[0]
    wanted = (event or "").removeprefix("[").removesuffix("]").lower()
    for known in channel.events:
        if known.lower() == wanted:
            return channel.interface, EventCode(known)
    problem = "name an event" if event is None else f"{channel.interface} has no event {event}"
    raise click.UsageError(f"{problem}: {', '.join(channel.events)}")
