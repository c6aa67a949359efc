"""`dip validate`: checks messages against the interface facts; needs no broker."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import click
import orjson

from pipeline.catalogue import Catalogue, Problem, load_catalogue
from pipeline.catalogue.json_text import Unreadable, read_json
from pipeline.domain.identifiers import InterfaceId
from pipeline.domain.rejections import Code
from pipeline.limits import VALIDATE_LINE_BYTES_MAX, VALIDATE_PROBLEMS_MAX
from pipeline.settings import Settings

_INTERFACE: Final = "/payload/CommonBlock/S0/interfaceID"
_EVENT: Final = "/payload/CommonBlock/S0/eventCode"
_FORM: Final = 'expected {"interface": "IF-...", "event": "...", "message": {"payload": {...}}}'


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--all", "every", is_flag=True, help="Add every problem of a message, not only the first.")
def validate(file: BinaryIO, *, every: bool) -> None:
    """Check messages against the interface facts.

    Each line of FILE (- is standard input) is {"interface", "event", "message": {"payload": ...}}. The event
    may have its brackets or not; both must agree with the message's S0. Each line is answered by one line of
    JSON: {"valid", "code", "pointer", "message"}, with --all also "problems". Names may have any letter case.

    Exit code 0: all valid; 1: some invalid; 2: wrong usage or no such file.
    """
    catalogue = load_catalogue(rules=Settings.load().rules_dir)
    output = click.get_binary_stream("stdout")
    all_valid = True
    for line in _lines(file):
        result = judge(catalogue, line, every=every)
        output.write(orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE))
        output.flush()  # another program may be waiting for each answer before it writes the next line
        all_valid = all_valid and result["valid"]
    sys.exit(0 if all_valid else 1)


def judge(catalogue: Catalogue, line: bytes | None, *, every: bool = False) -> dict[str, Any]:
    """Return the result for one line; None stands for a line that is too long to read."""
    if line is None:
        return _result(_refusal(f"the line is longer than {VALIDATE_LINE_BYTES_MAX} bytes"), every=every)
    parsed = read_json(line)
    if isinstance(parsed, Unreadable):
        return _result(_refusal(parsed.reason, pointer=_in_message(parsed.pointer)), every=every)
    match parsed.value:
        case {"interface": str(interface), "event": str(event), "message": message}:
            problems, remark = _judge_message(catalogue, interface, event, message)
            return _result(problems, remark=remark, every=every)
        case _:
            return _result(_refusal(_FORM), every=every)


def _in_message(pointer: str) -> str:
    """Point into the message, as all others do; what is wrong with the line around it has no place there."""
    return pointer.removeprefix("/message") if pointer.startswith("/message/") else ""


def _judge_message(
    catalogue: Catalogue, interface: str, event: str, message: object
) -> tuple[tuple[Problem, ...], str]:
    channel = catalogue.channels.get(InterfaceId(interface))
    if channel is None:
        return _refusal(f'"{interface[:20]}" is no interface with a schema', Code.INTERFACE, _INTERFACE), ""
    name = event[1:-1] if event.startswith("[") and event.endswith("]") else event
    if name not in channel.events:
        return _refusal(
            f"{interface} has no event {name[:50]}: {', '.join(channel.events)}", Code.SCHEMA, _EVENT
        ), ""
    verdict = catalogue.check(message, channel=channel.interface, limit=VALIDATE_PROBLEMS_MAX)
    if verdict.event not in (None, name):
        text = f"the message says [{verdict.event}] and the line says {name}"
        return (*_refusal(text, Code.SCHEMA, _EVENT), *verdict.problems), ""
    case_remark = "" if verdict.exact_case else "; some names are not in the specification's letter case"
    return verdict.problems, f"fits {interface} [{name}]{case_remark}"


def _refusal(text: str, code: Code = Code.SCHEMA, pointer: str = "") -> tuple[Problem, ...]:
    return (Problem(pointer=pointer, code=code, text=text),)


def _result(problems: tuple[Problem, ...], *, every: bool, remark: str = "") -> dict[str, Any]:
    first = _shown(problems[0]) if problems else {"code": None, "pointer": None, "message": remark}
    result: dict[str, Any] = {"valid": not problems, **first}
    return result | ({"problems": [_shown(problem) for problem in problems]} if every else {})


def _shown(problem: Problem) -> dict[str, str | None]:
    return {"code": problem.code.value, "pointer": problem.pointer or None, "message": problem.text}


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield lines without their ends; None for one that is too long, whose rest is skipped."""
    while line := file.readline(VALIDATE_LINE_BYTES_MAX):
        if line.endswith(b"\n") or len(line) < VALIDATE_LINE_BYTES_MAX:
            yield line.rstrip(b"\r\n")
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(VALIDATE_LINE_BYTES_MAX)
        yield None
