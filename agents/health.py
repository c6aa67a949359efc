"""Pages of a worker: `/health/live`, `/health/ready` (`/healthz`, `/readyz`), `/health`, `/metrics` and `/lanes`."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import chain
from typing import Any

from pipeline.adapters.exposition import CONTENT_TYPE, exposition
from pipeline.delivery.dispatch import Dispatcher
from pipeline.domain.times import format_instant
from pipeline.engine import App
from pipeline.metrics import Sample

_OK, _UNAVAILABLE = 200, 503


def add_health_pages(app: App) -> None:
    """Serve what `app.health()` says. Ready: every assigned shard is recovered. Live: rounds advance."""

    @app.page("/health/")  # type: ignore[untyped-decorator]  # faust ships no types
    async def health(web: Any, _request: Any) -> Any:
        return web.json(_plain(app))

    async def ready(web: Any, _request: Any) -> Any:
        return web.json(_plain(app), status=_OK if app.health().ready else _UNAVAILABLE)

    async def live(web: Any, _request: Any) -> Any:
        return web.json(_plain(app), status=_OK if app.health().alive else _UNAVAILABLE)

    for path, page in (
        ("/health/ready", ready),
        ("/readyz", ready),
        ("/health/live", live),
        ("/healthz", live),
    ):
        app.page(path)(page)


def add_metrics_page(app: App, *more: Callable[[], Iterable[Sample]]) -> None:
    """Serve `/metrics`: the engine's figures, and more of this worker's own."""

    @app.page("/metrics")  # type: ignore[untyped-decorator]  # faust ships no types
    async def metrics(web: Any, _request: Any) -> Any:
        samples = chain(app.samples(), *(one() for one in more))
        return web.bytes(exposition(samples), headers={"Content-Type": CONTENT_TYPE})


def add_lane_page(app: App, dispatcher: Dispatcher) -> None:
    """Serve how the lanes of a delivery worker stand, and what it holds in all."""

    @app.page("/lanes/")  # type: ignore[untyped-decorator]  # faust ships no types
    async def lanes(web: Any, _request: Any) -> Any:
        rows = [asdict(one) for one in dispatcher.standings()]
        for row in rows:
            for name in ("next_try_at", "oldest_at"):
                row[name] = row[name] and format_instant(row[name])
        return web.json({"in_all": asdict(dispatcher.figures()), "lanes": rows})


def _plain(app: App) -> dict[str, Any]:
    figures = asdict(app.health())
    figures["lag"] = {str(place): count for place, count in figures["lag"].items()}
    return figures
