"""How the stages go: rates, lags and ages, and every process that says so."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.console.drawing import spark
from pipeline.console.ports import Process, Trouble
from pipeline.console.serving import Page, Visit
from pipeline.console.watching import kind_of

_REFRESH_S: Final = 10


async def show(visit: Visit) -> Page:
    """Show the last look; the first visitor after a start looks himself."""
    if visit.watch.last is None:
        await visit.watch.look()
    last = visit.watch.last
    assert last is not None, "looked above"
    rows = [{"row": row, "spark": spark(row.history)} for row in visit.watch.rows()]
    refreshing = visit.asked("refresh") is not None
    return Page(
        template="stages.html",
        values={
            "rows": rows,
            "at": last.at,
            "lag_trouble": last.lags.text if isinstance(last.lags, Trouble) else None,
            "processes": [_told(one) for one in last.processes],
            "figures": list(_figures(last.processes)),
            "refreshing": refreshing,
        },
        refresh_s=_REFRESH_S if refreshing else None,
    )


def _told(process: Process) -> Mapping[str, Any]:
    labels = next(iter(process.figures.get("dip_info", ())), ("", None, ""))
    return {
        "kind": kind_of(process) or "?",
        "name": labels[2] if len(labels) > 2 else "",  # noqa: PLR2004  # version, process, name
        "version": labels[0],
        "address": process.address,
        "ready": process.figures.get("dip_ready", {}).get((), 0.0) > 0,
        "trouble": process.trouble,
    }


_SHOWN: Final = (
    ("dip_copies_parked", "copies parked", sum),
    ("dip_lane_oldest_parked_seconds", "oldest parked copy", max),
    ("dip_bridge_requests_waiting", "requests waiting at the bridge", sum),
    ("dip_restore_remaining_records", "records still to be restored", sum),
)


def _figures(processes: tuple[Process, ...]) -> Iterator[tuple[str, float, bool]]:
    """Yield what is worth a line of its own: name, value, whether it is a time."""
    for metric, text, together in _SHOWN:
        values = [value for one in processes for value in one.figures.get(metric, {}).values()]
        if values:
            yield text, together(values), metric.endswith("_seconds")
