"""Notices: what participants and operators are told about endpoints that fail and certificates that end.

An endpoint that has failed without a break is told of at shares of a threshold, a fault in its set-up at once and then
once a day; a certificate at some days before its end. What was told is remembered in a record of its own (`Told`), so
that nothing is told twice, over restarts and between workers. The participant is told on its status webhook, unless
the notice is about that very webhook.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import orjson

from pipeline.domain.delivery import ErrorClass, LaneFailure, ParkLane
from pipeline.domain.envelope import Copy
from pipeline.domain.identifiers import (
    DIP,
    STATUS_CHANNEL,
    DeliveryId,
    InterfaceId,
    ParticipantId,
    TransactionId,
)
from pipeline.domain.parked import LaneKey
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.domain.responses import Body
from pipeline.limits import NOTICE_AGAIN_S, NOTICE_REMARKS_MAX, NOTICE_SINCE_S

SHARES: Final = (50, 70, 90, 100)
"""Per cent of the threshold at which a failing endpoint is told of (delivery.md 5)."""
DAYS: Final = (60, 30, 7)
"""Days before the end of a certificate at which it is told of."""
ENDPOINT: Final = "endpoint"


class Topic(StrEnum):
    """What a notice is about; the words of each are a row of notices.tsv."""

    FAILING = "failing"
    OUT = "out"
    """The whole threshold is used up."""
    SETUP = "setup"
    """The endpoint answers, or does not, in a way that only a change of its set-up can mend."""
    SERVER_CERTIFICATE = "server-certificate"
    CLIENT_CERTIFICATE = "client-certificate"
    SIGNING_CERTIFICATE = "signing-certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """Something that was told, and when."""

    what: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is remembered of one subject: an endpoint, or a certificate by its fingerprint (topic `dip.notices`).

    `since` is when an endpoint began to fail, None while it answers.
    """

    recipient: ParticipantId
    channel: InterfaceId
    subject: str
    since: datetime | None = None
    told: tuple[Remembered, ...] = ()

    @property
    def key(self) -> bytes:
        """Return the key under which the last word counts."""
        return told_key(self.recipient, self.channel, self.subject)

    def when(self, what: str) -> datetime | None:
        """Return when something was told last."""
        return max((one.at for one in self.told if one.what == what), default=None)

    def with_remark(self, what: str, at: datetime) -> "Told":
        """Return the record with one thing more; the oldest go where there are too many."""
        kept = tuple(one for one in self.told if one.what != what)[1 - NOTICE_REMARKS_MAX :]
        return replace(self, told=(*kept, Remembered(what=what, at=at)))


def told_key(recipient: ParticipantId, channel: InterfaceId, subject: str) -> bytes:
    """Return the key of a record on `dip.notices`."""
    return f"{recipient}|{channel}|{subject}".encode()


class Notices:
    """All that was told. Immutable; a change is a new picture."""

    def __init__(self, told: Iterable[Told] = ()) -> None:
        self._by_key = {one.key: one for one in told}

    def __iter__(self) -> Iterator[Told]:
        return iter(sorted(self._by_key.values(), key=lambda one: one.key))

    def get(self, key: bytes) -> Told | None:
        """Return what was told under a key."""
        return self._by_key.get(key)


NOTHING_TOLD: Final = Notices()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell. `facts` fill the words of the topic's row."""

    topic: Topic
    recipient: ParticipantId
    channel: InterfaceId
    what: str
    facts: dict[str, str] = field(hash=False)

    @property
    def for_operators_only(self) -> bool:
        """Tell whether the channel that would carry it is the one that it is about."""
        return self.channel == STATUS_CHANNEL


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What to write down, and what to tell."""

    told: Told
    notices: tuple[Notice, ...] = ()
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A lane that fails, and why it did last."""

    lane: LaneKey
    since: datetime
    failure: LaneFailure


def endpoint_news(known: Told | None, trouble: Trouble, *, now: datetime, threshold_s: float) -> News | None:
    """Return what there is to say of a lane that fails; None where everything is said.

    A restart does not make the failure younger: what was remembered counts. Our own faults are nobody's news. A
    lane that has failed for a moment only is not written down.
    """
    failure = trouble.failure
    if failure.error is ErrorClass.OURS:
        return None
    before = known or Told(recipient=trouble.lane.recipient, channel=trouble.lane.channel, subject=ENDPOINT)
    goes_on = before.since is not None
    since = min(before.since, trouble.since) if before.since is not None else trouble.since
    # A new failure is told of from the first share on: what was told of an earlier one is forgotten.
    told = tuple(one for one in before.told if goes_on or one.what.startswith(_SETUP))
    after = replace(before, since=since, told=told)
    notices: list[Notice] = []
    share = _share(now - since, threshold_s)
    if share and after.when(f"{share}%") is None:
        notices.append(_failing(trouble, since, share, threshold_s))
    what = f"{_SETUP}{failure.status or failure.error.value}"
    last = after.when(what)
    if isinstance(failure, ParkLane) and (last is None or now - last >= timedelta(seconds=NOTICE_AGAIN_S)):
        notices.append(_notice(Topic.SETUP, trouble.lane, what, fault=failure.text))
    for one in notices:
        after = after.with_remark(one.what, now)
    written_down = after != before and (
        notices or goes_on or now - since >= timedelta(seconds=NOTICE_SINCE_S)
    )
    return News(told=after, notices=tuple(notices)) if written_down else None


