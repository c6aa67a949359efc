"""Recipients and their own lanes: how they stand, what waits in the mailbox, what was collected, and push or pull.

What waits is known to the delivery worker that owns the recipient's partition; it is asked, and its answers are about
one lane: that of the path, which is the caller's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import orjson

from pipeline import topics
from pipeline.adapters.producer import Outgoing
from pipeline.adapters.shard_client import Answered, TooBusy, Unanswered
from pipeline.catalogue.json_text import Unreadable
from pipeline.domain.fanout import lane_key
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId
from pipeline.domain.lane_orders import LaneOrder, LaneState, choice_key
from pipeline.domain.mailbox import Receipt
from pipeline.domain.shards import LANES, partition_of
from pipeline.ingress.activity import done
from pipeline.ingress.asking import unanswered
from pipeline.ingress.calls import Asks, Call, Later, Outcome, Recorded, Reply
from pipeline.ingress.mailbox_routes import PEEKED
from pipeline.ingress.outside import Encoder, Shards
from pipeline.ingress.ownership import foreign
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.slicing import read_message_text
from pipeline.limits import (
    MAILBOX_BYTES_MAX,
    MAILBOX_LOOK_S,
    MAILBOX_MESSAGES,
    MAILBOX_RECEIPTS_MAX,
)

_MODES: Final = ("both", "pull")
_RECEIPT: Final = "a receipt of this mailbox, as it was given out"
_DEFAULTS: Final = {"wait": 0, "messages": MAILBOX_MESSAGES, "bytes": MAILBOX_BYTES_MAX, "age": 0}


def read_lane(call: Call) -> Outcome:
    """Answer how a lane stands; one that nothing was ever sent on stands well."""
    return foreign(call) or Asks(answer=partial(_lane, {"what": "lane", **_about(call)}))


async def _lane(question: Mapping[str, Any], shards: Shards) -> Outcome:
    value = await _ask(question, shards)
    return value if isinstance(value, Refusal) else Reply(status=HTTPStatus.OK, value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A call that looks into a mailbox: what is asked of the worker, and for how long it is asked again."""

    question: Mapping[str, Any]
    wait_s: float

    async def __call__(self, shards: Shards) -> Outcome | Later:
        """Return what waits, or that the same is to be asked in a moment."""
        value = await _ask(self.question, shards)
        if isinstance(value, Refusal):
            return value
        reply = Reply(status=HTTPStatus.OK, value=_bundle(value))
        if value["receipt"] is not None or self.wait_s <= 0:
            return reply
        pause_s = min(MAILBOX_LOOK_S, self.wait_s)
        again = replace(self, wait_s=self.wait_s - pause_s)
        return Later(after_s=pause_s, then=Asks(answer=again), instead=reply)


def peek(call: Call) -> Outcome:
    """Answer with the oldest copies that wait, byte for byte as they would be pushed. Looking changes nothing."""
    refusal = foreign(call)
    if refusal is not None:
        return refusal
    numbers = {one.name: _number(call, one.name, one.schema) for one in PEEKED if one.name in _DEFAULTS}
    wrong = next((one for one in numbers.values() if isinstance(one, Refusal)), None)
    after = call.query.get("after")
    if wrong is None and after is not None and Receipt.parse(after) is None:
        wrong = _bad("after", after, _RECEIPT)
    if wrong is not None:
        return wrong
    question = {
        "what": "peek",
        **_about(call),
        "messages": numbers["messages"],
        "size_bytes": numbers["bytes"],
        "age_s": numbers["age"],
        "after": after,
    }
    wait = numbers["wait"]
    assert isinstance(wait, int), "refused above"
    return Asks(answer=Look(question=question, wait_s=wait))


def acknowledge(call: Call) -> Outcome:
    """Settle the copies of receipts; the answer comes when that is durable. Doing it again is harmless."""
    refusal = foreign(call)
    if refusal is not None:
        return refusal
    given = _member(call.content, "receipts")
    if not isinstance(given, list) or not 0 < len(given) <= MAILBOX_RECEIPTS_MAX:
        return _bad("receipts", given, f"a list of 1 to {MAILBOX_RECEIPTS_MAX} receipts")
    wrong = [one for one in given if not isinstance(one, str) or Receipt.parse(one) is None]
    if wrong:
        return _bad("receipts", wrong[0], _RECEIPT)
    questions = [{"what": "acknowledge", **_about(call), "receipt": one} for one in given]
    return Asks(answer=partial(_acknowledged, questions))


