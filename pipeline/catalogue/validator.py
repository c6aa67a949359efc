"""The validator of one (interface, event) pair."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from pipeline.catalogue.casing import Canonical, canonical
from pipeline.catalogue.explanation import Problem, explain, problem
from pipeline.catalogue.json_schema import compile_schema
from pipeline.catalogue.shapes import MessageShape, Shape
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX


class CompiledShape:
    """A shape whose two schemas are compiled when first needed, so that a process starts at once.

    One costs 0.7 ms. Events of one published schema share an instance.
    """

    __slots__ = ("_exact", "_lenient", "shape")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._exact: Callable[[object], bool] | None = None
        self._lenient: Callable[[object], bool] | None = None

    def is_exact(self, message: object) -> bool:
        """Tell whether a message fits with the names of the specification and no others."""
        if self._exact is None:
            self._exact = compile_schema(self.shape, closed=True)
        return _holds(self._exact, message)

    def is_valid(self, message: object) -> bool:
        """Tell whether a message fits; open records may hold further names."""
        if self.is_exact(message):
            return True
        if self._lenient is None:
            self._lenient = compile_schema(self.shape, closed=False)
        return _holds(self._lenient, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairValidator:
    """Judges messages of one pair. Messages are parsed JSON; keys are text, as JSON's are."""

    shape: MessageShape
    compiled: CompiledShape = field(repr=False)

    @property
    def interface(self) -> InterfaceId:
        return self.shape.interface

    @property
    def event(self) -> EventCode:
        return self.shape.event

    def is_exact(self, message: object) -> bool:
        """Answer the hot path: valid, and every name as the specification writes it.

        False does not mean invalid: names in other letter case, or additional names where the specification
        leaves a record open, are looked at by `Catalogue.check`.
        """
        return self.compiled.is_exact(message)

    def is_valid(self, message: object) -> bool:
        """Tell whether a message fits the published schema, names compared exactly."""
        return self.compiled.is_valid(message)

    def problems(self, message: object, limit: int = PROBLEMS_PER_MESSAGE_MAX) -> tuple[Problem, ...]:
        """Return what is wrong, in the order of the specification, at most `limit`; none means valid."""
        if self.is_valid(message):
            return ()
        found = tuple(islice(explain(message, self.shape.root), limit))
        # The schema has the last word: what it refuses is refused, also without an explanation.
        return (
            found
            or (problem((), "does not fit the schema", expected="a message by the published schema"),)[:limit]
        )

    def canonical(self, message: object) -> Canonical:
        """Return the message with the specification's letter case in all names."""
        return canonical(message, self.shape.root)


def _holds(judge: Callable[[object], bool], message: object) -> bool:
    try:
        return judge(message)
    except ValueError:
        # Text that is not Unicode (a lone surrogate), or nesting deeper than the engine follows.
        return False