_SETUP: Final = "setup:"


def recovery_news(known: Told | None) -> News | None:
    """Return what to write down of a lane that answers; None where it never failed for long."""
    if known is None or known.since is None:
        return None
    return News(told=replace(known, since=None), recovered=True)


def _share(elapsed: timedelta, threshold_s: float) -> int | None:
    """Return the highest share that is reached."""
    used = 100 * elapsed.total_seconds() / threshold_s
    return max((one for one in SHARES if used >= one), default=None)


def _failing(trouble: Trouble, since: datetime, share: int, threshold_s: float) -> Notice:
    topic = Topic.OUT if share == SHARES[-1] else Topic.FAILING
    return _notice(
        topic,
        trouble.lane,
        f"{share}%",
        share=f"{share} %",
        since=f"{since:%Y-%m-%d %H:%M} UTC",
        threshold=_hours(threshold_s),
        fault=trouble.failure.text,
    )


def _notice(topic: Topic, lane: LaneKey, what: str, **facts: str) -> Notice:
    return Notice(
        topic=topic,
        recipient=lane.recipient,
        channel=lane.channel,
        what=what,
        facts={"channel": lane.channel, **facts},
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} h"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCertificate:
    """A certificate of a participant, as it was last shown. `name` tells it from the next: its fingerprint.

    It is told of once, however many channels it serves; `where` is the host that showed it, where that says anything.
    """

    topic: Topic
    recipient: ParticipantId
    name: str
    where: str = ""
    valid_to: datetime


def certificate_news(known: Told | None, seen: SeenCertificate, *, now: datetime) -> News | None:
    """Return what there is to say of a certificate; None where everything is said, or its end is far."""
    left = seen.valid_to - now
    reached = [days for days in DAYS if left <= timedelta(days=days)]
    if not reached:
        return None
    what = f"{min(reached)}d"
    before = known or Told(recipient=seen.recipient, channel=ANY_CHANNEL, subject=certificate_subject(seen))
    if before.when(what) is not None:
        return None
    facts = {
        "name": seen.name[:16],
        "where": seen.where,
        "until": f"{seen.valid_to:%Y-%m-%d %H:%M} UTC",
        "days": str(max(0, left.days)),
    }
    notice = Notice(topic=seen.topic, recipient=seen.recipient, channel=ANY_CHANNEL, what=what, facts=facts)
    return News(told=before.with_remark(what, now), notices=(notice,))


def certificate_subject(seen: SeenCertificate) -> str:
    """Return what the record of a certificate is about."""
    return f"{seen.topic}:{seen.name}"


def certificate_key(seen: SeenCertificate) -> bytes:
    """Return the key of what was told of a certificate."""
    return told_key(seen.recipient, ANY_CHANNEL, certificate_subject(seen))


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The two texts of a status message."""

    message: str
    help: str


def notice_copy(notice: Notice, words: Words, *, told: Told, now: datetime) -> Copy:
    """Return the status message of a notice. Its id follows from what it tells: made again, it is the same one."""
    parts = [notice.recipient, notice.channel, _id(told.subject), _id(notice.what)]
    if told.subject == ENDPOINT:
        # A share belongs to one failure; what may be told again belongs to the moment when it was.
        began = (told.since if notice.what.endswith("%") else told.when(notice.what)) or now
        parts.append(f"{began:%Y%m%d%H%M%S}")
    name = TransactionId("-".join(("N", *map(_id, parts))))
    body = Body(
        sent_at=now, message=words.message, help=words.help, sender_id=DIP, recipient_id=notice.recipient
    )
    return Copy(
        delivery_id=DeliveryId(f"{name}!notice"),
        recipient=notice.recipient,
        channel=STATUS_CHANNEL,
        transaction_id=name,
        sender_id=DIP,
        sender_reference=None,
        interface=None,
        event=None,
        mpan=None,
        received_at=now,
        routed_at=now,
        body=orjson.dumps(body.wire()),
    )


def _id(text: str) -> str:
    """Return text that may be part of an id."""
    return "".join(char if char.isalnum() else "." for char in text[:40])
