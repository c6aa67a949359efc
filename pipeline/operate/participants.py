"""`dip participants`: who exists, written to and read from the compacted topic `dip.participants`."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from pipeline import topics
from pipeline.adapters.participants import ParticipantFeed, choice_key, company_key, participant_key
from pipeline.adapters.producer import Outgoing, publish_once
from pipeline.adapters.registry import connect
from pipeline.catalogue import load_catalogue
from pipeline.catalogue.company_details import read_details
from pipeline.catalogue.json_text import Unreadable, read_json
from pipeline.codec import Codec
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.market import WebhookChoice
from pipeline.domain.participants import ApiKey, Participant
from pipeline.domain.standing_data import CompanyRow
from pipeline.domain.times import format_instant
from pipeline.errors import SettingsInvalid
from pipeline.operate.participants_file import Reader
from pipeline.operate.stack import located
from pipeline.settings import Settings

TEMPLATE: Final = [
    {
        "id": "2300000001",
        "name": "Example Supply Ltd",
        "roles": [{"role": "SUP", "from": "2026-01-01", "to": None}],
        "api_keys": ["replace-me-with-the-output-of-openssl-rand-hex-32"],
        "certificates": ["signing/2300000001.pem"],
        "connection_providers": ["9900000001"],
        "webhooks": [
            {"channel": "*", "callbackURL": "https://supply.example.com/dip"},
            {
                "channel": "status",
                "callbackURL": "https://supply.example.com/dip/status",
                "maxMessageCount": 50,
            },
        ],
    },
    {"id": "9900000001", "name": "Example Connections Ltd", "certificates": ["signing/9900000001.pem"]},
]
_SALT_BYTES: Final = 16


@click.group()
def participants() -> None:
    """Load and show who exists: roles, keys, certificates and webhooks.

    The file is a JSON array; `dip participants template` prints one to begin with, docs/PARTICIPANTS.md explains
    every field.
    """


@participants.command()
def template() -> None:
    """Print an example file."""
    click.echo(json.dumps(TEMPLATE, indent=2))


@participants.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file and compare it with the topic; write nothing.")
@click.option(
    "--reset-webhooks",
    is_flag=True,
    help="Forget what the file's participants configured themselves, so that the file's webhooks hold again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def load(context: click.Context, file: Path, *, dry_run: bool, reset_webhooks: bool, as_json: bool) -> None:
    """Write the participants of FILE to the topic `dip.participants`.

    The file is checked as a whole first: if anything is wrong, every mistake is printed and nothing is written
    (exit code 1). Participants that are there already, just so, are not written again. Participants that the
    file does not name stay as they are. Plain API keys are hashed with a new salt before they leave this process.

    What a participant configured itself by WebhookConfig is not touched and goes on to outweigh the file; the
    command says whose that is.
    """
    found = _read(context, file, as_json=as_json)
    with _outside() as (settings, codec, feed):
        recorded = feed.recorded
        merged = [_with_known_keys(one, recorded.get(one.id)) for one in found]
        changed = [one for one in merged if recorded.get(one.id) != one]
        names = {one.id for one in found}
        own = [choice for choice in feed.choices if choice.participant in names]
        if not dry_run:
            _write(settings, _records(codec, changed) + (_forgotten(own) if reset_webhooks else []))
    outcome = {
        "participants": len(found),
        "written": 0 if dry_run else len(changed),
        "unchanged": len(found) - len(changed),
        "changed": [one.id for one in changed],
        "own_webhooks": [{"id": one.participant, "channel": one.channel} for one in own],
        "reset": reset_webhooks and not dry_run,
        "dry_run": dry_run,
    }
    if as_json:
        click.echo(json.dumps(outcome))
        return
    verb = "would be written" if dry_run else "written"
    click.echo(f"{len(changed)} {verb}, {outcome['unchanged']} there already")
    for line in _told(own, reset=reset_webhooks, dry_run=dry_run):
        click.echo(line)


@participants.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_all(*, as_json: bool) -> None:
    """List everybody on the topic."""
    with _outside() as (_, _, feed):
        current = feed.current()
        everybody = [current[name] for name in sorted(current)]
    if as_json:
        click.echo(json.dumps([_plain(one) for one in everybody]))
        return
    for one in everybody:
        roles = ", ".join(dict.fromkeys(grant.role for grant in one.roles)) or "(no role)"
        click.echo(f"{one.id}  {roles:<12}  {len(one.webhooks):>2} webhooks  {one.name}")
    click.echo(f"{len(everybody)} participants")


@participants.command()
@click.argument("participant")
@click.option("--json", "as_json", is_flag=True, help="Print on one line.")
@click.pass_context
def show(context: click.Context, participant: str, *, as_json: bool) -> None:
    """Show one participant; of its API keys only the digits that find them."""
    with _outside() as (_, _, feed):
        found = feed.current().get(ParticipantId(participant))
    if found is None:
        click.echo(f"dip: no participant {participant} on {topics.PARTICIPANTS}", err=True)
        context.exit(1)
    else:
        click.echo(json.dumps(_plain(found), indent=None if as_json else 2))


@participants.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file and compare it with the topic; write nothing.")
@click.pass_context
def companies(context: click.Context, file: Path, *, dry_run: bool) -> None:
    """Write the standing data of FILE: a JSON array of marketParticipantDetail, as GET /companyDetails answers.

    A row of the same company, roles and start is replaced, so that a row is ended by loading it with its end. Rows
    that the file does not name stay as they are. If anything is wrong, all mistakes are printed and nothing is
    written (exit code 1).
    """
    text = read_json(file.read_bytes())
    rows, problems = ((), ()) if isinstance(text, Unreadable) else read_details(text.value)
    mistakes = (
        [text.reason] if isinstance(text, Unreadable) else [f"{one.pointer}: {one.text}" for one in problems]
    )
    for mistake in mistakes:
        click.echo(f"{file}: {mistake}", err=True)
    if mistakes:
        click.echo(f"dip: {len(mistakes)} mistakes in {file}; nothing was written", err=True)
        context.exit(1)
    with _outside() as (settings, codec, feed):
        there = set(feed.current().companies)
        changed = [row for row in rows if row not in there]
        if not dry_run:
            _write(settings, _company_records(codec, changed))
    verb = "would be written" if dry_run else "written"
    click.echo(f"{len(changed)} rows {verb}, {len(rows) - len(changed)} there already")


def _company_records(codec: Codec, rows: list[CompanyRow]) -> list[Outgoing]:
    return [
        Outgoing(topic=topics.PARTICIPANTS, key=company_key(row), value=codec.encode_company_row(row))
        for row in rows
    ]


def _read(context: click.Context, file: Path, *, as_json: bool) -> tuple[Participant, ...]:
    """Return the file's participants, or print its mistakes and end."""
    catalogue = load_catalogue(rules=Settings.load().rules_dir)
    reader = Reader(
        known_roles={
            role
            for channel in catalogue.channels.values()
            for role in channel.sender_roles | channel.receiver_roles
        },
        channels=catalogue.channels.keys(),
        salt=lambda: secrets.token_bytes(_SALT_BYTES),
        folder=file.parent,
    )
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{file}: not UTF-8 at byte {error.start}") from None
    found, mistakes = reader.read(text)
    if not mistakes:
        return found
    if as_json:
        rows = [{"line": one.line, "pointer": one.pointer, "message": one.text} for one in mistakes]
        click.echo(json.dumps({"mistakes": rows, "written": 0}))
    for one in mistakes:
        click.echo(f"{file}: {one}", err=True)
    click.echo(f"dip: {len(mistakes)} mistakes in {file}; nothing was written", err=True)
    context.exit(1)
    return ()


