"""`POST /dip-channel/{id}` and `POST /statusmessage`: an array in, records and a StandardResponse out."""

from collections.abc import Mapping
from http import HTTPStatus

from pipeline.catalogue import Catalogue
from pipeline.catalogue.channels import Channel
from pipeline.domain.checks import Terms
from pipeline.domain.identifiers import InterfaceId
from pipeline.domain.participants import NOBODY, Participants
from pipeline.ingress.calls import Call, Outcome
from pipeline.ingress.outside import Encoder
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.routes import PER_MESSAGE_HEADER
from pipeline.ingress.slicing import NoArray, Sliced, Slicer
from pipeline.ingress.statusmessages import StatusJudge
from pipeline.ingress.submission import Circumstances, Invalid, judge, refused_whole
from pipeline.intake import Gate


class SubmitMessages:
    """Takes arrays of messages of one channel."""

    def __init__(self, *, slicer: Slicer, catalogue: Catalogue, encoder: Encoder, terms: Terms) -> None:
        self._slicer = slicer
        self._catalogue = catalogue
        self._encoder = encoder
        self._gate = Gate(participants=NOBODY, terms=terms)

    def __call__(self, call: Call) -> Outcome:
        """Judge every message of the array."""
        sliced = cut(self._slicer, call)
        if not isinstance(sliced, Sliced):
            return sliced
        assert call.identity is not None
        about = Circumstances(
            channel=InterfaceId(call.path["id"]),
            identity=call.identity,
            gate=self._gate_of(call.participants),
            now=call.now,
            each_alone=_asks_each_alone(call.headers.get(PER_MESSAGE_HEADER)),
        )
        return judge(sliced, about, catalogue=self._catalogue, encoder=self._encoder)

    def _gate_of(self, participants: Participants) -> Gate:
        """Return the gate for a picture of the participants, which holds for many calls."""
        gate = self._gate
        if gate.participants is not participants:
            gate = self._gate = Gate(participants=participants, terms=gate.terms)
        return gate


def _asks_each_alone(header: str | None) -> bool:
    return header is not None and header.strip().lower() == "true"


class SubmitStatusMessages:
    """Takes arrays of status messages."""

    def __init__(
        self, *, slicer: Slicer, encoder: Encoder, channels: Mapping[InterfaceId, Channel] | None
    ) -> None:
        self._slicer = slicer
        self._judge = StatusJudge(encoder, channels=channels)

    def __call__(self, call: Call) -> Outcome:
        """Judge every status message of the array."""
        sliced = cut(self._slicer, call)
        if not isinstance(sliced, Sliced):
            return sliced
        assert call.identity is not None
        return self._judge(sliced, identity=call.identity, participants=call.participants, now=call.now)


def cut(slicer: Slicer, call: Call) -> Sliced | Invalid | Refusal:
    """Cut the body into its messages, or say why that cannot be done."""
    sliced = slicer(call.content)
    if isinstance(sliced, Sliced):
        call.tally.messages = len(sliced.messages)
        return sliced
    if isinstance(sliced, NoArray):
        return refused_whole(sliced.reason, call.now)
    return Refusal(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, slug="array-too-large", help=sliced.reason)
