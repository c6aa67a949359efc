"""`dip deadletter list|show|requeue`: what was refused or failed, where, when and why; and sending it back."""

import getpass
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import click

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.dead_letters import STAGES, Requeuer, letter_at, letters
from pipeline.adapters.registry import connect
from pipeline.codec import Codec
from pipeline.domain.dead_letters import Letter, Place, Return, Wanted
from pipeline.errors import SettingsInvalid
from pipeline.localstack import Progress
from pipeline.operate import deadletter_requeue as requeueing
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.operate.stack import located, teller
from pipeline.settings import Settings

_FILTERS: Final = (
    click.option(
        "--stage", type=click.Choice(sorted(STAGES)), help="Only what this stage could not process."
    ),
    click.option("--code", help="Only this code, as MSG1006; `fault` for what a stage failed on."),
    click.option("--sender", help="Only messages of this DIP ID."),
    click.option("--recipient", help="Only copies for this DIP ID."),
    click.option("--channel", help="Only this channel, as IF-021, or status."),
    click.option("--since", type=Instant(), help=f"Only what was given up since: {DAY_FORMS}."),
    click.option("--until", type=Instant(), help="Only what was given up before."),
)

_STAYING: Final = {
    "reporting": "what reporting failed on is a letter of another stage already; ask for that one",
    "journal": "what the journal failed on was delivered all the same: only its index lacks it",
}


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def deadletter() -> None:
    """Look at what could not be processed, and send it back when the cause is gone."""


