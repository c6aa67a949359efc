"""Values to HTML: the templates with their filters. Everything is escaped; nothing of a page is marked as safe."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.console import telling
from pipeline.domain.times import format_instant

STYLE: Final = "console.css"


class Templates:
    """All templates, compiled when they are first used."""

    def __init__(self) -> None:
        self.style = (files("pipeline.console") / "static" / STYLE).read_bytes()
        self._style_path = f"/static/{STYLE}?v={hashlib.sha256(self.style).hexdigest()[:12]}"
        self._environment = Environment(
            loader=PackageLoader("pipeline.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            instant=telling.instant,
            precise=telling.precise,
            day=telling.day,
            age=telling.age,
            count=telling.count,
            rate=telling.rate,
            iso=format_instant,
        )

    def page(self, name: str, values: Mapping[str, Any]) -> str:
        """Return a page."""
        return self._environment.get_template(name).render(style=self._style_path, **values)
