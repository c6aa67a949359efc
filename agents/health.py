"""Health pages of a worker: `/health/live`, `/health/ready`, the figures behind them at `/health`, and `/lanes`."""

from dataclasses import asdict
from typing import Any

from pipeline.delivery.dispatch import Dispatcher
from pipeline.domain.times import format_instant
from pipeline.engine import App

_OK, _UNAVAILABLE = 200, 503


def add_health_pages(app: App) -> None:
    """Serve what `app.health()` says. Ready: every assigned shard is recovered. Live: rounds advance."""

    @app.page("/health/")  # type: ignore[untyped-decorator]  # faust ships no types
    async def health(web: Any, _request: Any) -> Any:
        return web.json(_plain(app))

    @app.page("/health/ready")  # type: ignore[untyped-decorator]  # faust ships no types
    async def ready(web: Any, _request: Any) -> Any:
        return web.json(_plain(app), status=_OK if app.health().ready else _UNAVAILABLE)

    @app.page("/health/live")  # type: ignore[untyped-decorator]  # faust ships no types
    async def live(web: Any, _request: Any) -> Any:
        return web.json(_plain(app), status=_OK if app.health().alive else _UNAVAILABLE)


def add_lane_page(app: App, dispatcher: Dispatcher) -> None:
    """Serve how the lanes of a delivery worker stand, and what it holds in all."""

    @app.page("/lanes/")  # type: ignore[untyped-decorator]  # faust ships no types
    async def lanes(web: Any, _request: Any) -> Any:
        rows = [asdict(one) for one in dispatcher.standings()]
        for row in rows:
            row["next_try_at"] = row["next_try_at"] and format_instant(row["next_try_at"])
        return web.json({"in_all": asdict(dispatcher.figures()), "lanes": rows})


def _plain(app: App) -> dict[str, Any]:
    figures = asdict(app.health())
    figures["lag"] = {str(place): count for place, count in figures["lag"].items()}
    return figures
