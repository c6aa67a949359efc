"""Turns drafts into bodies: a schema-valid sample per event, with the draft's values written into it."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from pipeline.simulator.plan import Draft

_UK: Final = ZoneInfo("Europe/London")

Sampler = Callable[[str, str, date], dict[str, Any]]
"""Gives a schema-valid message object for (interface, event, settlement day), a fresh one on every call."""


def stamp(instant: datetime) -> str:
    """Return the 25 characters of an instant on the wire."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")


def midnight(day: date) -> str:
    """Return the UK clock midnight that begins a day, with its offset: how effective dates are written."""
    return datetime(day.year, day.month, day.day, tzinfo=_UK).isoformat(timespec="seconds")


class Writer:
    """Writes drafts with one time stamp and environment tag; keeps one sample per event."""

    def __init__(self, sampler: Sampler, *, environment_tag: str, sent_at: datetime) -> None:
        self._sampler = sampler
        self._samples: dict[tuple[str, str], dict[str, Any]] = {}
        self._environment_tag = environment_tag
        self._sent_at = stamp(sent_at)
        self._day = sent_at.date()

    def body(self, draft: Draft) -> bytes:
        """Return the message as the sender's bytes; the same draft gives the same bytes."""
        message = self._sample(draft.interface, draft.event)
        common, custom = message["payload"]["CommonBlock"], message["payload"].get("CustomBlock")
        common["S1"] = self._sender_block(draft)
        common["A0"] = {"primaryRecipients": list(draft.primary), "secondaryRecipients": [], "always": []}
        if draft.mpan is not None:
            common["M0"] = {
                "MPANCore": draft.mpan,
                "distributorDIPID": draft.distributor,
                "GSPGroupID": draft.gsp_group,
            }
        undo = [_put(custom, path, value) for path, value in draft.fills.items()]
        body = orjson.dumps(message)
        for put_back in reversed(undo):
            put_back()
        return body

    def _sample(self, interface: str, event: str) -> dict[str, Any]:
        key = (interface, event)
        if key not in self._samples:
            sample = self._sampler(interface, event, self._day)
            sample["payload"]["CommonBlock"].pop("D0", None)
            self._samples[key] = sample
        return self._samples[key]

    def _sender_block(self, draft: Draft) -> dict[str, Any]:
        return {
            "environmentTag": self._environment_tag,
            "subText": None,
            "senderUniqueReference": draft.reference,
            "senderTimestamp": self._sent_at,
            "senderDIPID": draft.sender.id,
            "senderRoleID": draft.sender.role,
            "senderCorrelationID": None,
            "DIPConnectionProviderID": draft.sender.provider,
        }


_ABSENT: Final = object()


def _put(root: Any, path: str, value: Any) -> Callable[[], None]:
    """Write one value (None: remove the key) and return how to undo it."""
    *parents, last = path.split(".")
    for name in parents:
        root = root[name]
    before = root.get(last, _ABSENT)
    if value is None:
        root.pop(last, None)
    else:
        root[last] = value

    def put_back() -> None:
        if before is _ABSENT:
            root.pop(last, None)
        else:
            root[last] = before

    return put_back
