"""A worker that was fine and hears nothing any more is not ready; one that has nothing to ask for is."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engine.health import _silent
from pipeline.engine.watchdog import Watchdog
from pipeline.limits import SILENCE_S_MAX


def consumer(*, fetched_s: float | None, answered_s: float | None) -> Any:
    return SimpleNamespace(
        counters=SimpleNamespace(last_fetch_s=fetched_s), watchdog=SimpleNamespace(answered_s=answered_s)
    )


@pytest.mark.parametrize(
    ("fetched_s", "answered_s", "words"),
    [
        (100.0, 100.0, []),
        (None, None, []),  # it only starts, and other reasons say so
        (100.0 - SILENCE_S_MAX - 1, 100.0, ["no fetch has come back for 61 s"]),
        (100.0, 100.0 - SILENCE_S_MAX - 1, ["the broker has not answered for 61 s"]),
    ],
)
def test_silence_has_words(fetched_s: float | None, answered_s: float | None, words: list[str]) -> None:
    assert _silent(consumer(fetched_s=fetched_s, answered_s=answered_s), 100.0) == words


async def test_a_worker_whose_partitions_all_went_away_asks_for_nothing() -> None:
    """More workers than partitions: the one too many must not look as if Kafka were silent."""
    nothing = SimpleNamespace(assignment=SimpleNamespace(owned=set()))
    watchdog = Watchdog(SimpleNamespace(membership=nothing))  # type: ignore[arg-type]  # no more is looked at
    watchdog.answered_s = 1.0
    await watchdog._look()
    assert watchdog.answered_s is None
