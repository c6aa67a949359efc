"""Whose data a call may touch: the caller's own, and that of who has nominated it."""

from http import HTTPStatus

from pipeline.domain.identifiers import ParticipantId
from pipeline.ingress.calls import Call
from pipeline.ingress.refusals import Refusal


def foreign(call: Call) -> Refusal | None:
    """Return 403 where the caller may not act for the recipient in the path, None where it may.

    A participant that does not exist is nobody's own: whoever asks for it learns nothing about who exists.
    """
    recipient = ParticipantId(call.path["recipient-id"])
    participant = call.participants.get(recipient)
    if participant is not None and call.identity is not None:
        agents = (None, *participant.connection_providers)
        if any(call.identity.speaks_for(recipient, agent) for agent in agents):
            return None
    return Refusal(
        status=HTTPStatus.FORBIDDEN,
        slug="recipient-not-yours",
        help=f"The path names {recipient!r}, but the API key and the certificates are not all its own or those of a"
        " connection provider that it has nominated.",
    )
