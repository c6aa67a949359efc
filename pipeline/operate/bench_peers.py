"""`dip bench peers`: one job (validate, look up, fan out) done by us and by others, on one broker, in one run."""

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import click

from pipeline.errors import RouterError
from pipeline.localstack import default_cache
from pipeline.operate.bench_engine import lend_broker
from pipeline.operate.bench_peers_run import Contest, Outcome
from pipeline.operate.bench_peers_setup import PEERS, PROGRAMS, YARDSTICK, Peer, commands
from pipeline.settings import Settings

OURS: Final = "engine"
_MESSAGES_MIN: Final = 1_000


class PeersFailed(RouterError):
    """Our own engine lost, doubled or misaddressed an output, or died. Others' faults are figures of the table."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--messages",
    default=40_000,
    show_default=True,
    type=click.IntRange(_MESSAGES_MIN),
    help="Of 1 kB, to 4 recipients each; much slower peers get a part of them.",
)
@click.option(
    "--repeat",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Undisturbed runs of each, interleaved; medians are reported.",
)
@click.option("--kills", default=1, show_default=True, type=click.IntRange(0), help="Runs with a kill -9.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([one.name for one in PEERS]),
    help="Only these, and what they are compared with.",
)
def peers(*, as_json: bool, messages: int, repeat: int, kills: int, only: tuple[str, ...]) -> None:
    """Do one job with the engine, plain loops, faust-streaming, Quix Streams and Kafka Streams, and compare.

    Validate a record, look its MPAN up in a keyed table with a changelog, send it to the four holders found there.
    CPU of each peer's process while warm, and what is lost and doubled, also by a kill -9 in the middle with a new
    start at once. What the peers need is fetched once (300 MB), into the cache and a venv of its own.
    """
    if not PROGRAMS.is_dir():
        raise click.ClickException(f"{PROGRAMS} is not there: run `dip bench peers` in a checkout")
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {text}", err=True)

    chosen = chosen_peers(only)
    outcomes = _contest(chosen, messages=messages, repeat=repeat, kills=kills, say=say)
    found = figures(chosen, outcomes)
    if as_json:
        click.echo(json.dumps({"peers": found, "runs": [one.wire() for one in outcomes]}))
    else:
        click.echo(_table(found))
    _complain(found)


def _contest(
    chosen: Sequence[Peer], *, messages: int, repeat: int, kills: int, say: Callable[[str], None]
) -> list[Outcome]:
    """Let everybody run in turn, on one broker."""
    settings = Settings.load()
    run = commands(frozenset(one.program for one in chosen), default_cache(settings), say=say)
    shares = {one.name: max(_MESSAGES_MIN, int(messages * one.share)) for one in chosen}
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="dip-peers-") as folder,
        lend_broker(settings, Path(folder), say) as bootstrap,
    ):
        contest = Contest(bootstrap=bootstrap, folder=Path(folder), tag=f"peers-{uuid.uuid4().hex[:8]}")
        for count in sorted(set(shares.values())):
            say(f"writing {count:,} messages of 1 kB")
            contest.fill(count)
        for turn in range(repeat + kills):
            for one in chosen:
                done = contest.run(
                    one, run[one.program], messages=shares[one.name], turn=turn, kill=turn >= repeat
                )
                outcomes.append(done)
                say(f"{one.name}: {_told(done)}")
    return outcomes


def chosen_peers(only: Sequence[str]) -> list[Peer]:
    """Return the contenders, each with its yardstick. Pure."""
    asked = [one for one in PEERS if not only or one.name in only]
    needed = {one.name for one in asked} | {YARDSTICK[one.guarantee] for one in asked}
    return [one for one in PEERS if one.name in needed]


def figures(chosen: Iterable[Peer], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Reduce the runs to a row for each peer: medians, ratios to the loop of the same guarantee, sums. Pure."""
    rows = []
    for peer in chosen:
        mine = [one for one in outcomes if one.peer == peer.name]
        clean, killed = [one for one in mine if not one.killed], [one for one in mine if one.killed]
        cpu, yard = _cpu(clean), _cpu([one for one in outcomes if one.peer == YARDSTICK[peer.guarantee]])
        rows.append(
            {
                "peer": peer.name,
                "guarantee": peer.guarantee,
                "cpu_us": cpu,
                "ratio": round(cpu / yard, 2) if cpu and yard else None,
                "per_s": _median(one.per_s for one in clean),
                "clean": _sums(clean),
                "killed": _sums(killed),
                "silence_s": _median(one.silence_s for one in killed),
                "died": next((one.died for one in mine if one.died), ""),
            }
        )
    return rows


def _cpu(runs: Iterable[Outcome]) -> float | None:
    return _median(one.cpu_us for one in runs)


def _median(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return round(median(known), 1) if known else None


def _sums(runs: Sequence[Outcome]) -> dict[str, int] | None:
    if not runs:
        return None
    return {
        "due": sum(one.due for one in runs),
        "lost": sum(one.lost for one in runs),
        "doubled": sum(one.doubled for one in runs),
        "misaddressed": sum(one.misaddressed for one in runs),
        "unfinished": sum(bool(one.unfinished) for one in runs),
    }


def _told(one: Outcome) -> str:
    cost = "" if one.cpu_us is None else f"{one.cpu_us:.0f} us CPU, {one.per_s:,.0f}/s, "
    how = "killed, " if one.killed else ""
    return (
        f"{how}{cost}{one.lost} of {one.due} lost, {one.doubled} doubled{f', {one.died}' if one.died else ''}"
    )


def _table(found: Sequence[dict[str, Any]]) -> str:
    line = "{:<11} {:<13} {:>8} {:>7} {:>8} {:>9} {:>8} {:>13} {:>8} {:>7}".format
    lines = [
        "Validate, look up, send to four: CPU us a message in, of each peer's own process",
        line(
            "",
            "guarantee",
            "us CPU",
            "x loop",
            "in/s",
            "lost",
            "doubled",
            "killed: lost",
            "doubled",
            "pause s",
        ),
    ]
    notes: list[str] = []
    for row in found:
        clean, killed = row["clean"] or {}, row["killed"] or {}
        if clean.get("unfinished") or killed.get("unfinished"):
            notes.append(f"{row['peer']}: some runs were not finished in time and are not counted as lost")
        if row["died"]:
            notes.append(f"{row['peer']} died: {row['died']}")
        cells = [
            row["cpu_us"], row["ratio"], row["per_s"], clean.get("lost"), clean.get("doubled"),
            killed.get("lost"), killed.get("doubled"), row["silence_s"],
        ]  # fmt: skip
        shown = ("-" if one is None else f"{one:,}" for one in cells)
        lines.append(line(row["peer"], row["guarantee"], *shown))
    return "\n".join([*lines, *notes])


def _complain(found: Sequence[dict[str, Any]]) -> None:
    for row in found:
        if row["peer"] == OURS:
            sums = [row[kind] for kind in ("clean", "killed") if row[kind]]
            faults = {
                name: sum(one[name] for one in sums)
                for name in ("lost", "doubled", "misaddressed", "unfinished")
            }
            if any(faults.values()) or row["died"]:
                raise PeersFailed(f"{OURS}: {faults} {row['died']}")
