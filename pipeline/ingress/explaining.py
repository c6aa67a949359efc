"""`GET /dip-channel/{id}/explain/{recipient-id}`: why a participant gets messages about an MPAN, or does not."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from pipeline.adapters.shard_client import Answered
from pipeline.catalogue import Catalogue
from pipeline.domain.identifiers import InterfaceId
from pipeline.domain.shards import APPOINTMENTS
from pipeline.domain.times import applicable_instant
from pipeline.ingress.asking import unanswered
from pipeline.ingress.calls import Asks, Call, Outcome, Reply
from pipeline.ingress.outside import Shards
from pipeline.ingress.ownership import foreign
from pipeline.ingress.refusals import Refusal

_MPAN: Final = re.compile(r"[0-9]{13}", re.ASCII)
_NOT_YOURS: Final = Refusal(
    status=HTTPStatus.NOT_FOUND,
    slug="nothing-of-yours",
    help="The recipient in the path would get no copy of such a message. Whether others would is not said.",
)


class ExplainRouting:
    """Answers by the rule that routes, from the rows of the router that owns the MPAN: the asker's own part only."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, call: Call) -> Outcome:
        """Check what is asked, then ask the MPAN's owner."""
        refusal = foreign(call)
        if refusal is not None:
            return refusal
        question = self._question(call)
        return question if isinstance(question, Refusal) else Asks(answer=partial(_ask, question))

    def _question(self, call: Call) -> Mapping[str, Any] | Refusal:
        channel = self._catalogue.channels[InterfaceId(call.path["id"])]
        mpan, event = call.query.get("MPAN", ""), call.query.get("event", "").strip("[]")
        if not _MPAN.fullmatch(mpan):
            return _bad("MPAN", mpan, "13 digits")
        if event not in channel.events:
            return _bad("event", event, f"one of {', '.join(channel.events)}")
        dates = {}
        for name in ("date", "as-known-at"):
            text = call.query.get(name)
            instant = None if text is None else _instant(text)
            if text is not None and instant is None:
                return _bad(name, text, "2026-01-05 or 2026-01-05T00:00:00+00:00")
            dates[name] = instant and instant.isoformat()
        return {
            "what": "explain",
            "participant": call.path["recipient-id"],
            "channel": call.path["id"],
            "mpan": mpan,
            "event": event,
            "day": dates["date"],
            "as_known_at": dates["as-known-at"],
            "now": call.now.isoformat(),
        }


def _instant(text: str) -> datetime | None:
    """Read a day or an instant; also with fractions of a second, as the router stamps what it records."""
    if found := applicable_instant(text):
        return found
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo else None


def _bad(name: str, value: str, expected: str) -> Refusal:
    return Refusal(
        status=HTTPStatus.BAD_REQUEST,
        slug="request-invalid",
        help=f"Query parameter {name} is {value[:60]!r}: expected {expected}.",
    )


async def _ask(question: Mapping[str, Any], shards: Shards) -> Outcome:
    answer = await shards.ask(APPOINTMENTS, question["mpan"].encode(), question)
    if not isinstance(answer, Answered):
        return unanswered(answer)
    return _NOT_YOURS if answer.value is None else Reply(status=HTTPStatus.OK, value=answer.value)
