"""`dip topics create|check|list`: the topics of `pipeline/topics.py` on the configured broker."""

import json
import sys

import click

from pipeline.adapters.broker_settings import advice, broker_settings
from pipeline.adapters.topics import check_topics, ensure_topics
from pipeline.errors import SettingsInvalid
from pipeline.operate.stack import located
from pipeline.settings import Settings
from pipeline.topics import TopicSpec, topic_specs


def configured_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """Return the topics with the configured partition count, replication and min ISR."""
    try:
        return topic_specs(
            partitions=settings.topic_partitions,
            replication=settings.topic_replication,
            min_isr=settings.topic_min_isr,
        )
    except ValueError as error:
        raise SettingsInvalid(
            f"DIP_TOPIC_PARTITIONS, DIP_TOPIC_REPLICATION, DIP_TOPIC_MIN_ISR: {error}"
        ) from None


_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.group()
def topics() -> None:
    """Create and check the topics; nothing that exists is ever changed."""


@topics.command()
@_as_json
def create(*, as_json: bool) -> None:
    """Create what is missing and verify the rest; a difference is an error that says what to do."""
    settings = located(Settings.load())
    done = ensure_topics(settings.kafka(), configured_specs(settings))
    if as_json:
        click.echo(json.dumps({"created": done.created, "existing": done.existing}))
        return
    for name in done.created:
        click.echo(f"created  {name}")
    click.echo(f"{len(done.created)} created, {len(done.existing)} were there and are as they must be")


@topics.command()
@_as_json
def check(*, as_json: bool) -> None:
    """Compare the broker with the code; exit code 1 on any difference of topics.

    Settings of the brokers that make records wait when workers come and go are named as well, and are no error.
    """
    settings = located(Settings.load())
    wrong = check_topics(settings.kafka(), configured_specs(settings))
    better = advice(broker_settings(settings.kafka()))
    if as_json:
        fields = ("topic", "what", "found", "expected", "advice")
        rows = [{name: getattr(one, name) for name in fields} for one in wrong]
        click.echo(json.dumps({"ok": not wrong, "differences": rows, "brokers": better}))
    else:
        for one in wrong:
            click.echo(str(one))
        for line in better:
            click.echo(f"brokers: {line}")
        click.echo(f"{len(wrong)} differences" if wrong else "all topics are as they must be")
    sys.exit(1 if wrong else 0)


@topics.command("list")
@_as_json
def list_(*, as_json: bool) -> None:
    """Print the topics as the code wants them, with the reason for each; needs no broker."""
    specs = configured_specs(Settings.load())
    if as_json:
        rows = [
            {"name": s.name, "partitions": s.partitions, "why": s.why, "config": s.config()} for s in specs
        ]
        click.echo(json.dumps({"topics": rows}))
        return
    for spec in specs:
        click.echo(f"{spec.name:35} {spec.partitions:3} partitions  {spec.cleanup:15} {spec.why}")
