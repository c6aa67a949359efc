"""`dip archive`: the process that archives, and what operators do with an archive."""

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from pipeline import limits
from pipeline.adapters.archive_keys import KeyRing, new_key
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.logs import LEVELS, set_up_logs
from pipeline.archive import pruning
from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.reading import Span, checkpoint_sizes, manifests, pruned_numbers
from pipeline.archive.verifying import Finding, Verification
from pipeline.domain.archive import Malformed, Manifest, Signed, signed_from
from pipeline.domain.archive_log import checkpoint_path
from pipeline.errors import SettingsInvalid
from pipeline.operate.archive_process import ArchiveProcess, keys_of, signer_of, storage_of
from pipeline.operate.archive_restore import restore
from pipeline.operate.options import DAY_FORMS, Instant
from pipeline.operate.stack import located
from pipeline.settings import Settings, put


@click.group(invoke_without_command=True)
@click.option("--until-end", is_flag=True, help="End when everything that is there now is archived.")
@click.option("--port", type=int, help="Port of the health pages (DIP_WORKER_PORT); 0 picks a free one.")
@click.option("--log-level", type=click.Choice(LEVELS), help="Least level of log lines (DIP_LOG_LEVEL).")
@click.pass_context
def archive(ctx: click.Context, *, until_end: bool, port: int | None, log_level: str | None) -> None:
    """Archive the topics until SIGTERM or Ctrl-C, into Avro files under a signed log (docs/ARCHIVE.md).

    One process for an installation. It may be stopped and killed at any moment: nothing is lost or doubled. With a
    subcommand: look at an archive, verify, restore or prune it.
    """
    if ctx.invoked_subcommand is not None:
        return
    put(worker_port=port, log_level=log_level)
    set_up_logs(Settings.load(), "archive")
    settings = located(Settings.load())
    settings.require("schema_registry_url")
    standing = ArchiveProcess(settings).run(until_end=until_end)
    click.echo(
        f"{standing.records} records in {standing.segments} segments archived; {standing.buffered_records} read and"
        " not sealed are read again next time",
        err=True,
    )
    if until_end and standing.trouble:
        sys.exit(1)


@archive.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def key(file: Path) -> None:
    """Make the key that signs an archive: FILE for the archiver, FILE.pub for auditors."""
    made = new_key(file)
    click.echo(f"{file}: keep it where only the archiver reads it (DIP_ARCHIVE_SIGNING_KEY)")
    click.echo(f"{file}.pub: for whoever verifies (DIP_ARCHIVE_PUBLIC_KEYS); fingerprint {made.fingerprint}")


@archive.command(name="list")
@click.option("--topic", help="Only this topic.")
@click.option("--since", type=Instant(), help=f"Only records since: {DAY_FORMS}.")
@click.option("--until", type=Instant(), help="Only records before.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per segment: its manifest.")
def list_(topic: str | None, since: datetime | None, until: datetime | None, *, as_json: bool) -> None:
    """List the sealed segments: which records of which partition, when, how much, in which files."""
    storage = storage_of(Settings.load())
    span = Span(topics=(topic,) if topic else (), since=since, until=until)
    gone = pruned_numbers(storage)
    counts: Counter[str] = Counter()
    for manifest in manifests(storage):
        if not span.meets(manifest):
            continue
        counts["segments"] += 1
        counts["records"] += manifest.records
        counts["bytes"] += 0 if manifest.sequence in gone else sum(one.bytes for one in manifest.parts)
        if as_json:
            click.echo(manifest.encode().decode())
        else:
            click.echo(_line(manifest, pruned=manifest.sequence in gone))
    if not as_json:
        click.echo(f"{counts['segments']} segments, {counts['records']:,} records, {counts['bytes']:,} bytes")


def _line(manifest: Manifest, *, pruned: bool) -> str:
    first, last = (_moment(one) for one in (manifest.first_ms, manifest.last_ms))
    channels = sorted({one.channel for one in manifest.parts if one.channel})
    place = f"{manifest.topic}[{manifest.partition}] {manifest.first_offset}-{manifest.last_offset}"
    more = f"  {','.join(channels)}" if channels else ""
    state = "  deleted by rule" if pruned else ""
    lost = f"  LOST before {manifest.lost_before}" if manifest.lost_before is not None else ""
    return (
        f"{manifest.sequence:>8}  {place}  {manifest.records} records  {first} to {last}{more}{state}{lost}"
    )


