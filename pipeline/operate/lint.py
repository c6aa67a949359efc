"""`dip lint`: says what is wrong with a message file, where, and how to mend it; needs no broker."""

from pathlib import Path
from typing import Any, Final

import click
import orjson

from pipeline.catalogue import load_catalogue
from pipeline.limits import LINT_BYTES_MAX, LINT_FINDINGS_MAX
from pipeline.lint.findings import Finding
from pipeline.lint.messages import Linted
from pipeline.lint.messages import lint as lint_text
from pipeline.settings import Settings

_STDIN: Final = "-"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--fix", is_flag=True, help="Also write the file with everything mended that is certain.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where --fix writes; default FILE.mended.json, standard output for -.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.pass_context
def lint(context: click.Context, file: Path, *, fix: bool, out: Path | None, as_json: bool) -> None:
    """Say what is wrong with the messages of FILE (- is standard input), where, and how to mend it.

    FILE is one message, an array of them, or one JSON value per line. It is read tolerantly: comments, trailing
    commas, single quotes and names in any letter case are findings, not the end. Mends marked "certain" cannot
    mean anything else; --fix makes those and no others, and never changes FILE itself.

    Exit code 0: nothing is wrong, or with --fix nothing is left; 1: something is; 2: wrong usage or no such file.
    """
    if out is not None and not fix:
        raise click.UsageError("--out belongs to --fix")
    linted = lint_text(_text(file), load_catalogue(rules=Settings.load().rules_dir))
    if fix and linted.mended is not None:
        _write(linted.mended, _target(file, out))
    # The mended text has standard output for itself when it goes there.
    elsewhere = fix and _target(file, out) is None
    (_print_json if as_json else _print_lines)(linted, str(file), err=elsewhere)
    context.exit(0 if (linted.clean_mended if fix else linted.clean) else 1)


def _text(file: Path) -> str:
    """Read a file as UTF-8. Files that are no text have no lines and columns: wrong usage."""
    try:
        if str(file) == _STDIN:
            raw = click.get_binary_stream("stdin").read(LINT_BYTES_MAX + 1)
        else:
            with file.open("rb") as stream:
                raw = stream.read(LINT_BYTES_MAX + 1)
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    if len(raw) > LINT_BYTES_MAX:
        raise click.UsageError(f"{file}: more than {LINT_BYTES_MAX} bytes; split the file")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise click.UsageError(
            f"{file}: byte {error.start} (line {line}) is not UTF-8; save the file as UTF-8"
        ) from None


def _target(file: Path, out: Path | None) -> Path | None:
    """Return where the mended file goes; None is standard output."""
    if out is not None:
        return None if str(out) == _STDIN else out
    return None if str(file) == _STDIN else file.with_name(f"{file.stem}.mended{file.suffix or '.json'}")


def _write(text: str, target: Path | None) -> None:
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{target}: {error.strerror}") from None
    click.echo(f"written: {target}", err=True)


def _print_lines(linted: Linted, name: str, *, err: bool) -> None:
    for finding in linted.report.findings:
        line, column = linted.lines.of(finding.at)
        where = f"{name}:{line}:{column}: {finding.kind.value} [{finding.rule}]"
        click.echo(f"{where} {finding.pointer or '(the whole)'}: {finding.text}{_advice(finding)}", err=err)
    if linted.report.left_off:
        click.echo(f"{linted.report.left_off} more after the first {LINT_FINDINGS_MAX}", err=err)
    click.echo(_summary(linted), err=err)


def _advice(finding: Finding) -> str:
    if not finding.mend:
        return ""
    return f"; {finding.mend}{' (certain)' if finding.certain else ''}"


def _summary(linted: Linted) -> str:
    count = len(linted.messages)
    fit = sum(one.fits for one in linted.messages)
    mended = sum(one.fits_mended for one in linted.messages)
    certain = linted.report.certain
    text = (
        f"{count} message{'' if count == 1 else 's'}: {fit} valid as {'it is' if count == 1 else 'they are'}"
    )
    if certain:
        text += f", {mended} with the {certain} certain mends that --fix makes"
    return text


def _print_json(linted: Linted, name: str, *, err: bool) -> None:
    result: dict[str, Any] = {
        "file": name,
        "clean": linted.clean,
        "clean_mended": linted.clean_mended,
        "messages": [
            {
                "number": one.number,
                "interface": one.interface,
                "event": one.event,
                "valid": one.fits,
                "valid_mended": one.fits_mended,
            }
            for one in linted.messages
        ],
        "findings": [_shown(finding, linted) for finding in linted.report.findings],
        "left_off": linted.report.left_off,
    }
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2), err=err)


def _shown(finding: Finding, linted: Linted) -> dict[str, Any]:
    line, column = linted.lines.of(finding.at)
    return {
        "line": line,
        "column": column,
        "pointer": finding.pointer,
        "kind": finding.kind.value,
        "rule": finding.rule,
        "text": finding.text,
        "mend": finding.mend or None,
        "certain": finding.certain,
    }
