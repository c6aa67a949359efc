"""Dead letters: what could not be processed, and sending it back. What `dip deadletter list|show|requeue` do."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from pipeline.console.pages.messages import moment
from pipeline.console.ports import Asked, Trouble
from pipeline.console.serving import Answer, Moved, Page, Refused, Visit
from pipeline.domain.dead_letters import Letter, Place, Wanted
from pipeline.domain.identifiers import ParticipantId

STAGES: Final = ("validation", "addressing", "delivery", "reporting")
REQUEUED: Final = STAGES[:3]
_FILTERS: Final = ("stage", "code", "sender", "recipient", "channel", "since", "until")
_RATE_MAX: Final = 1_000.0
_BODY_CHARS: Final = 20_000


async def show(visit: Visit) -> Answer:
    """List letters, the latest first; a participant sees those of its own messages and copies."""
    said = {name: visit.asked(name) for name in _FILTERS}
    asked = _asked(said)
    values: dict[str, Any] = {
        "said": said,
        "stages": STAGES,
        "letters": (),
        "more": False,
        "trouble": None,
        "progress": visit.outside.letters.progress() if visit.own is None else None,
        "filters": urlencode({name: value for name, value in said.items() if value}),
    }
    if isinstance(asked, str):
        return Page(
            template="letters.html", values={**values, "trouble": asked}, status=HTTPStatus.BAD_REQUEST
        )
    found = await visit.outside.letters.find(asked)
    if isinstance(found, Trouble):
        return Page(template="letters.html", values={**values, "trouble": found.text})
    letters = [one for one in found.letters if visit.own is None or concerns(one, visit.own)]
    return Page(template="letters.html", values={**values, "letters": letters, "more": found.more})


def concerns(letter: Letter, viewer: ParticipantId) -> bool:
    """Tell whether a letter is a participant's business: it sent the message, or was to get the copy."""
    return viewer in (letter.sender, letter.recipient)


async def one(visit: Visit) -> Answer:
    """Show one letter with what it holds."""
    place = Place.parse(visit.path["place"])
    found = None if place is None else await visit.outside.letters.at(place)
    if isinstance(found, Trouble):
        return Refused(status=HTTPStatus.SERVICE_UNAVAILABLE, text=found.text)
    if found is None or (visit.own is not None and not concerns(found, visit.own)):
        return Refused(
            status=HTTPStatus.NOT_FOUND, text=f"There is no dead letter {visit.path['place'][:80]}."
        )
    body = "" if found.record is None else found.record.body.decode(errors="replace")
    return Page(
        template="letter.html",
        values={"letter": found, "body": body[:_BODY_CHARS], "cut": len(body) > _BODY_CHARS},
    )


async def plan(visit: Visit) -> Answer:
    """Say what would go back, and ask."""
    said = {name: visit.given(name) for name in _FILTERS}
    asked = _asked(said, returning=True)
    if isinstance(asked, str):
        return Refused(status=HTTPStatus.BAD_REQUEST, text=asked)
    found = await visit.outside.letters.plan(asked)
    if isinstance(found, Trouble):
        return Refused(status=HTTPStatus.SERVICE_UNAVAILABLE, text=found.text)
    return Page(template="requeue.html", values={"plan": found, "said": said, "rate_max": _RATE_MAX})


async def requeue(visit: Visit) -> Answer:
    """Begin to send back."""
    asked = _asked({name: visit.given(name) for name in _FILTERS}, returning=True)
    rate = _rate(visit.given("rate"))
    if isinstance(asked, str) or rate is None:
        text = (
            asked
            if isinstance(asked, str)
            else f"The rate must be a number above 0, at most {_RATE_MAX:g} a second."
        )
        return Refused(status=HTTPStatus.BAD_REQUEST, text=text)
    trouble = await visit.outside.letters.requeue(asked, by=visit.account.name, rate_per_s=rate)
    if trouble is not None:
        return Refused(status=HTTPStatus.CONFLICT, text=trouble.text)
    return Moved(to="/letters", note="The requeue has begun; this page shows how far it is.")


def _rate(text: str | None) -> float | None:
    try:
        rate = float(text or "100")
    except ValueError:
        return None
    return rate if 0 < rate <= _RATE_MAX else None


def _asked(said: dict[str, str | None], *, returning: bool = False) -> Asked | str:
    """Return what is asked for; a text says what is wrong with it."""
    stage = said["stage"]
    if stage is not None and stage not in (REQUEUED if returning else STAGES):
        return (
            "What reporting failed on is a letter of another stage already; ask for that one."
            if stage in STAGES
            else f"There is no stage {stage}: {', '.join(STAGES)}."
        )
    times = {name: moment(said[name]) for name in ("since", "until")}
    if wrong := [name for name, value in times.items() if said[name] is not None and value is None]:
        return f"{said[wrong[0]]!r} is no time: write 2026-01-05 or 2026-01-05 12:30, in UTC."
    wanted = Wanted(
        code=said["code"],
        sender=said["sender"],
        recipient=said["recipient"],
        channel=said["channel"],
        since=times["since"],
        until=times["until"],
    )
    return Asked(stage=stage, wanted=wanted)
