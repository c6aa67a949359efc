"""`dip reset KIND`: have stopped workers go on elsewhere in their topics; make the journal's index anew."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import click

from pipeline import topics
from pipeline.adapters.group_offsets import EARLIEST, LATEST, GroupOffsets
from pipeline.adapters.topics import ensure_topics
from pipeline.domain.archive import Place
from pipeline.domain.resetting import Standing, objections
from pipeline.errors import RouterError
from pipeline.openapi.topic_users import USERS
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.operate.stack import located
from pipeline.operate.topics import configured_specs
from pipeline.settings import Settings

KINDS: Final = ("router", "delivery", "journal")
_REPORTED: Final = (
    topics.DEAD_LETTER_VALIDATION,
    topics.DEAD_LETTER_ADDRESSING,
    topics.DEAD_LETTER_DELIVERY,
)
_INDEX: Final = (topics.ENTRIES_CHANGELOG, topics.COPIES_CHANGELOG)
_LOOK_S: Final = 1.0

AGAIN: Final[Mapping[str, Mapping[str, str]]] = {
    "router": {
        topics.VALIDATED: "their copies are written and delivered again",
        topics.DEAD_LETTER_VALIDATION: "their senders are told again",
        topics.DEAD_LETTER_ADDRESSING: "their senders are told again",
        topics.DEAD_LETTER_DELIVERY: "their senders are told again",
    },
    "delivery": {
        topics.OUTBOUND: "they are delivered again, with the same delivery ids",
        topics.STATUS: "they are delivered again, with the same delivery ids",
    },
    "journal": {topics.AUDIT: "consumption replays (IF-015) among them are answered again"},
}
"""What others notice when workers of a kind work on records again. Of the rest nobody notices anything: what
`dip.inbound` repeats is recognised, appointments and the journal's index are the same afterwards."""


class ResetRefused(RouterError):
    """The reset would do what was not asked for, or workers still run. The text says which option or step is missing."""


class _Target(click.ParamType):
    """`earliest`, `latest`, or a time."""

    name = f"{EARLIEST}|{LATEST}|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | str:
        return value if value in {EARLIEST, LATEST} else Instant().convert(value, param, ctx)


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--to", "target", required=True, type=_Target(), help=f"Where to go on; a time is {DAY_FORMS}.")
@click.option("--topic", "names", multiple=True, help="Only this topic, of those that the workers read.")
@click.option("--tables", is_flag=True, help="Journal only: make its index anew (with --to earliest).")
@click.option("--again", is_flag=True, help="Accept that others notice what is worked on again.")
@click.option("--skip", is_flag=True, help="Accept that records are never worked on.")
@click.option("--wait", "wait_s", default=0.0, help="Seconds to wait for the workers to have gone.")
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def reset(
    kind: str,
    *,
    target: datetime | str,
    names: tuple[str, ...],
    tables: bool,
    again: bool,
    skip: bool,
    wait_s: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Have the workers of one kind go on elsewhere in their topics. They must be stopped.

    For rehearsals, for topics that were made anew, and for the journal's index, which can be made again from the audit.
    Messages are sent again one by one with `dip replay`, which delivers nothing twice.
    """
    settings = located(Settings.load())
    _check_tables(kind, target, names, tables=tables)
    offsets = GroupOffsets(settings, f"dip-{kind}")
    try:
        _await_nobody(offsets, kind, wait_s)
        standings = tuple(_standings(offsets, _chosen(kind, names), target))
        against = list(objections(standings, AGAIN[kind], again=again, skip=skip))
        if yes and not against:
            _do(offsets, settings, standings, tables=tables)
    finally:
        offsets.close()
    _tell(kind, standings, against, tables=tables, done=yes and not against, as_json=as_json)
    if against and yes:
        raise ResetRefused("nothing was changed: " + "; ".join(against))


def _check_tables(kind: str, target: datetime | str, names: Sequence[str], *, tables: bool) -> None:
    if not tables:
        return
    if kind != "journal":
        raise ResetRefused(
            f"--tables: what the tables of {kind} hold is nowhere else (appointments, accepted references, parked copies)"
        )
    if target != EARLIEST or names:
        raise ResetRefused(
            "--tables: an index made from a part of the topics has gaps; say --to earliest, of all topics"
        )


def _chosen(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    all_ = (*USERS[kind].inputs, *(_REPORTED if kind == "router" else ()))
    for name in names:
        if name not in all_:
            raise ResetRefused(f"--topic {name}: {kind} reads {', '.join(all_)}")
    return tuple(names) or all_


def _await_nobody(offsets: GroupOffsets, kind: str, wait_s: float) -> None:
    end_s = time.monotonic() + wait_s
    while offsets.busy():
        if time.monotonic() >= end_s:
            raise ResetRefused(
                f"workers of dip-{kind} are running, or left less than their session time ago: stop them all, or --wait"
            )
        time.sleep(_LOOK_S)


def _standings(offsets: GroupOffsets, names: Sequence[str], target: datetime | str) -> Iterator[Standing]:
    for (topic, partition), committed in sorted(offsets.committed(names).items()):
        low, high = offsets.extent((topic, partition))
        yield Standing(
            topic=topic,
            partition=partition,
            committed=committed,
            low=low,
            high=high,
            target=_place(offsets, (topic, partition), target, low=low, high=high),
        )


def _place(offsets: GroupOffsets, place: Place, target: datetime | str, *, low: int, high: int) -> int:
    if isinstance(target, datetime):
        return offsets.at(place, target)
    return low if target == EARLIEST else high


def _do(offsets: GroupOffsets, settings: Settings, standings: Sequence[Standing], *, tables: bool) -> None:
    if tables:
        # First the offsets: read from the beginning, an old index stays right; an empty one with old offsets has gaps.
        offsets.set({(one.topic, one.partition): one.target for one in standings})
        offsets.forget(_INDEX)
        ensure_topics(settings.kafka(), configured_specs(settings))
        return
    offsets.set({(one.topic, one.partition): one.target for one in standings if one.moves})


def _tell(
    kind: str,
    standings: Sequence[Standing],
    against: Sequence[str],
    *,
    tables: bool,
    done: bool,
    as_json: bool,
) -> None:
    if as_json:
        fields = ("topic", "partition", "committed", "low", "high", "target", "again", "skipped")
        rows = [{name: getattr(one, name) for name in fields} for one in standings]
        told = {"kind": kind, "done": done, "tables": tables, "objections": list(against), "partitions": rows}
        click.echo(json.dumps(told))
        return
    for one in standings:
        if one.moves:
            was = "nowhere" if one.committed is None else one.committed
            click.echo(
                f"{one.topic}[{one.partition}]: {was} -> {one.target}, {one.again} again, {one.skipped} skipped"
            )
    if tables:
        click.echo(f"{' and '.join(_INDEX)} are made anew")
    for text in against:
        click.echo(f"objection: {text}")
    moved = sum(one.moves for one in standings)
    if done:
        click.echo(f"done: {moved} partitions; start the workers")
    elif not against:
        click.echo(f"{moved} partitions would move; --yes does it")
