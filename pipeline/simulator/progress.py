"""Shows how a run is going: a live line on a terminal, a plain one now and then elsewhere."""

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

_PLAIN_EVERY_S: Final = 5.0


class Progress:
    """One line that changes. `now_s` is any monotonic clock; `quiet` shows nothing."""

    def __init__(self, *, now_s: Callable[[], float], quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._now_s = now_s
        self._quiet = quiet
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if self._is_live() else None
        )
        self._started_s = now_s()
        self._shown_s = self._started_s - _PLAIN_EVERY_S

    def _is_live(self) -> bool:
        return not self._quiet and sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if not self._quiet:
            self._console.print(f"{self._elapsed()} {text}", markup=False, soft_wrap=True)

    def _elapsed(self) -> str:
        return f"[{self._now_s() - self._started_s:5.1f} s]"

    def show(self, text: str) -> None:
        """Replace the changing line."""
        if self._live is not None:
            self._live.update(Text(f"{self._elapsed()} {text}"), refresh=True)
        elif not self._quiet and self._now_s() - self._shown_s >= _PLAIN_EVERY_S:
            self._shown_s = self._now_s()
            self.say(text)
