"""What a revocation does when the round before it broke off."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pipeline.engine.errors import Reset
from pipeline.engine.hand import Watch
from pipeline.engine.membership import Membership
from pipeline.engine.values import EngineSettings


async def nothing(_owned: Any) -> None:
    pass


async def test_no_round_is_written_after_a_last_round_that_broke_off() -> None:
    """Two revocations in one fetch; the windows hold what the first failed to write.

    A second round would commit their offsets without their outputs, or answer their settlements as done.
    (Simulation, seed 7310 of 26 November 2026: "was said to be settled, and is not in Kafka".)
    """
    rounds = []

    def broken(_watch: Watch) -> None:
        rounds.append("tried")
        raise Reset("transaction: ILLEGAL_GENERATION")

    membership = Membership(
        EngineSettings(bootstrap="b:1", instance="0", dead_letters={}),
        topics=SimpleNamespace(), tables=SimpleNamespace(), tell_faust=nothing, on_claimed=(), on_revoked=(),
    )  # type: ignore[arg-type]  # neither topics nor tables are looked at  # fmt: skip
    membership.loop = asyncio.get_running_loop()
    membership.last_round = broken
    watch = Watch("fetch", 10)
    for number in (0, 1):
        await asyncio.to_thread(membership.revoked, watch, {("t", number)}, lost=False)
    assert rounds == ["tried"]
    assert isinstance(membership.failed, Reset)
