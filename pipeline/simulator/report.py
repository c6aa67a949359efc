"""The result of a run: the report file other checks read, and the table a person reads."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from pipeline.simulator.ledger import DIFFERENCES_SHOWN_MAX, Account

_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return the nearest-rank percentiles that the report names; None each where there are no values."""
    if not values:
        return dict.fromkeys(_PERCENTILES)
    ordered = sorted(values)
    return {
        name: round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 4)
        for name, share in _PERCENTILES.items()
    }


def report(account: Account, *, seconds: float, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the report; names and meaning are fixed by design.md 7, the rest is addition."""
    return {
        "submitted": account.submitted,
        "accepted": account.accepted,
        "rejected": account.rejected,
        "copies": account.copies,
        "delivered": account.delivered,
        "parked": account.parked,
        "dead_lettered": account.dead_lettered,
        "lost": account.lost,
        "phantom": account.phantom,
        "latency_s": percentiles(account.latencies_s),
        "seconds": round(seconds, 1),
        "repeated": account.repeated,
        "delivered_again": account.delivered_again,
        "status_messages": {"expected": account.status_expected, "delivered": account.status_delivered},
        "closes": account.closes,
        "differences": list(account.differences[:DIFFERENCES_SHOWN_MAX]),
        **(extra or {}),
    }


def write_report(path: Path, content: Mapping[str, Any]) -> None:
    """Write the report so that a reader never finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def table(content: Mapping[str, Any]) -> Table:
    """Return the account as a table for the terminal."""
    result = Table(title="The ledger", show_header=False, title_justify="left")
    result.add_column(justify="left")
    result.add_column(justify="right")
    result.add_column(justify="left", style="dim")
    for name, value, remark in _rows(content):
        result.add_row(name, value, remark)
    return result


def _rows(content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    status, latency = content["status_messages"], content["latency_s"]
    times = "  ".join(f"{name} {value:.2f}" for name, value in latency.items() if value is not None)
    return [
        ("messages submitted", f"{content['submitted']:,}", ""),
        (
            "  accepted",
            f"{content['accepted']:,}",
            f"{content['repeated']:,} of them again, under the same transaction id",
        ),
        (
            "  refused at the door",
            f"{content['rejected']:,}",
            "each with the status and code that was expected",
        ),
        ("copies (message x recipient)", f"{content['copies']:,}", "by the market's own model"),
        ("  delivered", f"{content['delivered']:,}", f"{content['delivered_again']:,} arrived a second time"),
        ("  parked", f"{content['parked']:,}", "for the recipient that is dead"),
        ("  dead-lettered", f"{content['dead_lettered']:,}", "refused by the recipient that is particular"),
        ("  lost", f"{content['lost']:,}", ""),
        ("  phantom", f"{content['phantom']:,}", ""),
        (
            "status messages",
            f"{status['delivered']:,} of {status['expected']:,}",
            "to the senders they concern",
        ),
        (
            "latency of healthy recipients",
            f"{times} s" if times else "-",
            "from the 201 to the recipient's reply",
        ),
        ("seconds", f"{content['seconds']:.1f}", ""),
    ]
