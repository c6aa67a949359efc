"""L1 of an array of messages, all or nothing: bytes in; records to publish and what to answer out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pipeline import topics
from pipeline.adapters.producer import Outgoing
from pipeline.catalogue import Catalogue
from pipeline.catalogue.json_text import Unreadable
from pipeline.domain.envelope import Message
from pipeline.domain.fanout import correlation_id
from pipeline.domain.header_rules import remark_on
from pipeline.domain.headers import S1
from pipeline.domain.identifiers import InterfaceId, ParticipantId, SenderReference, reference_key
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.responses import Body, help_of, text_of
from pipeline.ingress.identity import Identity, not_allowed
from pipeline.ingress.outside import Encoder
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.slicing import Sliced, read_message_text
from pipeline.intake import Gate, take, unreadable

_ACCEPTED: Final = text_of(Code.ACCEPTED)
_NAMED_CODES = frozenset({
    Code.REFERENCE_USED, Code.SENDER_TIMESTAMP, Code.SENDER_ID, Code.SENDER_ROLE, Code.CONNECTION_PROVIDER,
})  # fmt: skip
"""A refusal by these echoes the sender's reference. After a schema failure it is null, as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptable:
    """The records may be published; the answers are right as soon as they are.

    With `faults` some of the answers are refusals, of messages that are not among the records.
    """

    records: tuple[Outgoing, ...] = field(repr=False)
    answers: tuple[Body, ...]
    faults: tuple["Fault", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """The array is refused: one answer for each message with a problem, and the problems as data."""

    answers: tuple[Body, ...]
    faults: tuple["Fault", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one message; its pointers begin at the message, `index` is its place in the array.

    Without an index it is about the body as a whole, and so are its pointers.
    """

    index: int | None
    rejections: tuple[Rejection, ...]


def placed(faults: Iterable[Fault]) -> Iterator[Rejection]:
    """Yield every rejection with a pointer that begins at the body, not at its message."""
    for fault in faults:
        for one in fault.rejections:
            yield one if fault.index is None else replace(one, pointer=f"/{fault.index}{one.pointer or ''}")


Judgement = Acceptable | Invalid | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Problematic:
    """A message that is refused, with where in the array it is."""

    index: int
    rejections: tuple[Rejection, ...]
    message: Message | None = None
    parsed: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a judgement depends on besides the messages. `each_alone` is what the header asks for that opts in to 207."""

    channel: InterfaceId
    identity: Identity
    gate: Gate
    now: datetime
    each_alone: bool = False


def judge(sliced: Sliced, about: Circumstances, *, catalogue: Catalogue, encoder: Encoder) -> Judgement:
    """Validate every message of an array, and only if all are good encode them for `dip.inbound`.

    With `each_alone` the good ones are encoded where there are any. A sender that is not the caller's to speak for
    outweighs everything else: 403. Each message is checked to its end, so that a sender can mend the whole array in
    one go.
    """
    messages: dict[int, Message] = {}
    problems: list[Problematic] = []
    heard: set[tuple[ParticipantId, ParticipantId | None]] = set()  # mostly one sender in the whole array
    for index, raw in enumerate(sliced.messages):
        outcome = _judge_one(index, raw, about, catalogue)
        if isinstance(outcome, Problematic):
            problems.append(outcome)
            continue
        named = outcome.sender_id, outcome.connection_provider
        if named not in heard and not about.identity.speaks_for(*named):
            return not_allowed(outcome.sender_id, f"/{index}{S1}/senderDIPID")
        heard.add(named)
        messages[index] = outcome
    if len(messages) > len({one.sender_reference for one in messages.values()}):
        problems.extend(_repeats(messages))
    if problems and not (about.each_alone and len(problems) < len(sliced.messages)):
        return _invalid(problems, about.now)
    return _acceptable(messages, problems, about, catalogue, encoder)


def _invalid(problems: Iterable[Problematic], now: datetime) -> Invalid:
    ordered = sorted(problems, key=lambda one: one.index)
    return Invalid(answers=tuple(_refused(one, now) for one in ordered), faults=_faults(ordered))


def _faults(problems: Iterable[Problematic]) -> tuple[Fault, ...]:
    ordered = sorted(problems, key=lambda one: one.index)
    return tuple(Fault(index=one.index, rejections=one.rejections) for one in ordered)


def _acceptable(
    messages: Mapping[int, Message],
    problems: Sequence[Problematic],
    about: Circumstances,
    catalogue: Catalogue,
    encoder: Encoder,
) -> Acceptable:
    """Encode what is good. There is one answer for each message, in the order of the array."""
    refused = {one.index: one for one in problems}
    records: list[Outgoing] = []
    answers: list[Body] = []
    for index in sorted(messages.keys() | refused.keys()):
        if index in refused:
            answers.append(_refused(refused[index], about.now))
            continue
        message = messages[index]
        answers.append(_accepted(message, about, catalogue))
        records.append(
            Outgoing(
                topic=topics.INBOUND,
                key=reference_key(message.sender_id, message.sender_reference),
                value=encoder.encode_message(message),
            )
        )
    faults = _faults(problems) if problems else ()
    return Acceptable(records=tuple(records), answers=tuple(answers), faults=faults)


def refused_whole(text: str, now: datetime) -> Invalid:
    """Refuse a body that is no array of messages."""
    rejection = Rejection(
        check=CheckId.JSON,
        code=Code.SCHEMA,
        help=text,
        pointer="",
        expected="a JSON array of messages, at least one",
    )
    return Invalid(
        answers=(Body(sent_at=now, message=rejection.text, help=text),),
        faults=(Fault(index=None, rejections=(rejection,)),),
    )


def _judge_one(index: int, raw: bytes, about: Circumstances, catalogue: Catalogue) -> Message | Problematic:
    """Judge a message: the quick way says yes to most; the long one has the last word, and the explanations."""
    verdict, parsed = catalogue.read_plain(raw, about.channel) or (None, None)
    if verdict is None:
        text = read_message_text(raw)
        if isinstance(text, Unreadable):
            return Problematic(index=index, rejections=(unreadable(text),))
        parsed = text.value
    outcome = take(
        catalogue,
        parsed,
        body=raw,
        channel=about.channel,
        received_at=about.now,
        gate=about.gate,
        verdict=verdict,
    )
    if isinstance(outcome, Message):
        return outcome
    return Problematic(index=index, rejections=outcome, parsed=parsed)


def _repeats(messages: Mapping[int, Message]) -> Iterator[Problematic]:
    """Find references that the array uses for two different bodies; the same body twice is a retry."""
    first: dict[bytes, Message] = {}
    for index, message in messages.items():
        known = first.setdefault(reference_key(message.sender_id, message.sender_reference), message)
        if known.fingerprint != message.fingerprint:
            rejection = Rejection(
                check=CheckId.REFERENCE_IN_ARRAY,
                code=Code.REFERENCE_USED,
                help="used earlier in this array with another body; choose a new reference",
                pointer=f"{S1}/senderUniqueReference",
                value=message.sender_reference,
                expected="a new reference, or the same bytes",
            )
            yield Problematic(index=index, rejections=(rejection,), message=message)


def _accepted(message: Message, about: Circumstances, catalogue: Catalogue) -> Body:
    rule = catalogue.correlation(message.interface, message.event, message.received_at)
    return Body(
        sent_at=about.now,
        message=_ACCEPTED,
        help=remark_on(message, about.gate.terms),
        recipient_id=message.sender_id,
        transaction_id=message.transaction_id,
        sender_reference=message.sender_reference,
        correlation_id=correlation_id(message, rule),
        connection_provider=message.connection_provider,
    )


def _refused(problem: Problematic, now: datetime) -> Body:
    code = problem.rejections[0].code
    return Body(
        sent_at=now,
        message=problem.rejections[0].text,
        help=help_of(problem.rejections, pointers_under=f"/{problem.index}"),
        **(_named(problem) if code in _NAMED_CODES else {}),
    )


def _named(problem: Problematic) -> dict[str, Any]:
    """Return what names a message that is schema-valid, as far as its names are in their published case."""
    if problem.message is not None:
        message = problem.message
        return {
            "recipient_id": message.sender_id,
            "sender_reference": message.sender_reference,
            "connection_provider": message.connection_provider,
        }
    try:
        s1: Mapping[str, Any] = problem.parsed["payload"]["CommonBlock"]["S1"]  # type: ignore[index]  # valid, or another letter case
        return {
            "recipient_id": ParticipantId(s1["senderDIPID"]),
            "sender_reference": SenderReference(s1["senderUniqueReference"]),
            "connection_provider": s1["DIPConnectionProviderID"],
        }
    except KeyError:
        return {}