@deadletter.command(name="list")
@_filtered
@click.option("--counts", is_flag=True, help="Only how many there are, by stage, code, sender and recipient.")
@click.option("--limit", default=100, show_default=True, help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, with the record's size.")
def show_all(stage: str | None, limit: int, *, counts: bool, as_json: bool, **filters: Any) -> None:
    """List dead letters with their origin and reason; the records keep their bytes on the topic."""
    wanted = Wanted(**filters)
    settings, codec = _connected(needed=bool(wanted.sender or wanted.recipient or wanted.channel))
    found = (
        letter
        for name in ([stage] if stage else list(STAGES))
        for letter in letters(settings, name, codec)
        if wanted.takes(letter)
    )
    if counts:
        _tell_counts(found, as_json=as_json)
        return
    shown = 0
    for shown, letter in enumerate(islice(found, limit), start=1):  # noqa: B007  # how many, after the loop
        row = plain(letter)
        click.echo(json.dumps(row) if as_json else _line(row))
    if next(found, None) is not None:
        click.echo(f"more than {limit}: raise --limit to see the rest, or ask for --counts", err=True)
    if not shown and not as_json:
        click.echo("no dead letters")


@deadletter.command()
@click.argument("letter")
@click.option(
    "--bytes", "as_bytes", is_flag=True, help="Write the record's value to standard output, as it is."
)
def show(letter: str, *, as_bytes: bool) -> None:
    """Show one dead letter as JSON; LETTER is its place as `list` writes it, dip.dead-letter.delivery[3]@17."""
    place = Place.parse(letter)
    if place is None:
        raise click.BadParameter("write topic[partition]@offset, as `list` does", param_hint="LETTER")
    settings, codec = _connected(needed=False)
    found = letter_at(settings, place, codec)
    if found is None:
        raise click.BadParameter(f"there is no dead letter at {place}", param_hint="LETTER")
    if as_bytes:
        sys.stdout.buffer.write(found.value)
        return
    body = None if found.record is None else found.record.body.decode(errors="replace")
    click.echo(json.dumps(plain(found) | {"body": body}, indent=2, ensure_ascii=False))


@deadletter.command()
@_filtered
@click.option(
    "--rate", default=100.0, show_default=True, type=click.FloatRange(min=0.01), help="Letters a second."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go back, and why the rest would not.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--by", default=getpass.getuser, show_default="the user", help="Who does it; the audit tells it."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def requeue(
    stage: str | None, rate: float, by: str, *, dry_run: bool, yes: bool, as_json: bool, **filters: Any
) -> None:
    """Send dead letters back to where they failed, once the cause is gone.

    Copies go back with the ids and bytes they had, and may wait for as long as any copy. A copy that its recipient
    took meanwhile stays, and so does a letter that went back before: a command that was interrupted is simply given
    again. Its sender was told that the message failed, and is told nothing new.
    """
    if stage in _STAYING:
        raise click.BadParameter(_STAYING[stage], param_hint="--stage")
    settings, codec = _connected(needed=True)
    assert codec is not None, "asked for"
    stages = [stage] if stage else requeueing.STAGES
    ask = requeueing.Ask(stages=stages, wanted=Wanted(**filters), rate_per_s=rate, by=by)
    requeuer = None if dry_run else Requeuer(settings)
    going = requeueing.find_out(settings, codec, ask, _reading)
    if not as_json:
        _tell_plan(going, rate)
    sent = 0
    if requeuer is not None and len(going) and (yes or click.confirm(f"send {len(going)} back?", err=True)):
        sent = requeueing.send_back(
            settings,
            codec,
            ask,
            going=going,
            requeuer=requeuer,
            now=SystemClock().now,
            say=_sending(len(going)),
        )
    if as_json:
        staying = {why.name.lower(): count for why, count in going.staying.items()}
        click.echo(json.dumps({"going": len(going), "sent": sent, "staying": staying}))
    elif sent:
        click.echo(f"{sent} went back")


def plain(letter: Letter) -> dict[str, Any]:
    """Return a letter as a flat row."""
    about = {
        "delivery_id": letter.delivery_id,
        "transaction_id": letter.record and letter.record.transaction_id,
        "sender": letter.sender,
        "recipient": letter.recipient,
        "channel": letter.channel,
        "mpan": letter.mpan,
    }
    return {
        "letter": str(letter.place),
        "key": letter.key.decode(errors="replace") if letter.key else None,
        "bytes": len(letter.value),
        **{name: value for name, value in about.items() if value is not None},
        **letter.facts,
    }


def _line(row: dict[str, Any]) -> str:
    reason = row.get("text") or row.get("error") or "no reason given"
    origin = f"{row.get('topic')}[{row.get('partition')}]@{row.get('offset')}"
    to = f" to {row['recipient']}" if "recipient" in row else ""
    head = f"{row['letter']}  {row.get('stage', '?')}  {row.get('code', 'fault')}"
    return f"{head}  {row.get('sender', 'sender unknown')}{to}  from {origin}\n    {reason}"


def _tell_counts(found: Iterator[Letter], *, as_json: bool) -> None:
    counted = Counter((one.stage, one.code, one.sender or "-", one.recipient or "-") for one in found)
    for (stage, code, sender, recipient), count in counted.most_common():
        row = {"stage": stage, "code": code, "sender": sender, "recipient": recipient, "count": count}
        click.echo(
            json.dumps(row)
            if as_json
            else f"{count:>9}  {stage:<10}  {code:<8}  from {sender:<10}  to {recipient}"
        )
    if not counted and not as_json:
        click.echo("no dead letters")


def _tell_plan(going: Return, rate: float) -> None:
    for (stage, code), count in sorted(going.kinds.items()):
        click.echo(f"{count:>9}  {stage:<10}  {code}")
    for why, count in going.staying.most_common():
        click.echo(f"{count:>9}  stay: {why}")
    seconds = len(going) / rate
    click.echo(
        f"{len(going):>9}  go back, in {seconds:.0f} s at {rate:g} a second"
        if len(going)
        else "nothing goes back"
    )


def _reading(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{count} letters read", err=True, nl=False)


def _sending(total: int) -> Callable[[int], None]:
    tell = teller()
    return lambda done: tell(Progress(what="letters sent back", done=done, total=max(total, done)))


def _connected(*, needed: bool) -> tuple[Settings, Codec | None]:
    """Return settings, and a codec where a registry is known; without one a letter shows its headers only."""
    settings = located(Settings.load())
    if not settings.schema_registry_url:
        if needed:
            raise SettingsInvalid(
                "SCHEMA_REGISTRY_URL is not set, and what letters hold cannot be read without; "
                "`dip up` prints the one of the local stack"
            )
        return settings, None
    return settings, connect(
        settings.schema_registry_url,
        wait_s=settings.start_wait_s,
        say=lambda text: click.echo(f"dip: {text}", err=True),
    )
