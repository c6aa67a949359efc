"""Watches the certificates that callers show, and tells their owners some days before they end (docs/NOTICES.md).

A certificate is looked at once an hour, whatever its owner sends; the answer to a call waits for nothing of it.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from pipeline import topics
from pipeline.adapters.producer import Outgoing, Published
from pipeline.catalogue.notices import load_notice_words, words_of
from pipeline.domain.envelope import AuditRecord, Stage, Status
from pipeline.domain.fanout import outbound_key
from pipeline.domain.identifiers import STATUS_CHANNEL, ParticipantId
from pipeline.domain.notices import (
    News,
    SeenCertificate,
    Topic,
    certificate_key,
    certificate_news,
    notice_copy,
)
from pipeline.domain.participants import Participants
from pipeline.domain.signing_certificates import Presented, read_certificate
from pipeline.ingress.outside import Outside
from pipeline.limits import CERTIFICATE_LOOK_S, CERTIFICATES_CACHED_MAX

log = logging.getLogger(__name__)

_LOOK: Final = timedelta(seconds=CERTIFICATE_LOOK_S)


class Expiring:
    """Tells of certificates that callers sign and connect with. Without a source of notices it tells nothing.

    Several bridges may tell the same in the same second: the message then has the same delivery id twice.
    """

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._words = load_notice_words()
        self._next: dict[tuple[Topic, str], datetime] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def signed(self, header: str, owners: Iterable[ParticipantId], participants: Participants) -> None:
        """Take note of a certificate that signed, as its header carries it; read before, so this costs a look-up."""
        presented = read_certificate(header)
        if isinstance(presented, Presented):
            end = presented.certificate.not_valid_after_utc
            self._saw(Topic.SIGNING_CERTIFICATE, presented.fingerprint, end, owners, participants)

    def connected(
        self, fingerprint: str, end: datetime, owners: Iterable[ParticipantId], participants: Participants
    ) -> None:
        """Take note of a client certificate of a connection."""
        self._saw(Topic.CLIENT_CERTIFICATE, fingerprint, end, owners, participants)

    def _saw(
        self,
        topic: Topic,
        fingerprint: str,
        end: datetime,
        owners: Iterable[ParticipantId],
        participants: Participants,
    ) -> None:
        notices, now, name = self._outside.notices, self._outside.clock.now(), (topic, fingerprint)
        if notices is None or now < self._next.get(name, now):
            return
        if len(self._next) >= CERTIFICATES_CACHED_MAX:
            self._next.clear()
        self._next[name] = now + _LOOK
        for owner in sorted(owners):
            seen = SeenCertificate(topic=topic, recipient=owner, name=fingerprint, valid_to=end)
            news = certificate_news(notices.current().get(certificate_key(seen)), seen, now=now)
            if news is not None:
                task = asyncio.get_running_loop().create_task(self._tell(news, participants, now))
                self._tasks.add(task)  # the loop itself keeps weak references only
                task.add_done_callback(self._tasks.discard)

    async def _tell(self, news: News, participants: Participants, now: datetime) -> None:
        """Tell, and only then write down that it was told: a crash in between tells it once more."""
        encoder = self._outside.encoder
        if not await self._written(self._messages(news, participants, now)):
            return
        told = Outgoing(topic=topics.NOTICES, key=news.told.key, value=encoder.encode_told(news.told))
        await self._written((told,))

    def _messages(self, news: News, participants: Participants, now: datetime) -> list[Outgoing]:
        (notice,), encoder = news.notices, self._outside.encoder
        words = words_of(notice, self._words)
        person = participants.get(notice.recipient)
        heard = person is not None and person.webhook(STATUS_CHANNEL) is not None
        to = "told on its status webhook" if heard else "told to operators only"
        reason = f"notice: {words.message}. {words.help} ({to})"
        record = AuditRecord(
            at=now, stage=Stage.STATUS_MESSAGE, status=Status.OK, reason=reason, recipient=notice.recipient
        )
        made = [
            Outgoing(topic=topics.AUDIT, key=notice.recipient.encode(), value=encoder.encode_audit(record))
        ]
        if heard:
            copy = notice_copy(notice, words, told=news.told, now=now)
            value = encoder.encode_copy(copy)
            made.append(Outgoing(topic=topics.STATUS, key=outbound_key(copy), value=value))
        return made

    async def _written(self, records: Sequence[Outgoing]) -> bool:
        outcome = await self._outside.publisher.publish(records)
        if not isinstance(outcome, Published):
            log.info("a notice of a certificate is not told yet: %s", outcome.reason)
        return isinstance(outcome, Published)