@contextmanager
def _outside() -> Iterator[tuple[Settings, Codec, ParticipantFeed]]:
    """Connect to the topic and the registry, and read all that is there now."""
    settings = located(Settings.load())
    settings.require("kafka_bootstrap", "schema_registry_url")
    codec = connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=_say)
    feed = ParticipantFeed(settings, codec)
    feed.start()
    try:
        yield settings, codec, feed
    finally:
        feed.stop()


def _say(text: str) -> None:
    click.echo(f"dip: {text}", err=True)


def _with_known_keys(wanted: Participant, known: Participant | None) -> Participant:
    """Keep the salt of keys that are there already: the same file twice changes nothing.

    Keys are compared by their lookup digits. Two keys that share those 64 bits would have to be made for it.
    """
    if known is None:
        return wanted
    rows = {row.lookup: row for row in known.api_keys}
    return replace(
        wanted, api_keys=tuple(_with_salt_of(rows.get(row.lookup), row) for row in wanted.api_keys)
    )


def _with_salt_of(known: ApiKey | None, wanted: ApiKey) -> ApiKey:
    """Return a wanted key with the proof that is kept of it already; its period is the file's."""
    return wanted if known is None else replace(wanted, salt=known.salt, digest=known.digest)


def _records(codec: Codec, changed: list[Participant]) -> list[Outgoing]:
    return [
        Outgoing(topic=topics.PARTICIPANTS, key=participant_key(one.id), value=codec.encode_participant(one))
        for one in changed
    ]


