"""The router's answers about its appointments: who would get a message, as far as it concerns the participant who asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from agents.shards import OpenBook
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.domain.appointments import History
from pipeline.domain.explain import Question, explain, own_view
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, ParticipantId
from pipeline.domain.shards import APPOINTMENTS
from pipeline.ports import ParticipantSource

EXPLAIN: Final = "explain"


class Histories(Protocol):
    """The table `appointments`, read outside of batches."""

    def committed(self, key: bytes, partition: int) -> History | None:
        """Return a committed row of a partition that is held and restored."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Explaining:
    """Answers by the rule that routes, and says nothing of others than the one who asks."""

    catalogue: Catalogue
    participants: ParticipantSource
    appointments: Histories

    def book(self) -> OpenBook:
        """Return what to announce."""
        return OpenBook(name=APPOINTMENTS, topic=topics.VALIDATED, reply=self)

    async def __call__(self, partition: int, question: Mapping[str, Any]) -> Any:
        """Return the explanation's public form, or None where it is none of the asker's business."""
        if question["what"] != EXPLAIN:
            raise ValueError(question["what"])
        asked = _question(question)
        mpan = question["mpan"].encode()
        channel = self.catalogue.channels[asked.interface]
        explanation = explain(
            asked,
            routing=channel.routing(asked.event, asked.now),
            history=self.appointments.committed(mpan, partition),
            participants=self.participants.current(),
        )
        own = own_view(explanation, ParticipantId(question["participant"]))
        return None if own is None else own.plain()


def _question(asked: Mapping[str, Any]) -> Question:
    known = asked["as_known_at"] and datetime.fromisoformat(asked["as_known_at"])
    return Question(
        mpan=Mpan(asked["mpan"]),
        interface=InterfaceId(asked["channel"]),
        event=EventCode(asked["event"]),
        days=(datetime.fromisoformat(asked["day"]),) if asked["day"] else (),
        now=known or datetime.fromisoformat(asked["now"]),
        as_known_at=known,
    )
