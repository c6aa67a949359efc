"""`dip explain`: who would get a message and why, and why somebody got a copy that was sent."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from pipeline import topics
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.histories import decode
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.partition_scan import partitions_of, scan_partition
from pipeline.adapters.registry import connect
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.codec import Codec
from pipeline.domain.appointments import History
from pipeline.domain.envelope import Addressee, AuditRecord, Reason, Stage
from pipeline.domain.explain import Explanation, Question, explain
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, ParticipantId
from pipeline.domain.participants import Participants
from pipeline.domain.shards import partition_of
from pipeline.domain.times import applicable_instant, format_instant
from pipeline.operate.stack import located
from pipeline.operate.table_view import TableView
from pipeline.settings import Settings

_MPAN: Final = re.compile(r"[0-9]{13}", re.ASCII)
_DAY: Final = re.compile(r"-(\d{8})-[^-]*$")
_EARLIER: Final = timedelta(days=2)  # a reference's date is the sender's own; nobody checks it


@click.command(name="explain")
@click.option("--mpan", help="13 digits.")
@click.option("--channel", help="As IF-021.")
@click.option("--event", help="As ActivePower; without it, every event of the channel.")
@click.option(
    "--date",
    "dates",
    multiple=True,
    help="Day or instant the message is about; may be repeated. Default: now.",
)
@click.option("--as-known-at", help="Instant: answer by what the appointments table held then.")
@click.option("--primary", "primary", multiple=True, help="A DIP ID that the sender names.")
@click.option("--transaction", help="Instead: transaction id of a message that was sent.")
@click.option("--recipient", help="With --transaction: only why this DIP ID got its copy.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain_command(
    *,
    mpan: str | None,
    channel: str | None,
    event: str | None,
    dates: tuple[str, ...],
    as_known_at: str | None,
    primary: tuple[str, ...],
    transaction: str | None,
    recipient: str | None,
    as_json: bool,
) -> None:
    """Say who gets a message and why.

    With --mpan and --channel: who would get it, with the rule, the role, the days and the appointment row behind
    each. With --transaction: who got a message that was routed, with the reasons recorded at that time. It reads
    what the routers have committed, whether they run or not; participants and rules are those of now.
    """
    if transaction:
        _sent(transaction, recipient, as_json=as_json)
    elif channel:
        catalogue = load_catalogue(rules=Settings.load().rules_dir)
        questions = list(
            _questions(
                catalogue,
                mpan=mpan,
                channel=channel,
                event=event,
                dates=dates,
                as_known_at=as_known_at,
                primary=primary,
            )
        )
        _asked(catalogue, questions, as_json=as_json)
    else:
        raise click.UsageError("give --channel (and --mpan), or --transaction")


def _questions(
    catalogue: Catalogue,
    *,
    mpan: str | None,
    channel: str,
    event: str | None,
    dates: tuple[str, ...],
    as_known_at: str | None,
    primary: tuple[str, ...],
) -> Iterator[Question]:
    """Make one question for each event; a wrong option is a usage error with what would be right."""
    interface = InterfaceId(channel)
    if interface not in catalogue.channels:
        raise click.UsageError(f"--channel {channel}: known are {', '.join(sorted(catalogue.channels))}")
    found = catalogue.channels[interface]
    events = found.events if event is None else (EventCode(event.strip("[]")),)
    if strange := [one for one in events if one not in found.events]:
        raise click.UsageError(f"--event {strange[0]}: {channel} has {', '.join(found.events)}")
    if mpan is not None and not _MPAN.fullmatch(mpan):
        raise click.UsageError(f"--mpan {mpan!r}: expected 13 digits")
    if mpan is None and found.m_block is not None:
        raise click.UsageError(f"--mpan is needed: {channel} finds its recipients by MPAN")
    known = None if as_known_at is None else _instant(as_known_at, "--as-known-at")
    for one in events:
        yield Question(
            mpan=None if mpan is None else Mpan(mpan),
            interface=interface,
            event=one,
            days=tuple(sorted({_instant(day, "--date") for day in dates})),
            now=known or SystemClock().now(),
            as_known_at=known,
            primary=tuple(ParticipantId(name) for name in primary),
        )


def _instant(text: str, option: str) -> datetime:
    instant = applicable_instant(text)
    if instant is None and option == "--as-known-at":  # the router stamps in microseconds
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            instant = None
    if instant is None or instant.tzinfo is None:
        raise click.UsageError(f"{option} {text!r}: expected 2026-01-05 or 2026-01-05T00:00:00+00:00")
    return instant.astimezone(UTC)


def _asked(catalogue: Catalogue, questions: list[Question], *, as_json: bool) -> None:
    settings = located(Settings.load())
    history = None if questions[0].mpan is None else _history(settings, questions[0].mpan)
    participants = _participants(settings)
    answers: dict[object, list[Explanation]] = {}  # events with one routing have one answer
    for question in questions:
        routing = catalogue.channels[question.interface].routing(question.event, question.now)
        answer = explain(question, routing=routing, history=history, participants=participants)
        answers.setdefault(routing, []).append(answer)
    if as_json:
        plain = [one.plain() for some in answers.values() for one in some]
        click.echo(json.dumps(plain[0] if len(plain) == 1 else plain))
        return
    for same in answers.values():
        events = ", ".join(f"[{one.question.event}]" for one in same)
        click.echo("\n".join(_lines(same[0], events)))


def _history(settings: Settings, mpan: Mpan) -> History | None:
    with TableView(settings, table="appointments", say=_say) as view:
        raw = view.get(mpan.encode())
    return None if raw is None else decode(raw)


def _codec(settings: Settings) -> Codec:
    return connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=_say)


def _participants(settings: Settings) -> Participants:
    feed = ParticipantFeed(settings, _codec(settings))
    feed.start()
    try:
        return feed.current()
    finally:
        feed.stop()


def _lines(answer: Explanation, events: str) -> Iterator[str]:
    question = answer.question
    days = ", ".join(format_instant(one) for one in question.days) or f"{format_instant(question.now)} (now)"
    mark = ", inferred" if answer.routing.inferred else ""
    yield f"{question.interface} {events}  MPAN {question.mpan or '-'}  about {days}"
    yield f"routing edition {answer.routing.edition}{mark}; the sender may name " + (
        ", ".join(sorted(answer.routing.primary)) or "nobody"
    )
    if question.as_known_at is not None:
        yield f"as known at {question.as_known_at.isoformat()}"
    for refusal in answer.refusals:
        yield f"  nobody: {refusal.text}: {refusal.help}"
    for recipient in answer.recipients:
        yield f"  {recipient.id}  {recipient.name}"
        for why in recipient.reasons:
            yield f"    {why.kind.value} as {why.role}: {why.rule}"
            if why.row is not None:
                end = "further notice" if why.row.valid_to is None else format_instant(why.row.valid_to)
                yield f"      holds {why.row.slot.value} from {format_instant(why.row.valid_from)} until {end}"
                yield f"      by {why.row.source}, recorded {why.row.recorded_at.isoformat()}"
            if len(why.days) > 1 or (why.days and question.days):
                yield f"      on {', '.join(format_instant(day) for day in why.days)}"
    yield ""


def _sent(transaction: str, recipient: str | None, *, as_json: bool) -> None:
    settings = located(Settings.load())
    record = _routing_record(settings, _codec(settings), transaction)
    if record is None:
        raise click.ClickException(
            f"no routing of {transaction} is on {topics.AUDIT}: check the id; what is older than the topic keeps"
            " is in the archive"
        )
    wanted = [one for one in record.addressees if recipient in (None, one.recipient)]
    if recipient is not None and not wanted:
        others = ", ".join(one.recipient for one in record.addressees) or "nobody"
        raise click.ClickException(f"{recipient} got no copy of {transaction}; it went to {others}")
    if as_json:
        click.echo(json.dumps(_plain_record(record, wanted)))
        return
    click.echo(f"{transaction}  {record.interface} [{record.event}]  MPAN {record.mpan or '-'}")
    click.echo(
        f"routed {record.at.isoformat()}: {record.status.value} {record.code or ''} {record.reason or ''}".rstrip()
    )
    for one in wanted:
        click.echo(f"  {one.recipient}")
        for reason in one.reasons:
            click.echo(f"    {reason.kind.value} as {reason.role}{_because(reason)}")


def _because(reason: Reason) -> str:
    if reason.source is None:
        return ""
    days = ", ".join(format_instant(day) for day in reason.days)
    recorded = reason.recorded_at.isoformat() if reason.recorded_at else "?"
    return f" on {days}: by {reason.source}, recorded {recorded}"


def _routing_record(settings: Settings, codec: Codec, transaction: str) -> AuditRecord | None:
    """Find the last routing of a transaction: near the date that its id names, else anywhere on the topic."""
    count = partitions_of(settings, topics.AUDIT)
    if count == 0:
        return None
    key = transaction.encode()
    partition = partition_of(key, count)
    for since in dict.fromkeys((day_of(transaction), None)):
        found = None
        for message in scan_partition(settings, topics.AUDIT, partition, since=since):
            if message.key() == key:
                record = codec.decode_audit(message.value() or b"")
                found = record if record.stage is Stage.ADDRESSING else found
        if found is not None:
            return found
    return None


def day_of(transaction: str) -> datetime | None:
    """Return from when on a transaction may be found, by the date that its id names; None where it names none."""
    digits = _DAY.search(transaction)
    try:
        return datetime.strptime(digits[1], "%Y%m%d").replace(tzinfo=UTC) - _EARLIER if digits else None
    except ValueError:
        return None


def _plain_record(record: AuditRecord, wanted: list[Addressee]) -> dict[str, Any]:
    return {
        "transaction": record.transaction_id,
        "channel": record.interface,
        "event": record.event,
        "mpan": record.mpan,
        "routedAt": record.at.isoformat(),
        "status": record.status.value,
        "code": record.code,
        "reason": record.reason,
        "recipients": [
            {
                "id": one.recipient,
                "reasons": [
                    {
                        "kind": reason.kind.value,
                        "role": reason.role,
                        "days": [format_instant(day) for day in reason.days],
                        "source": reason.source,
                        "recordedAt": reason.recorded_at and reason.recorded_at.isoformat(),
                    }
                    for reason in one.reasons
                ],
            }
            for one in wanted
        ],
    }


def _say(text: str) -> None:
    click.echo(f"dip: {text}", err=True)
