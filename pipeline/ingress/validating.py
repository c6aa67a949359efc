"""`POST /validate/{interface}/{event}`: a dry run of the form of messages; nothing is stored or sent.

It judges form only, as the published call does: whether the sender may send on the channel depends on who is
registered, and is said when a message is posted (docs/adr/0102).
"""

from http import HTTPStatus

from pipeline.catalogue import Catalogue
from pipeline.catalogue.json_text import Unreadable
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.rejections import CheckId, Code, Rejection
from pipeline.domain.responses import fitted, help_of, text_of
from pipeline.ingress.calls import Call, Outcome, Reply
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.slicing import Slicer, read_message_text
from pipeline.ingress.submission import Fault, Invalid, placed
from pipeline.ingress.submitting import cut
from pipeline.intake import rejection_of, unreadable
from pipeline.limits import VALIDATION_PROBLEMS_MAX, VALIDATION_TEXT_CHARS_MAX


class ValidateMessages:
    """Says of an array of messages of one pair whether they would fit, and what is wrong with each that would not."""

    def __init__(self, *, slicer: Slicer, catalogue: Catalogue) -> None:
        self._slicer = slicer
        self._catalogue = catalogue

    def __call__(self, call: Call) -> Outcome:
        """Answer 201 or 400 with a JSON string; all problems as data for clients that take problem+json."""
        interface, event = InterfaceId(call.path["interface"]), EventCode(call.path["event"])
        sliced = cut(self._slicer, call)
        if isinstance(sliced, Refusal):
            return sliced
        if isinstance(sliced, Invalid):
            return _refused(sliced.faults)
        faults: list[Fault] = []
        told = 0
        for index, raw in enumerate(sliced.messages):
            found = self._problems(raw, interface, event)
            if found:
                faults.append(Fault(index=index, rejections=found))
                told += len(found)
            if told >= VALIDATION_PROBLEMS_MAX:
                break
        if faults:
            return _refused(tuple(faults))
        count = len(sliced.messages)
        return Reply(
            status=HTTPStatus.CREATED,
            value=f"{text_of(Code.ACCEPTED)}: {count} valid for {interface} [{event}]",
        )

    def _problems(self, raw: bytes, interface: InterfaceId, event: EventCode) -> tuple[Rejection, ...]:
        text = read_message_text(raw)
        if isinstance(text, Unreadable):
            return (unreadable(text),)
        verdict = self._catalogue.check(text.value, channel=interface)
        if verdict.event is not None and verdict.event != event:
            return (
                Rejection(
                    check=CheckId.EVENT,
                    code=Code.SCHEMA,
                    pointer="/payload/CommonBlock/S0/eventCode",
                    value=f"[{verdict.event}]",
                    expected=f"[{event}]",
                    help=f"[{verdict.event}] is not what the path names: expected [{event}]",
                ),
            )
        return tuple(map(rejection_of, verdict.problems))


def _refused(faults: tuple[Fault, ...]) -> Reply:
    problems = tuple(placed(faults))
    text = f"{problems[0].text}: {help_of(problems)}"
    return Reply(
        status=HTTPStatus.BAD_REQUEST,
        value=fitted(text, VALIDATION_TEXT_CHARS_MAX),
        faults=faults,
    )
