"""`dip notices`: which endpoints fail, since when, and what was told of them and of certificates."""

import json
from typing import Any

import click

from pipeline.adapters.notices import NoticeFeed
from pipeline.adapters.registry import connect
from pipeline.domain.notices import Told
from pipeline.domain.times import format_instant
from pipeline.operate.stack import located
from pipeline.settings import Settings


@click.command()
@click.option("--failing", is_flag=True, help="Only endpoints that fail now.")
@click.option("--recipient", help="Only this DIP ID.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def notices(recipient: str | None, *, failing: bool, as_json: bool) -> None:
    """List endpoints that fail or have failed, and what was told of them and of certificates, the latest last.

    Participants were told on their status webhook; the audit says of each notice whether it could be sent.
    """
    found = [
        one for one in told() if (not failing or one.since is not None) and recipient in {None, one.recipient}
    ]
    for one in found:
        row = plain(one)
        click.echo(json.dumps(row) if as_json else _line(row))
    if not found and not as_json:
        click.echo("nothing was told")


def told() -> list[Told]:
    """Read the topic to its present end. Raises BrokerUnavailable, TopicsInvalid."""
    settings = located(Settings.load())
    settings.require("schema_registry_url")
    codec = connect(
        settings.schema_registry_url,
        wait_s=settings.start_wait_s,
        say=lambda text: click.echo(f"dip: {text}", err=True),
    )
    feed = NoticeFeed(settings, codec)
    feed.start()
    try:
        return sorted(feed.current(), key=lambda one: [each.at.timestamp() for each in one.told[-1:]])
    finally:
        feed.stop()


def plain(one: Told) -> dict[str, Any]:
    """Return what is remembered as a row."""
    return {
        "recipient": one.recipient,
        "channel": one.channel,
        "subject": one.subject,
        "failing_since": one.since and format_instant(one.since),
        "told": [{"what": each.what, "at": format_instant(each.at)} for each in one.told],
    }


def _line(row: dict[str, Any]) -> str:
    state = f"failing since {row['failing_since']}" if row["failing_since"] else "-"
    said = ", ".join(f"{each['what']} at {each['at']}" for each in row["told"]) or "nothing yet"
    return f"{row['recipient']}  {row['channel']:<8}  {row['subject'][:40]:<40}  {state}\n    told: {said}"
