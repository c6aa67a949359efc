"""The ledger of routing: what the topics say after a run, against the model."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any
from zlib import crc32

import orjson

from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.domain.envelope import AuditRecord, Copy, Stage, Status
from pipeline.domain.explain import Question, explain
from pipeline.domain.identifiers import EventCode
from tables import appointments as appointments_table
from tests.simulation.engine.broker import Broker, Entry
from tests.simulation.engine.stores import fold
from tests.simulation.judge import Due, Said, compared, due, misexplained
from tests.simulation.model import DAYS
from tests.simulation.product.market import KNOWN, RUBBISH, Market
from tests.support.market_world import IF_021, participants


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What became of every message on the way to its copies."""

    broker: Broker
    codec: Codec
    catalogue: Catalogue
    market: Market

    def problems(self) -> Iterator[str]:
        """Yield everything that is lost, doubled, misrouted, unexplained or untold."""
        audits = [self.codec.decode_audit(entry.value or b"") for entry in self._records(topics.AUDIT)]
        yield from self._validated(audits)
        yield from self._copies()
        yield from self._explained(audits)
        yield from self._letters()
        yield from self._explanations()

    def copies(self, topic: str) -> Iterator[Copy]:
        """Yield the copies on a topic."""
        return (self.codec.decode_copy(entry.value or b"") for entry in self._records(topic))

    def _records(self, topic: str) -> Iterator[Entry]:
        return (entry for _, _, entry in self.broker.records(topic))

    def _validated(self, audits: list[AuditRecord]) -> Iterator[str]:
        """Each accepted message passes once, with the body that came first; the audit counts every repeat."""
        market = self.market
        passed = [self.codec.decode_message(one.value or b"") for one in self._records(topics.VALIDATED)]
        found = Counter((one.transaction_id, crc32(one.body)) for one in passed)
        wanted_here = Counter((name, crc32(body)) for name, body in market.accepted.items())
        yield from compared("validated", found, wanted_here)
        stage = [one for one in audits if one.stage is Stage.INBOUND]
        for words, wanted, fits in (
            ("accepted", Counter(market.accepted.keys()), _accepted),
            ("repeated", market.repeated, lambda one: one.duplicate),
            ("reused", market.reused, lambda one: one.status is Status.INBOUND_RULE_FAILURE),
        ):
            found_here: Counter[Any] = Counter(one.transaction_id for one in stage if fits(one))
            yield from compared(f"audit of validation, {words}", found_here, Counter(wanted))

    def _copies(self) -> Iterator[str]:
        """Exactly the copies that the model names are there, each once, to whom it says, with the sender's bytes."""
        found: Counter[Due] = Counter()
        for copy in self.copies(topics.OUTBOUND):
            found[copy.transaction_id, copy.recipient] += 1
            sent = self.market.accepted.get(copy.transaction_id)
            if sent is None or not _carries(copy.body, sent):
                yield f"the copy {copy.delivery_id} is not what was sent"
        yield from compared("copies", found, Counter(due(self.market.model.expected)))

    def _explained(self, audits: list[AuditRecord]) -> Iterator[str]:
        """The audit names the model's recipients once, and what could not be addressed at least once."""
        said: Said = defaultdict(list)
        failed: set[str | None] = set()
        for one in audits:
            if one.stage is not Stage.ADDRESSING or one.transaction_id is None:
                continue
            if one.status is Status.SENT_TO_TOPIC:
                said[one.transaction_id].append(frozenset(who.recipient for who in one.addressees))
            else:
                failed.add(one.transaction_id)
        yield from misexplained(self.market.model.expected, said)
        yield from (f"not explained: {one}" for one in sorted(self.market.model.refused - failed))
        known = self.market.model.expected.keys() | self.market.model.refused
        yield from (
            f"the audit speaks of a message nobody sent: {one}" for one in sorted(said.keys() - known)
        )

    def _explanations(self) -> Iterator[str]:
        """What `dip explain` would say of a message that came now is what the model says."""
        event, now = EventCode("ActivePower"), datetime.fromtimestamp(self.broker.at_ms / 1000, UTC)
        routing, people = self.catalogue.channels[IF_021].routing(event, now), participants()
        rows: dict[bytes, bytes] = {}
        for number in range(self.broker.counts[topics.APPOINTMENTS_CHANGELOG]):
            rows |= fold(self.broker, topics.APPOINTMENTS_CHANGELOG, number)
        for mpan, day in product((*KNOWN, *sorted(self.market.repaired)), DAYS):
            question = Question(mpan=mpan, interface=IF_021, event=event, days=(day,), now=now)
            row = rows.get(mpan.encode())
            history = None if row is None else appointments_table.decode(row)
            answer = explain(question, routing=routing, history=history, participants=people)
            said = {one.id for one in answer.recipients}
            if said != self.market.model.named(mpan, day):
                yield f"explained for {mpan} on {day.date()}: {sorted(said)}"

    def _letters(self) -> Iterator[str]:
        """What was refused lies among the dead letters once for each refusal, and its sender is told as often."""
        letters: Counter[str] = Counter()
        rubbish = 0
        for entry in self._records(topics.DEAD_LETTER_VALIDATION):
            if entry.value == RUBBISH:
                rubbish += 1
            else:
                letters[self.codec.decode_message(entry.value or b"").transaction_id] += 1
        yield from compared("dead letters of validation", letters, self.market.reused)
        if rubbish != self.market.rubbish:
            yield f"{rubbish} dead letters are no envelopes, {self.market.rubbish} such records came"
        strays = Counter(
            self.codec.decode_message(entry.value or b"").transaction_id
            for entry in self._records(topics.DEAD_LETTER_ADDRESSING)
        )
        waited = {one for some in self.market.strays.values() for one in some}
        yield from (f"refused without need: {one}" for one in sorted(strays.keys() - waited))
        yield from (f"not kept: {one}" for one in sorted(self.market.model.refused - strays.keys()))
        yield from (f"refused {count} times: {one}" for one, count in strays.items() if count > 1)
        told = Counter(one.transaction_id for one in self.copies(topics.STATUS))
        owed = letters + strays
        yield from (f"its sender was told nothing: {one}" for one in sorted((owed - told).keys()))
        if any(self._records(topics.DEAD_LETTER_REPORTING)):
            yield "a report could not be made"


def _accepted(one: AuditRecord) -> bool:
    return one.status is Status.GOOD_TO_GO and not one.duplicate


def _carries(copied: bytes, sent: bytes) -> bool:
    """Tell whether a copy has the sender's payload; the router adds blocks of its own."""
    ours, theirs = orjson.loads(copied)["payload"], orjson.loads(sent)["payload"]
    same = ours["CustomBlock"] == theirs["CustomBlock"]
    return bool(same and ours["CommonBlock"]["S1"] == theirs["CommonBlock"]["S1"])