def _moment(stamp_ms: int) -> str:
    return datetime.fromtimestamp(stamp_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_option(command: Any) -> Any:
    """Add --key: the public keys to trust."""
    return click.option(
        "--key",
        "keys",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Public key to trust (DIP_ARCHIVE_PUBLIC_KEYS); may be repeated: old keys stay good for what they signed.",
    )(command)


@archive.command()
@key_option
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint file that was kept elsewhere: what was there then must still be there.",
)
@click.option("--quick", is_flag=True, help="Hold files against their hashes; do not read every record.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding, then the summary.")
def verify(keys: tuple[Path, ...], checkpoint: Path | None, *, quick: bool, as_json: bool) -> None:
    """Find whatever was altered, removed, inserted, reordered or cut, and name it. Exit code 1 if anything was.

    The same as `dip audit verify`.
    """
    settings = Settings.load()
    run_verification(settings, keys, checkpoint, deep=not quick, as_json=as_json)


def run_verification(
    settings: Settings, keys: tuple[Path, ...], checkpoint: Path | None, *, deep: bool, as_json: bool
) -> None:
    """Verify the whole archive, tell findings as they come, and end the process with 1 if there are any."""
    look = Verification(
        storage=storage_of(settings),
        verifier=KeyRing.load(keys) if keys else keys_of(settings),
        trusted=None if checkpoint is None else _trusted(checkpoint),
        deep=deep,
    )
    count = 0
    for count, finding in enumerate(look.run(), start=1):  # how many, after the loop
        if count <= limits.FINDINGS_MAX:
            _tell(finding, as_json=as_json)
    if not count and not look.counts.checkpoints:
        raise ArchiveUnfit(
            f"{look.storage} has no archive, or an empty one: nothing is proved; check DIP_ARCHIVE_URL"
        )
    figures = {
        "findings": count,
        "checkpoints": look.counts.checkpoints,
        "segments": look.counts.segments,
        "files": look.counts.files,
        "records": look.counts.records,
        "pruned": look.counts.pruned,
        "lost": look.counts.lost,
    }
    if as_json:
        click.echo(json.dumps(figures))
    else:
        click.echo(", ".join(f"{value:,} {name}" for name, value in figures.items()))
        click.echo("NOT as it was sealed" if count else "as it was sealed")
    if count:
        sys.exit(1)


def _tell(finding: Finding, *, as_json: bool) -> None:
    row = {"path": finding.path, "record": finding.record, "what": finding.what}
    click.echo(json.dumps(row) if as_json else str(finding))


def _trusted(path: Path) -> Signed:
    try:
        return signed_from(path.read_bytes())
    except Malformed as error:
        raise SettingsInvalid(f"{path}: no checkpoint of an archive: {error}") from None


@archive.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file.")
def checkpoint(output: Path | None) -> None:
    """Print the newest checkpoint. Kept elsewhere, it proves later that nothing up to it was cut off."""
    storage = storage_of(Settings.load())
    sizes = checkpoint_sizes(storage, last=True)
    if not sizes:
        raise ArchiveUnfit("there is no checkpoint yet: the archive is empty")
    data = storage.read(checkpoint_path(sizes[-1]))
    if output is None:
        click.echo(data.decode())
    else:
        output.write_bytes(data)
        click.echo(f"{output}: the archive at {sizes[-1]} segments")


@archive.command()
@click.option("--dry-run", is_flag=True, help="Only say what the rule lets go.")
@click.option("--keep-days", type=int, help="Keep so many days (DIP_ARCHIVE_KEEP_DAYS); at least 731.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def prune(keep_days: int | None, *, dry_run: bool, as_json: bool) -> None:
    """Delete the files of segments whose every record is older than the archive keeps, and leftovers of faults.

    Manifests stay: they prove what was there. Each deletion leaves a signed note.
    """
    settings = Settings.load(archive_keep_days=keep_days)
    days = settings.archive_keep_days
    if days < limits.ARCHIVE_KEEP_DAYS_MIN:
        raise SettingsInvalid(
            f"DIP_ARCHIVE_KEEP_DAYS={days}: expected at least {limits.ARCHIVE_KEEP_DAYS_MIN}, two years"
        )
    storage, now = storage_of(settings), SystemClock().now()
    signer = signer_of(settings)
    figures: Counter[str] = Counter(segments=0, bytes=0, leftovers=0)
    for goes in pruning.due(storage, now=now, keep_days=days):
        assert goes.manifest is not None, "leftovers come apart"
        figures["segments"] += 1
        figures["bytes"] += goes.bytes
        if not as_json:
            click.echo(_line(goes.manifest, pruned=not dry_run))
        if not dry_run:
            pruning.prune(storage, goes, signer=signer, now=now, keep_days=days)
    yesterday = (now - timedelta(days=limits.LEFTOVERS_DAYS)).date().isoformat()
    for path in pruning.leftovers(storage, older_than=yesterday):
        figures["leftovers"] += 1
        if not dry_run:
            storage.delete(path)
    if as_json:
        click.echo(json.dumps({**figures, "dry_run": dry_run}))
    else:
        verb = "would go" if dry_run else "deleted"
        click.echo(
            f"{figures['segments']} segments ({figures['bytes']:,} bytes) and {figures['leftovers']} leftovers {verb}"
        )


archive.add_command(restore)
