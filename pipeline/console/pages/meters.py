"""Who held what for an MPAN, as known at a moment: the history that addressing decides by."""

from http import HTTPStatus
from typing import Any, Final

from pipeline.console.pages.messages import moment
from pipeline.console.ports import Trouble
from pipeline.console.serving import Answer, Page, Visit
from pipeline.console.spans import chart, held, moments
from pipeline.domain.appointments import History
from pipeline.domain.identifiers import Mpan

_DIGITS: Final = 13
_MOMENTS_SHOWN: Final = 12


async def show(visit: Visit) -> Answer:
    """Show the form and, for an MPAN, the chart and its table; a participant sees its own spans."""
    mpan, said = visit.asked("mpan"), visit.asked("known")
    known = moment(said)
    values: dict[str, Any] = {
        "mpan": mpan, "said": said, "known": known, "found": None, "chart": None, "moments": (), "trouble": None,
        "nothing": False,
    }  # fmt: skip
    wrong = _wrong(mpan, said, known is not None)
    if wrong is not None:
        return Page(
            template="meters.html", values={**values, "trouble": wrong}, status=HTTPStatus.BAD_REQUEST
        )
    if mpan is None:
        return Page(template="meters.html", values=values)
    history = await visit.outside.meters.history(Mpan(mpan))
    if isinstance(history, Trouble):
        return Page(template="meters.html", values={**values, "trouble": history.text})
    found = held(history or History(), as_known_at=known, viewer=visit.own)
    if found is None or history is None:
        return Page(template="meters.html", values={**values, "nothing": True})
    return Page(
        template="meters.html",
        values={
            **values,
            "found": found,
            "chart": chart(found, now=visit.outside.clock.now()),
            "moments": moments(history)[:_MOMENTS_SHOWN] if visit.own is None else (),
        },
    )


def _wrong(mpan: str | None, said: str | None, known: bool) -> str | None:  # noqa: FBT001  # a fact, not a switch
    if mpan is not None and not (mpan.isascii() and mpan.isdigit() and len(mpan) == _DIGITS):
        return f"{mpan!r} is no MPAN: 13 digits."
    if said is not None and not known:
        return f"{said!r} is no time: write 2026-01-05 or 2026-01-05 12:30, in UTC."
    return None
