"""The console's view of the dead letters, and the one requeue that it runs at a time: the command's own functions."""

import asyncio
import heapq
import logging
from dataclasses import replace
from typing import Final

from pipeline import limits
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.dead_letters import STAGES, Requeuer, letter_at, letters
from pipeline.console.ports import Asked, FoundLetters, Plan, Requeue, Trouble
from pipeline.domain.dead_letters import Letter, Place
from pipeline.errors import RouterError
from pipeline.operate import deadletter_requeue as requeueing
from pipeline.operate.console_link import Link, Readers

log = logging.getLogger(__name__)

_LONG_AGO: Final = 0.0


class TopicLetters:
    """Implements `pipeline.console.ports.Letters`."""

    def __init__(self, link: Link, readers: Readers) -> None:
        self._link = link
        self._readers = readers
        self._progress: Requeue | None = None
        self._task: asyncio.Task[None] | None = None

    async def find(self, asked: Asked) -> FoundLetters | Trouble:
        return await self._readers.run(lambda: self._find(asked))

    async def at(self, place: Place) -> Letter | Trouble | None:
        return await self._readers.run(lambda: letter_at(self._link.settings, place, self._link.codec()))

    async def plan(self, asked: Asked) -> Plan | Trouble:
        return await self._readers.run(lambda: self._plan(asked))

    async def requeue(self, asked: Asked, *, by: str, rate_per_s: float) -> Trouble | None:
        if self._task is not None and not self._task.done():
            return Trouble(text="A requeue runs already. Wait until it has ended.")
        self._progress = Requeue(by=by, what=_what(asked), sent=0, going=None, ended=None)
        ask = requeueing.Ask(stages=_stages(asked), wanted=asked.wanted, rate_per_s=rate_per_s, by=by)
        self._task = asyncio.create_task(self._run(ask, self._progress))
        return None

    def progress(self) -> Requeue | None:
        return self._progress

    async def close(self) -> None:
        """Wait for a requeue that runs: the process's end would cut it, and the next would go on."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=limits.OPERATOR_CALL_S_MAX)

    async def _run(self, ask: requeueing.Ask, begun: Requeue) -> None:
        try:
            sent = await asyncio.to_thread(self._send_back, ask)
            self._progress = replace(self._progress or begun, sent=sent, ended="all of them")
        except RouterError as error:
            self._progress = replace(self._progress or begun, ended=f"it ended early: {error}")
        except Exception:
            log.exception("a requeue failed")
            self._progress = replace(
                self._progress or begun, ended="it failed; the log of the console says why"
            )

    def _send_back(self, ask: requeueing.Ask) -> int:
        settings, codec = self._link.settings, self._link.codec()
        requeuer = Requeuer(settings)  # before the audit is read: it ends what an interrupted one had begun
        going = requeueing.find_out(settings, codec, ask, lambda _: None)
        self._tell(going=len(going), sent=0)
        return requeueing.send_back(
            settings,
            codec,
            ask,
            going=going,
            requeuer=requeuer,
            now=SystemClock().now,
            say=lambda sent: self._tell(going=len(going), sent=sent),
        )

    def _tell(self, *, going: int, sent: int) -> None:
        assert self._progress is not None, "it runs"
        self._progress = replace(self._progress, going=going, sent=sent)

    def _find(self, asked: Asked) -> FoundLetters:
        """Keep the latest of those asked for, whatever their number."""
        codec = self._link.codec()
        wanted = (
            one
            for stage in ([asked.stage] if asked.stage else STAGES)
            for one in letters(self._link.settings, stage, codec)
            if asked.wanted.takes(one)
        )
        latest = heapq.nlargest(limits.CONSOLE_FOUND_MAX + 1, wanted, key=_age)
        return FoundLetters(
            letters=tuple(latest[: limits.CONSOLE_FOUND_MAX]), more=len(latest) > limits.CONSOLE_FOUND_MAX
        )

    def _plan(self, asked: Asked) -> Plan:
        ask = requeueing.Ask(stages=_stages(asked), wanted=asked.wanted, rate_per_s=1, by="")
        found = requeueing.find_out(self._link.settings, self._link.codec(), ask, lambda _: None)
        return Plan(
            going=len(found),
            kinds=tuple((stage, code, count) for (stage, code), count in sorted(found.kinds.items())),
            staying=tuple((why.value, count) for why, count in found.staying.most_common()),
        )


def _stages(asked: Asked) -> tuple[str, ...]:
    return (asked.stage,) if asked.stage else requeueing.STAGES


def _age(letter: Letter) -> tuple[float, Place]:
    return (letter.at.timestamp() if letter.at else _LONG_AGO, letter.place)


def _what(asked: Asked) -> str:
    said = {"stage": asked.stage} | {
        name: getattr(asked.wanted, name) for name in ("code", "sender", "recipient", "channel")
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value) or "all stages"
