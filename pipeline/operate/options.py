"""Kinds of values that several commands take."""

from datetime import UTC, datetime
from typing import Any, Final

import click

DAY_FORMS: Final = "2026-01-05 or 2026-01-05T12:30, in UTC unless it ends in +hh:mm"


class Instant(click.ParamType):
    """A day or a moment."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write {DAY_FORMS}", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