async def _acknowledged(questions: Sequence[Mapping[str, Any]], shards: Shards) -> Outcome:
    """Settle one receipt after the other; where one cannot be settled now, the caller sends all of them again."""
    counts = {"settled": 0, "before": 0, "under_way": 0}
    for question in questions:
        value = await _ask(question, shards)
        if isinstance(value, Refusal):
            return value
        counts = {name: count + value[name] for name, count in counts.items()}
    return Reply(
        status=HTTPStatus.OK,
        value={"settled": counts["settled"], "before": counts["before"], "underWay": counts["under_way"]},
    )


class ChooseDelivery:
    """`PUT .../mailbox/{recipient-id}`: `both` pushes and lets copies that wait be collected, `pull` pushes nothing."""

    def __init__(self, *, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, call: Call) -> Outcome:
        """Store the choice; delivery workers go by it within a second. No copy is lost by it either way."""
        refusal = foreign(call)
        if refusal is not None:
            return refusal
        mode = _member(call.content, "delivery")
        if mode not in _MODES:
            return _bad("delivery", mode, " or ".join(_MODES))
        about = _about(call)
        recipient, channel = ParticipantId(about["recipient"]), InterfaceId(about["channel"])
        choice = LaneOrder(
            recipient=recipient,
            channel=channel,
            state=LaneState.PULLED,
            reason="chosen by the recipient",
            by=call.caller.name,
            at=call.now,
        )
        value = self._encoder.encode_lane_order(choice) if mode == "pull" else None
        record = Outgoing(topic=topics.LANES, key=choice_key(recipient, channel), value=value)
        said = f"delivery set to {mode}"
        noted = done(call, HTTPStatus.NO_CONTENT, said, self._encoder, channel=channel, about=recipient)
        return Recorded(status=HTTPStatus.NO_CONTENT, records=(record, noted))


async def _ask(question: Mapping[str, Any], shards: Shards) -> Mapping[str, Any] | Refusal:
    """Ask the owner of the recipient's partition; a partition that is just going is as if nobody had answered."""
    partition = partition_of(lane_key(ParticipantId(question["recipient"])), shards.partitions)
    for name in ("after", "receipt"):
        receipt = Receipt.parse(question.get(name) or "")
        if receipt is not None and receipt.partition != partition:
            return _bad(name, question[name], _RECEIPT)
    answer = await shards.ask_partition(LANES, partition, question)
    match answer:
        case Answered(value={"away": reason}):
            return unanswered(Unanswered(reason=str(reason)))
        case Answered(value=value):
            found: Mapping[str, Any] = value
            return found
        case Unanswered() | TooBusy():
            return unanswered(answer)


def _bundle(value: Mapping[str, Any]) -> dict[str, Any]:
    """Write a bundle; the messages are put in as they are, not read and written again.

    A worker of a release before, met while one is rolled out, tells neither places nor gaps.
    """
    untold = [None] * len(value["ids"])
    return {
        "receipt": value["receipt"],
        "deliveryIDs": value["ids"],
        "messages": [orjson.Fragment(one) for one in value["bodies"]],
        "sequences": value.get("sequences", untold),
        "gaps": value.get("gaps", untold),
        "more": value["more"],
    }


def _about(call: Call) -> dict[str, str]:
    return {"recipient": call.path["recipient-id"], "channel": call.path.get("id", STATUS_CHANNEL)}


def _member(content: bytes, name: str) -> Any:
    """Return a member of the body's object, None where there is none or the body is no object."""
    text = read_message_text(content)
    value = None if isinstance(text, Unreadable) else text.value
    return value.get(name) if isinstance(value, Mapping) else None


def _number(call: Call, name: str, schema: Mapping[str, Any]) -> int | Refusal:
    text = call.query.get(name)
    if text is None:
        return _DEFAULTS[name]
    least, most = schema["minimum"], schema["maximum"]
    plain = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not plain or not least <= int(text) <= most:
        return _bad(name, text, f"a whole number from {least} to {most}")
    return int(text)


def _bad(name: str, value: object, expected: str) -> Refusal:
    return Refusal(
        status=HTTPStatus.BAD_REQUEST,
        slug="request-invalid",
        help=f"{name} is {str(value)[:60]!r}: expected {expected}.",
    )
