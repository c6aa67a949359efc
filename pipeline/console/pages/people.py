"""Who exists, with roles, webhooks, keys and certificates; and when the router's own certificates end."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pipeline.console.ports import Process, Trouble
from pipeline.console.serving import Answer, Page, Refused, Visit
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.notices import ENDPOINT, Told
from pipeline.domain.participants import NOBODY, Participant


async def show(visit: Visit) -> Answer:
    """List everybody; a participant is led to itself."""
    people = await visit.outside.market.people()
    told = await visit.outside.market.told()
    now = visit.outside.clock.now()
    known = NOBODY if isinstance(people, Trouble) else people
    notices = () if isinstance(told, Trouble) else told
    wanted = (visit.asked("find") or "").lower()
    rows = [
        _row(known[name], notices, now)
        for name in sorted(known)
        if visit.own in (None, name) and (wanted in name.lower() or wanted in known[name].name.lower())
    ]
    last = visit.watch.last
    return Page(
        template="people.html",
        values={
            "rows": rows,
            "wanted": visit.asked("find"),
            "own_certificates": ()
            if last is None or visit.own is not None
            else list(_own(last.processes, now)),
            "troubles": [one.text for one in (people, told) if isinstance(one, Trouble)],
        },
    )


async def one(visit: Visit) -> Answer:
    """Show one participant."""
    name = ParticipantId(visit.path["participant"])
    people = await visit.outside.market.people()
    if isinstance(people, Trouble):
        return Refused(status=HTTPStatus.SERVICE_UNAVAILABLE, text=people.text)
    if name not in people or visit.own not in (None, name):
        return Refused(status=HTTPStatus.NOT_FOUND, text=f"There is no participant {name[:80]}.")
    told = await visit.outside.market.told()
    notices = [one for one in told if one.recipient == name] if not isinstance(told, Trouble) else []
    now = visit.outside.clock.now()
    return Page(
        template="person.html",
        values={
            "person": people[name],
            "roles_now": people[name].roles_at(now),
            "certificates": list(_certificates(people[name], notices, now)),
            "notices": [_notice(one) for one in notices if one.told],
            "trouble": told.text if isinstance(told, Trouble) else None,
            "now": now,
        },
    )


def _row(person: Participant, notices: Sequence[Told], now: datetime) -> Mapping[str, Any]:
    own = [one for one in notices if one.recipient == person.id]
    certificates = list(_certificates(person, own, now))
    return {
        "person": person,
        "roles": sorted(person.roles_at(now)),
        "certificates": len(certificates),
        "remarks": list(dict.fromkeys(one["remark"] for one in certificates if one["remark"])),
        "failing": sorted(one.channel for one in own if one.subject == ENDPOINT and one.since is not None),
    }


def _certificates(person: Participant, notices: Sequence[Told], now: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield what is known of each certificate: its registration's period, and what was told of its own end."""
    periods = {one.fingerprint: one for one in person.certificate_periods}
    for kind, digits in (("signing", person.certificates), ("TLS client", person.tls_certificates)):
        for fingerprint in sorted(digits):
            period = periods.get(fingerprint)
            start, end = (None, None) if period is None else (period.valid_from, period.valid_to)
            yield {
                "kind": kind,
                "fingerprint": fingerprint,
                "from": start,
                "to": end,
                "covers": period is None or period.covers(now),
                "remark": _remark(fingerprint, end, notices, now),
            }


def _remark(fingerprint: str, end: datetime | None, notices: Sequence[Told], now: datetime) -> str | None:
    if end is not None:
        days = (end - now).days
        return "registration over" if end <= now else f"registration ends in {days} days"
    for one in notices:
        if one.subject.endswith(f":{fingerprint}") and one.told:
            said = one.told[-1]
            return f"its own end was {said.what.removesuffix('d')} days away or nearer on {said.at:%Y-%m-%d}"
    return None


def _notice(one: Told) -> Mapping[str, Any]:
    return {
        "channel": one.channel,
        "subject": one.subject if one.subject == ENDPOINT else one.subject.partition(":")[0],
        "name": one.subject.partition(":")[2][:16],
        "since": one.since,
        "told": [(each.what, each.at) for each in one.told],
    }


def _own(processes: Sequence[Process], now: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield when the router's own certificates end, as its processes say."""
    ends = {
        (labels[0], value)
        for one in processes
        for labels, value in one.figures.get("dip_certificate_end_timestamp_seconds", {}).items()
    }
    for setting, value in sorted(ends):
        end = datetime.fromtimestamp(value, UTC)
        yield {"setting": f"DIP_{setting.upper()}", "end": end, "days": (end - now).days}
