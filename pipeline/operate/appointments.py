"""`dip appointments`: load, export, compare and repair who holds which slot of an MPAN."""

import csv
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import click

from pipeline import limits, topics
from pipeline.adapters import wards
from pipeline.adapters.bulk import send_all
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.histories import decode
from pipeline.adapters.participants import ParticipantFeed
from pipeline.adapters.registry import connect
from pipeline.codec import Codec
from pipeline.domain.envelope import Registration
from pipeline.domain.header_rules import check_digit_remark
from pipeline.domain.identifiers import Mpan
from pipeline.domain.quarantine import TOTAL, Waiting
from pipeline.operate.appointments_drift import Report, compare
from pipeline.operate.appointments_load import Loader, check, digest_of
from pipeline.operate.extracts import BadLine, Judge, rows_of, write_extract
from pipeline.operate.stack import located
from pipeline.operate.table_view import TableView
from pipeline.settings import Settings

SAMPLE: Final = """mpan,slot,holder,valid_from,valid_to
2000056535971,SUP,2300000001,2026-04-01,2026-07-01
2000056535971,SUP,2300000002,2026-07-01,
2000056535971,LDSO,2500000001,2026-04-01,
2000056535971,MS,1200000001,2026-04-01T00:00:00+01:00,
2000056535971,DS,1400000001,2026-04-01,
2000056535971,GSP,_A,2026-04-01,
1900012374324,SUP,2300000001,2026-04-01,
1900012374324,LDSO,2500000001,2026-04-01,
1900012374324,OUT,,2026-09-01,
"""


MPAN_DIGITS: Final = 13


@click.group()
def appointments() -> None:
    """Who holds which role for an MPAN."""


@appointments.command()
def template() -> None:
    """Print a small file to begin with."""
    click.echo(SAMPLE, nl=False)