def _forgotten(own: list[WebhookChoice]) -> list[Outgoing]:
    """Return tombstones: each takes one participant's word on one channel back, and nothing else."""
    return [Outgoing(topic=topics.PARTICIPANTS, key=choice_key(one), value=None) for one in own]


def _told(own: list[WebhookChoice], *, reset: bool, dry_run: bool) -> Iterator[str]:
    """Say which webhooks of the file do not hold, because the participants themselves said otherwise."""
    if not own:
        return
    verb = ("would be reset" if dry_run else "reset") if reset else "kept; --reset-webhooks takes them back"
    yield f"{len(own)} webhooks were configured by participants themselves and are {verb}:"
    for one in sorted(own, key=lambda choice: choice.key):
        where = one.webhook.url if one.webhook else "(none)"
        yield f"  {one.participant}  {one.channel:<8}  {where}  by {one.by} at {format_instant(one.at)}"


def _write(settings: Settings, records: list[Outgoing]) -> None:
    if not records:
        return
    publish_once(settings, records, "the participants could not all be written")


def _plain(one: Participant) -> dict[str, Any]:
    """Return a participant in the file's form, without what proves its keys."""
    return {
        "id": one.id,
        "name": one.name,
        "roles": [
            {
                "role": grant.role,
                "from": format_instant(grant.valid_from),
                "to": grant.valid_to and format_instant(grant.valid_to),
            }
            for grant in one.roles
        ],
        "api_keys": [{"lookup": key.lookup, **_period(key.valid_from, key.valid_to)} for key in one.api_keys],
        "certificates": _certificates(one, one.certificates),
        "tls_certificates": _certificates(one, one.tls_certificates),
        "tls_names": sorted(one.tls_names),
        "connection_providers": sorted(one.connection_providers),
        "webhooks": [
            {
                "channel": hook.channel,
                "callbackURL": hook.url,
                "maxMessageCount": hook.messages_max,
                "maxPayloadSize": hook.payload_kb_max,
            }
            for hook in one.webhooks
        ],
        "closed": sorted(one.closed),
    }


def _certificates(one: Participant, fingerprints: frozenset[str]) -> list[Any]:
    bounded = {
        period.fingerprint: _period(period.valid_from, period.valid_to) for period in one.certificate_periods
    }
    return [
        {"certificate": digits, **bounded[digits]} if digits in bounded else digits
        for digits in sorted(fingerprints)
    ]


def _period(start: datetime | None, end: datetime | None) -> dict[str, str]:
    found = {"from": start, "to": end}
    return {name: format_instant(instant) for name, instant in found.items() if instant is not None}
