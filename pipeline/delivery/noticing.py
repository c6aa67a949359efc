"""Tells people about endpoints: looks at the lanes every so often, and settles what there is to say.

What is told, and that it was, is one transaction of a partition that the lane has copies in: a worker that lost the
partition tells nothing. The record of it comes back on `dip.notices`; until then this worker remembers it itself.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pipeline.catalogue.notices import words_of
from pipeline.delivery.lane import Lane
from pipeline.delivery.ports import Claim, Engine, Output, Settling
from pipeline.domain.delivery import stage_of
from pipeline.domain.envelope import AuditRecord, Copy, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import STATUS_CHANNEL
from pipeline.domain.notices import (
    DAYS,
    ENDPOINT,
    News,
    Notice,
    SeenCertificate,
    Told,
    Topic,
    Trouble,
    Words,
    certificate_key,
    certificate_news,
    endpoint_news,
    notice_copy,
    recovery_news,
    told_key,
)
from pipeline.limits import NOTICE_FEED_S_MAX, NOTICE_LOOK_S
from pipeline.ports import NoticeSource, ParticipantSource

log = logging.getLogger(__name__)

_FEED_BEHIND: Final = timedelta(seconds=NOTICE_FEED_S_MAX)


class Codec(Protocol):
    """Bytes of what is told."""

    def encode_copy(self, copy: Copy) -> bytes: ...

    def encode_audit(self, record: AuditRecord) -> bytes: ...

    def encode_told(self, told: Told) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How and where people are told. `threshold_s` is when a failing endpoint counts as out of service."""

    notices: NoticeSource
    codec: Codec
    words: Mapping[Topic, Words]
    threshold_s: float
    topic: str
    status_topic: str
    audit_topic: str
    certificates: Callable[[], Iterable[tuple[str, str, datetime]]] = tuple
    """Host, fingerprint and end of every certificate that a webhook server showed."""


class Noticing:
    """Looks at the lanes of a worker."""

    def __init__(
        self,
        telling: Telling,
        *,
        engine: Engine,
        participants: ParticipantSource,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._telling = telling
        self._engine = engine
        self._participants = participants
        self._spawn = spawn
        self._own: dict[bytes, tuple[Told, datetime]] = {}
        self._next_at: datetime | None = None

    def look(self, lanes: Iterable[Lane], now: datetime) -> None:
        """Say what there is to say, if it is time to look again."""
        if self._next_at is not None and now < self._next_at:
            return
        self._next_at = now + timedelta(seconds=NOTICE_LOOK_S)
        self._own = {
            key: (told, at)
            for key, (told, at) in self._own.items()
            if now - at < _FEED_BEHIND and self._telling.notices.current().get(key) != told
        }
        soon = now + timedelta(days=DAYS[0])
        ends = {host: (name, end) for host, name, end in self._telling.certificates() if end <= soon}
        for lane in lanes:
            claim = next(iter(lane.backlogs), None)
            if claim is None:
                continue
            for news in (self._of_endpoint(lane, now), self._of_certificate(lane, ends, now)):
                if news is not None:
                    self._tell(claim, news, now)

    def _of_endpoint(self, lane: Lane, now: datetime) -> News | None:
        if lane.order is not None or (lane.trouble is None and not lane.answers):
            return None  # it waits because somebody wants it to, or nothing is known of it yet
        known = self._known(told_key(lane.key.recipient, lane.key.channel, ENDPOINT))
        if lane.trouble is None or lane.failing_since is None:
            return recovery_news(known)
        trouble = Trouble(lane=lane.key, since=lane.failing_since, failure=lane.trouble)
        return endpoint_news(known, trouble, now=now, threshold_s=self._telling.threshold_s)

    def _of_certificate(
        self, lane: Lane, ends: Mapping[str, tuple[str, datetime]], now: datetime
    ) -> News | None:
        host = host_of(lane.url or "")
        if host not in ends:
            return None
        name, end = ends[host]
        seen = SeenCertificate(
            topic=Topic.SERVER_CERTIFICATE,
            recipient=lane.key.recipient,
            name=name,
            where=host,
            valid_to=end,
        )
        return certificate_news(self._known(certificate_key(seen)), seen, now=now)

    def _known(self, key: bytes) -> Told | None:
        """Return what was told, by this worker a moment ago or by any before."""
        mine = self._own.get(key)
        return self._telling.notices.current().get(key) if mine is None else mine[0]

    def _tell(self, claim: Claim, news: News, now: datetime) -> None:
        outputs = [
            Output(
                topic=self._telling.topic, key=news.told.key, value=self._telling.codec.encode_told(news.told)
            )
        ]
        for notice in news.notices:
            copy = self._copy(notice, news.told, now)
            if copy is not None:
                value = self._telling.codec.encode_copy(copy)
                outputs.append(Output(topic=self._telling.status_topic, key=outbound_key(copy), value=value))
            outputs.append(self._audit(notice, now, heard=copy is not None))
        if news.recovered:
            outputs.append(self._recovered(news.told, now))
        self._own[news.told.key] = (news.told, now)
        self._spawn(
            self._settled(news.told, self._engine.settle(Settling(claim=claim, outputs=tuple(outputs))))
        )

    async def _settled(self, told: Told, durable: Awaitable[bool]) -> None:
        """Forget what was not written: the partition has a new owner, who tells it."""
        if not await durable:
            self._own.pop(told.key, None)

    def _copy(self, notice: Notice, told: Told, now: datetime) -> Copy | None:
        """Return the status message, None where the recipient cannot hear: it would only wait as well."""
        person = self._participants.current().get(notice.recipient)
        if notice.for_operators_only or person is None or person.webhook(STATUS_CHANNEL) is None:
            return None
        return notice_copy(notice, words_of(notice, self._telling.words), told=told, now=now)

    def _audit(self, notice: Notice, now: datetime, *, heard: bool) -> Output:
        words = words_of(notice, self._telling.words)
        to = "told on its status webhook" if heard else "told to operators only"
        text = f"{words.message}. {words.help} ({to})"
        log.warning("%s on %s: %s", notice.recipient, notice.channel, text)
        failing = notice.topic in {Topic.FAILING, Topic.OUT, Topic.SETUP}
        return self._record(
            notice, now, status=Status.DELIVERY_FAILURE if failing else Status.OK, reason=f"notice: {text}"
        )

    def _recovered(self, told: Told, now: datetime) -> Output:
        log.info("%s on %s answers again", told.recipient, told.channel)
        return self._record(told, now, status=Status.OK, reason="notice: the webhook answers again")

    def _record(self, about: Notice | Told, now: datetime, *, status: Status, reason: str) -> Output:
        record = AuditRecord(
            at=now,
            stage=stage_of(about.channel),
            status=status,
            reason=reason,
            recipient=about.recipient,
            channel=about.channel,
        )
        key = f"{about.recipient}|{about.channel}".encode()
        return Output(
            topic=self._telling.audit_topic, key=key, value=self._telling.codec.encode_audit(record)
        )


def host_of(url: str) -> str:
    """Return the host of a webhook's address as TLS names it: without the port, in lower case."""
    after = url.partition("://")[2].partition("/")[0]
    host = after.rpartition(":")[0] if ":" in after and not after.endswith("]") else after
    return host.strip("[]").lower()
