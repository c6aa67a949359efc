"""`dip archive restore`: from the archive back onto empty topics."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import click

from pipeline import limits, topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.registry import Registry
from pipeline.adapters.restore_target import Renumbering, TopicTarget, committed
from pipeline.adapters.topic_keeping import BrokerTopics
from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.ports import Storage
from pipeline.archive.reading import Span, manifests
from pipeline.archive.restoring import Restore, Restored
from pipeline.operate.archive_process import AGED, storage_of
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.operate.stack import located
from pipeline.settings import Settings

_WORKERS: Final = {
    "dip-router": (
        topics.VALIDATED,
        topics.DEAD_LETTER_VALIDATION,
        topics.DEAD_LETTER_ADDRESSING,
        topics.DEAD_LETTER_DELIVERY,
    ),
    "dip-delivery": (topics.OUTBOUND, topics.STATUS),
}
"""Who would work on restored records again. Not registration: the table of appointments is made from it."""


@click.command()
@click.option(
    "--topic",
    "chosen",
    multiple=True,
    type=click.Choice(topics.ARCHIVED),
    help="Only this topic; may be repeated. Default: all that are archived.",
)
@click.option("--since", type=Instant(), help=f"Only records since: {DAY_FORMS}.")
@click.option("--until", type=Instant(), help="Only records before.")
@click.option(
    "--process",
    is_flag=True,
    help="Let the workers work on the restored records: messages are addressed, copies are delivered AGAIN.",
)
@click.option(
    "--hold", is_flag=True, help="Lift the topics' retention first: they would delete old records at once."
)
@click.option(
    "--resume", is_flag=True, help="Go on with a restore that was interrupted; give the same options."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def restore(
    chosen: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    *,
    process: bool,
    hold: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Put archived records back onto empty topics: same partitions, order, times, keys, headers and values.

    Stop the workers before, and create the topics (`dip topics create`). Without --process the workers begin behind
    what was restored: nothing is addressed or delivered a second time. Standing data (participants, lanes, loaded
    appointments) is always taken up again.
    """
    settings = located(Settings.load())
    settings.require("schema_registry_url")
    names = chosen or topics.ARCHIVED
    storage, span = storage_of(settings), Span(topics=names, since=since, until=until)
    if hold:
        _hold(settings, names)
    else:
        _refuse_what_would_vanish(storage, span)
    run = Restore(
        storage=storage,
        target=TopicTarget(settings, names),
        span=span,
        renumbered=Renumbering(Registry(settings.schema_registry_url)),
        resume=resume,
    )
    figures = _told(run)
    groups = {} if process else _groups(names)
    committed(settings, groups)
    if as_json:
        click.echo(json.dumps({**asdict(figures), "behind": sorted(groups)}))
        return
    click.echo(f"{figures.records:,} records restored from {figures.segments:,} segments")
    if figures.there:
        click.echo(f"{figures.there:,} were there from the run before")
    if figures.pruned:
        click.echo(f"{figures.pruned:,} were deleted from the archive by rule and cannot be restored")
    if groups:
        click.echo(f"{', '.join(sorted(groups))} will begin behind them")


def _told(run: Restore) -> Restored:
    figures = run.figures
    for figures in run.run():
        click.echo(f"{figures.records:,} records, {figures.segments:,} segments", err=True)
    return figures


def _groups(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = {group: tuple(one for one in their if one in names) for group, their in _WORKERS.items()}
    return {group: their for group, their in found.items() if their}


def _each_aged(names: Sequence[str], do: Callable[[str], Any]) -> None:
    for name in names:
        if name in AGED:
            do(name)


def _hold(settings: Settings, names: Sequence[str]) -> None:
    broker = BrokerTopics(settings)
    try:
        _each_aged(names, broker.hold)
    finally:
        broker.close()
    click.echo(
        f"retention.ms of the restored topics is {topics.FOREVER_MS} now; set it back with kafka-configs to"
        f" {topics.ONLINE_MS} when the old records are not needed any more",
        err=True,
    )


def _refuse_what_would_vanish(storage: Storage, span: Span) -> None:
    """Say in time that the broker would delete old records as soon as they are written."""
    oldest = SystemClock().now() - timedelta(days=limits.RETENTION_DAYS)
    before = oldest.timestamp() * 1000
    for manifest in manifests(storage):
        if manifest.topic in AGED and span.meets(manifest) and manifest.first_ms < before:
            if span.since is not None and span.since >= oldest:
                continue
            raise ArchiveUnfit(
                f"{manifest.topic} deletes records of more than {limits.RETENTION_DAYS} days, and the archive has older"
                f" ones: give --since {oldest.date().isoformat()}, or --hold to lift the topics' retention"
            )
