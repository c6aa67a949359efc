"""Collecting copies instead of having them pushed: an extension of Open DIP, which other routers do not have.

Take what `peek` hands out, keep it safely, then `acknowledge` its receipt. What is not acknowledged comes again, with
the same delivery ids: whoever has taken an id before only acknowledges it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.client.extensions import Place, place_of
from pipeline.client.participant import Outcome, Participant, query_of
from pipeline.client.records import UNREADABLE, Unreadable, read_nothing, read_object
from pipeline.client.transport import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Copies that wait, oldest first. Without a receipt it is empty; `more` says that others wait behind them.

    `places` are those of the messages, with what was given up before each; None where the DIP does not say.
    """

    receipt: str | None
    delivery_ids: tuple[str, ...]
    messages: tuple[Mapping[str, Any], ...]
    more: bool
    places: tuple[Place | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What became of acknowledged copies.

    `before` were settled already. `under_way` are being pushed to the webhook at this moment: if that fails they are
    handed out again.
    """

    settled: int
    before: int
    under_way: int


class Mailbox:
    """The mailbox of one channel; None is that of status messages."""

    def __init__(self, dip: Participant, channel: str | None, *, recipient: str | None = None) -> None:
        self._dip = dip
        self._where = ("statusmessage",) if channel is None else ("dip-channel", channel)
        self._recipient = recipient

    async def peek(
        self,
        *,
        wait_s: int = 0,
        messages: int | None = None,
        size_bytes: int | None = None,
        age_s: int = 0,
        after: str | None = None,
    ) -> Outcome[Bundle]:
        """Ask for the oldest copies that wait, or those behind a receipt; wait up to 20 s for some to come.

        With `age_s` copies may gather: fewer than asked for come once the oldest has waited for so long.
        """
        asked = {"wait": wait_s or None, "messages": messages, "bytes": size_bytes, "age": age_s or None}
        text = {name: None if value is None else str(value) for name, value in asked.items()}
        return await self._dip.ask(
            Call(method="GET", path=self._path("mailbox") + query_of(text | {"after": after})), _bundle
        )

    async def acknowledge(self, *receipts: str) -> Outcome[Acknowledged]:
        """Say that the copies of these receipts are kept safely. Saying it again is harmless."""
        body = orjson.dumps({"receipts": receipts})
        return await self._dip.ask(Call(method="POST", path=self._path("mailbox"), body=body), _acknowledged)

    async def choose(self, *, pull: bool) -> Outcome[None]:
        """Have nothing pushed any more, or have copies pushed again; the mailbox is open either way."""
        body = orjson.dumps({"delivery": "pull" if pull else "both"})
        return await self._dip.ask(Call(method="PUT", path=self._path("mailbox"), body=body), read_nothing)

    async def lane(self) -> Outcome[Mapping[str, Any]]:
        """Ask how the delivery stands: state, backlog, age of the oldest copy, last error, next try, limits."""
        return await self._dip.ask(Call(method="GET", path=self._path("lane")), read_object)

    def _path(self, what: str) -> str:
        return self._dip.path(*self._where, what, self._recipient)


def _bundle(content: bytes) -> Bundle | Unreadable:
    value = read_object(content)
    if isinstance(value, Unreadable):
        return value
    try:
        untold = [None] * len(value["messages"])
        return Bundle(
            receipt=value["receipt"],
            delivery_ids=tuple(value["deliveryIDs"]),
            messages=tuple(value["messages"]),
            more=value["more"],
            places=tuple(map(_place, value.get("sequences", untold), value.get("gaps", untold))),
        )
    except (KeyError, TypeError):
        return UNREADABLE


def _place(sequence: str | None, gap: str | None) -> Place | None:
    return None if sequence is None else place_of(sequence, gap or "")


def _acknowledged(content: bytes) -> Acknowledged | Unreadable:
    value = read_object(content)
    if isinstance(value, Unreadable):
        return value
    try:
        return Acknowledged(settled=value["settled"], before=value["before"], under_way=value["underWay"])
    except KeyError:
        return UNREADABLE
