"""Health pages of a worker: `/health/live`, `/health/ready`, and the figures behind them at `/health`."""

from dataclasses import asdict
from typing import Any

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


def _plain(app: App) -> dict[str, Any]:
    figures = asdict(app.health())
    figures["lag"] = {str(place): count for place, count in figures["lag"].items()}
    return figures
