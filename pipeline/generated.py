"""Straight functions that the program writes itself: Python source, put together a line at a time and compiled once.

For work that is known in every detail before it begins and is done thousands of times a second. A function that
interprets a plan, or a closure for each part of it, pays one call for each part, several times what the part itself
costs (docs/adr/0420). What was written can be read: tracebacks show its lines, and so does `inspect.getsource`.
"""

import linecache
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

_NUMBERS: Final = count(1)


class Source:
    """Lines of one function, and what its names mean.

    Only for what this program knows from its own files: nothing that came from outside may become a part of a line.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = dict(names)
        self._lines: list[str] = []
        self._depth = 0

    def add(self, *lines: str) -> None:
        """Write lines where the block now is."""
        self._lines += ["    " * self._depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write a line; what is written inside the `with` is indented below it."""
        self.add(head)
        self._depth += 1
        yield
        self._depth -= 1

    def function(self, name: str, title: str) -> Callable[..., Any]:
        """Compile all that was written and return the function of that name; `title` names its file in tracebacks."""
        file, text = f"<{title} {next(_NUMBERS)}>", "\n".join(self._lines) + "\n"
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
        exec(compile(text, file, "exec"), self.names)  # noqa: S102  # lines made from our own schemas: see above
        made: Callable[..., Any] = self.names[name]
        return made
