"""`dip replay`: messages of a time through the present rules; what differs first, then, if told to, what is missing."""

import getpass
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from pipeline import topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.dead_letters import Requeuer
from pipeline.adapters.histories import decode
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.registry import connect
from pipeline.catalogue import load_catalogue
from pipeline.codec import Codec
from pipeline.domain.appointments import History
from pipeline.domain.identifiers import Mpan
from pipeline.domain.participants import Participants
from pipeline.domain.replaying import Comparison, Into, Wish
from pipeline.localstack import Progress
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.operate.replay_work import JUDGED_BY_VALIDATION, SOURCES, Choice, Replay, Rules
from pipeline.operate.stack import located, teller
from pipeline.operate.table_view import TableView
from pipeline.settings import Settings


@click.command()
@click.option(
    "--from",
    "topic",
    type=click.Choice(SOURCES),
    default=topics.VALIDATED,
    show_default=True,
    help="Whose messages.",
)
@click.option("--archive", is_flag=True, help="What the archive has of that topic, not what is online.")
@click.option("--since", type=Instant(), required=True, help=f"Only records since: {DAY_FORMS}.")
@click.option("--until", type=Instant(), help="Only records before; default: now.")
@click.option("--sender", help="Only messages of this DIP ID.")
@click.option("--channel", help="Only this channel, as IF-021.")
@click.option("--mpan", help="Only this MPAN.")
@click.option("--transaction", help="Only this transaction id.")
@click.option(
    "--into",
    multiple=True,
    type=click.Choice([one.value for one in Into]),
    help="Put only into this stage; may be repeated. Default: addressing and delivery, as each message needs.",
)
@click.option("--go", is_flag=True, help="Put it. Without, only say what differs and what would be put.")
@click.option(
    "--deliver-again",
    is_flag=True,
    help="Send every recipient its copy again, marked as replay. Without, nobody gets a second one.",
)
@click.option(
    "--untouched",
    is_flag=True,
    help="Take messages that the audit knows nothing of for never addressed: after a restore without audit.",
)
@click.option(
    "--rate", default=100.0, show_default=True, type=click.FloatRange(min=0.01), help="Messages a second."
)
@click.option("--name", help="Name of this replay; the same name goes on. Default: made from the options.")
@click.option(
    "--by", default=getpass.getuser, show_default="the user", help="Who does it; the audit tells it."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def replay(
    *,
    go: bool,
    deliver_again: bool,
    untouched: bool,
    into: tuple[str, ...],
    rate: float,
    name: str | None,
    by: str,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Run messages of a time through the present rules, and put what is missing.

    First it says what would be addressed differently now. With --go, messages that were never addressed and could be
    now go to addressing, and recipients that got no copy get one. What is put is marked in headers and audit; given
    again, the command goes on where it ended. Nothing is delivered a second time without --deliver-again.
    """
    if chosen["topic"] in JUDGED_BY_VALIDATION:
        if set(into) - {Into.VALIDATION}:
            raise click.UsageError(
                f"--from {chosen['topic']}: only --into validation can tell which are good"
            )
        into = (Into.VALIDATION,)
    if deliver_again and Into.VALIDATION in into:
        raise click.UsageError("--deliver-again and validation: it lets no message pass twice")
    settings = located(Settings.load())
    settings.require("schema_registry_url")
    clock = SystemClock()
    until = chosen.pop("until") or clock.now()
    wish = Wish(
        name=name or _name(chosen, into, deliver_again=deliver_again),
        into=frozenset(Into(one) for one in into),
        deliver_again=deliver_again,
        untouched=untouched,
    )
    codec = connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=_say)
    with _rules(settings, codec) as rules:
        run = Replay(
            settings=settings, codec=codec, rules=rules, choice=Choice(until=until, **chosen), wish=wish
        )
        # What an interrupted replay had begun to write is committed or gone before the audit is read.
        requeuer = Requeuer(settings, "replay") if go else None
        comparison = run.compare(_reading)
        if not as_json:
            _tell(comparison, wish, rate)
        put = 0
        if requeuer is not None and comparison.going:
            put = run.put(requeuer, by=by, rate_per_s=rate, now=clock.now, say=_putting(comparison.going))
    if as_json:
        click.echo(json.dumps({"name": wish.name, "put": put, **comparison.plain()}))
    elif put:
        click.echo(f"{put} messages put")
    elif comparison.going:
        click.echo("this was a dry run; --go puts it")


def _name(chosen: dict[str, Any], into: tuple[str, ...], *, deliver_again: bool) -> str:
    """Name a replay by what it is about, so that the same command goes on with it. `until` moves and is no part."""
    text = repr((sorted(chosen.items()), sorted(into), deliver_again))
    return f"r-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@contextmanager
def _rules(settings: Settings, codec: Codec) -> Iterator[Rules]:
    """Lend the rules: catalogue, participants, and a copy of the table of appointments."""
    with TableView(settings, table="appointments", say=_say) as view:

        def history(mpan: Mpan) -> History | None:
            raw = view.get(mpan.encode())
            return None if raw is None else decode(raw)

        yield Rules(
            catalogue=load_catalogue(rules=settings.rules_dir),
            participants=_participants(settings, codec),
            history=history,
        )


def _participants(settings: Settings, codec: Codec) -> Participants:
    feed = ParticipantFeed(settings, codec)
    feed.start()
    try:
        return feed.current()
    finally:
        feed.stop()


def _tell(comparison: Comparison, wish: Wish, rate: float) -> None:
    click.echo(f"replay {wish.name}: {comparison.messages:,} messages")
    if comparison.unreadable:
        click.echo(f"{comparison.unreadable:>9,}  cannot be read as messages")
    for fate, count in comparison.fates.most_common():
        click.echo(f"{count:>9,}  {fate}")
    for code, count in comparison.codes.most_common():
        click.echo(f"{'':>9}  {code}: {count:,}")
    for title, counts in (("would gain", comparison.gained), ("would lose", comparison.lost)):
        for participant, count in counts.most_common():
            click.echo(f"{'':>9}  {participant} {title} {count:,}")
    for one in comparison.examples:
        click.echo(f"{'':>9}  as {one['transaction_id']}: gains {one['gained']}, loses {one['lost']}")
    if comparison.going:
        seconds = comparison.going / rate
        click.echo(f"{comparison.copies:,} copies of {comparison.going:,} messages, in {seconds:.0f} s")


def _say(text: str) -> None:
    click.echo(f"dip: {text}", err=True)


def _reading(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{count:,} messages read", err=True, nl=False)


def _putting(total: int) -> Callable[[int], None]:
    tell = teller()
    return lambda done: tell(Progress(what="messages put", done=done, total=max(total, done)))