@appointments.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--source",
    help="Name of this load; the same name with the same rows changes nothing. Default: made from the file's content.",
)
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write refused rows; default: FILE.errors.csv.",
)
@click.option(
    "--allow-unknown-holders", is_flag=True, help="Take rows whose holder is no registered participant."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Judge every row and send none. With --allow-unknown-holders it needs no broker.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file.")
def load(
    files: tuple[Path, ...],
    *,
    source: str | None,
    errors: Path | None,
    allow_unknown_holders: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Load appointments from CSV files (or Avro containers) with these columns.

    \b
    mpan        13 digits; rows of one MPAN stand together
    slot        SUP, LDSO, MS, DS, MDR, GSP, a role of one of these (MSS, SDS, ...), or OUT: out of the market
    holder      DIP ID; for GSP the group, as _A; for OUT nothing
    valid_from  2026-04-01 (a UK local midnight) or 2026-04-01T00:00:00+01:00
    valid_to    the same, or empty: until further notice, or until the next row of the slot begins
    action      may be missing; replace: the rows of this slot are all there is (one without holder: there is none)

    Good rows are loaded even if others are bad; bad ones go to the error file, and the exit code is 1. An
    interrupted load goes on where it stopped when it is started again; loading a file again changes nothing.
    """  # noqa: D301  # click needs its mark for text that is not rewrapped
    settings = Settings.load() if dry_run and allow_unknown_holders else located(Settings.load())
    codec = None if dry_run and allow_unknown_holders else _codec(settings)
    holders = None if allow_unknown_holders or codec is None else _participants(settings, codec)
    refused = 0
    for file in files:
        with _ErrorFile(errors or file.with_suffix(".errors.csv")) as bad:
            judge, say = _judge(settings, holders, bad), _progress(as_json=as_json)
            name = source
            if dry_run or codec is None:
                loaded = check(file, judge=judge, bad=bad.take, say=say)
            else:
                name = source or f"load-{digest_of(file)}"
                loader = Loader(settings, codec, judge=judge, bad=bad.take, say=say)
                loaded = loader.load(file, source=name, now=SystemClock().now())
        result = {
            "file": str(file),
            "loaded": 0 if dry_run else loaded.mpans,
            **({"loadable": loaded.mpans} if dry_run else {}),
            "resumed_at_line": loaded.resumed_at_line,
            "refused": bad.count,
            "warned": bad.warned,
            "source": name,
            "errors": str(bad.path) if bad.count else None,
        }
        _tell(file, result, bad, as_json=as_json)
        refused += bad.count
    if refused:
        raise SystemExit(1)


@appointments.command()
@click.option("--output", default="-", help="File to write; -: standard output.")
@click.option("--avro", is_flag=True, help="An Avro container instead of CSV.")
def export(output: str, *, avro: bool) -> None:
    """Write what is held now in the format that `load` takes, in the order of MPANs.

    It is a picture: sources, recorded times and superseded rows stay in the table.
    """
    settings = located(Settings.load())
    with TableView(settings, table="appointments", say=_say) as view:
        found = (row for key, raw in view.scan() for row in rows_of(key.decode(), decode(raw)))
        if output == "-":
            write_extract(sys.stdout.buffer, found, avro=avro)
            return
        path = Path(output)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as stream:
            count = write_extract(stream, found, avro=avro)
        part.replace(path)  # a reader never sees half of it
    click.echo(f"{count:,} rows written to {path}", err=True)


@appointments.command()
@click.argument("extract", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--repair",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file that makes the table as the extract (load it with `dip appointments load`).",
)
@click.option(
    "--differences",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every difference to this CSV file.",
)
@click.option(
    "--repair-extra",
    is_flag=True,
    help="Let the repair also empty MPANs that the extract does not have at all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def drift(
    extract: Path, repair: Path | None, differences: Path | None, *, repair_extra: bool, as_json: bool
) -> None:
    """Compare the table with a registration extract, in one pass; exit code 1 when they differ.

    The extract has the columns of `load` and must be sorted by MPAN, as `export` writes it. Kinds: missing (the
    table has no row of the slot), extra (the extract has none), dates (same holder, other from or to), holder.
    """
    settings = located(Settings.load())
    with (
        _ErrorFile(extract.with_suffix(".errors.csv")) as bad,
        TableView(settings, table="appointments", say=_say) as view,
    ):
        report = Report(repair=repair, differences=differences, repair_extra=repair_extra)
        with report:
            compare(
                extract,
                view.scan(),
                report=report,
                judge=_judge(settings, None, bad),
                bad=bad.take,
            )
    result = {**report.counts(), "refused": bad.count, "repair": str(repair) if repair else None}
    if as_json:
        click.echo(json.dumps(result))
    else:
        for name, value in result.items():
            click.echo(f"{name:<10} {value if value is not None else '-'}")
    if report.differing or bad.count:
        raise SystemExit(1)


@appointments.command()
@click.option("--limit", default=100, show_default=True, help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def waiting(limit: int, *, as_json: bool) -> None:
    """List the quarantine: messages that wait for the appointments of their MPAN to be repaired.

    A load that repairs them routes them at once; `dip appointments retry` asks for another try without one.
    """
    settings = located(Settings.load())
    count = 0
    with TableView(settings, table="quarantine", say=_say) as view:
        for key, raw in view.scan():
            for one in wards.decode(raw).waiting if key != TOTAL else ():
                count += 1
                if count <= limit:
                    click.echo(_waiting_line(key.decode(), one, as_json=as_json))
    if count > limit:
        click.echo(f"{count - limit:,} more: raise --limit to see them", err=True)
    elif not count and not as_json:
        click.echo("nothing waits")


@appointments.command()
@click.argument("mpans", nargs=-1, required=True)
def retry(mpans: tuple[str, ...]) -> None:
    """Try again with what waits for some MPANs: after a participant was registered, or its roles were mended."""
    settings = located(Settings.load())
    if wrong := [one for one in mpans if not (one.isascii() and one.isdigit() and len(one) == MPAN_DIGITS)]:
        raise click.UsageError(f"{wrong[0]!r}: expected an MPAN of {MPAN_DIGITS} digits")
    codec, now = _codec(settings), SystemClock().now()
    asked = (Registration(mpan=Mpan(one), source="retry", recorded_at=now, holdings=()) for one in mpans)
    rows = ((one.mpan.encode(), codec.encode_registration(one)) for one in asked)
    count = send_all(settings, topics.REGISTRATION, rows)
    click.echo(f"asked for another try with {count} MPANs; `dip appointments waiting` shows what is left")


def _waiting_line(mpan: str, one: Waiting, *, as_json: bool) -> str:
    if as_json:
        since = one.since.isoformat()
        return json.dumps({"mpan": mpan, "transaction": one.transaction_id, "since": since, "code": one.code})
    return f"{mpan}  {one.code}  since {one.since:%Y-%m-%d %H:%M:%S}  {one.transaction_id}"


class _ErrorFile:
    """Bad rows, written as they come; the file is made with the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.warned = 0
        self.first: list[BadLine] = []
        self._stream: Any = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def take(self, line: BadLine) -> None:
        if self._stream is None:
            self._stream = self.path.open("w", encoding="utf-8", newline="")
            self._writer = csv.writer(self._stream)
            self._writer.writerow(("line", "error"))
        self._writer.writerow((line.number, line.error))
        self.count += 1
        if len(self.first) < limits.LOAD_ERRORS_SHOWN_MAX:
            self.first.append(line)

    def warn(self) -> None:
        self.warned += 1


def _judge(settings: Settings, holders: frozenset[str] | None, bad: _ErrorFile) -> Judge:
    """Return how rows are judged; the check digit counts as its setting says."""
    if settings.mpan_check_digit == "off":
        return Judge(holders=holders)

    remark_of = lru_cache(maxsize=2)(check_digit_remark)  # rows of one MPAN stand together

    def problem(mpan: str) -> str | None:
        remark = remark_of(Mpan(mpan))
        if remark is None or settings.mpan_check_digit == "reject":
            return remark
        bad.warn()
        return None

    return Judge(holders=holders, mpan_problem=problem)


def _codec(settings: Settings) -> Codec:
    return connect(settings.schema_registry_url, wait_s=settings.start_wait_s, say=_say)


def _participants(settings: Settings, codec: Codec) -> frozenset[str]:
    feed = ParticipantFeed(settings, codec)
    feed.start()
    try:
        return frozenset(feed.current())
    finally:
        feed.stop()


def _progress(*, as_json: bool) -> Any:
    def tell(text: str) -> None:
        if not as_json:
            click.echo(f"\r{text}", nl=False, err=True)

    return tell


def _tell(file: Path, result: dict[str, Any], bad: _ErrorFile, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(err=True)
    if "loadable" in result:
        click.echo(f"{result['loadable']:,} MPANs of {file} could be loaded; nothing was sent")
    else:
        click.echo(f"{result['loaded']:,} MPANs loaded from {file} as {result['source']}")
    for one in bad.first:
        click.echo(f"  line {one.number}: {one.error}", err=True)
    if bad.count:
        click.echo(f"{bad.count:,} rows refused: see {bad.path}", err=True)
    if bad.warned:
        click.echo(
            f"{bad.warned:,} rows have an MPAN with a wrong check digit (taken all the same)", err=True
        )


def _say(text: str) -> None:
    click.echo(f"dip: {text}", err=True)
