"""Dead letters on their topics: read as values, and sent back in transactions together with their marks."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from pipeline import limits, topics
from pipeline.adapters.topic_scan import read_one, scan_topic
from pipeline.codec import Codec
from pipeline.domain.dead_letters import PREFIX, Letter, Place
from pipeline.domain.envelope import Copy, Message
from pipeline.errors import BrokerUnavailable, RouterError, UndecodableRecord
from pipeline.settings import Settings
from pipeline.topics import COMPRESSION

STAGES: Final = {
    "validation": topics.DEAD_LETTER_VALIDATION,
    "addressing": topics.DEAD_LETTER_ADDRESSING,
    "delivery": topics.DEAD_LETTER_DELIVERY,
    "reporting": topics.DEAD_LETTER_REPORTING,
    "journal": topics.DEAD_LETTER_JOURNAL,
}
_STAGE_OF: Final = {topic: stage for stage, topic in STAGES.items()}
_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001  # the client's name for it
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)


class RequeueTakenOver(RouterError):
    """The same command has begun elsewhere; two at a time could send something twice. Let that one end."""


def letters(settings: Settings, stage: str, codec: Codec | None) -> Iterator[Letter]:
    """Yield every committed letter of a stage; without a codec none has a record. Raises BrokerUnavailable."""
    for message in scan_topic(settings, STAGES[stage]):
        yield _letter(message, codec)


def letter_at(settings: Settings, place: Place, codec: Codec | None) -> Letter | None:
    """Return one letter, None if there is none at the place. Raises BrokerUnavailable."""
    if place.topic not in _STAGE_OF:
        return None
    message = read_one(settings, place.topic, place.partition, place.offset)
    return None if message is None else _letter(message, codec)


def _letter(message: Any, codec: Codec | None) -> Letter:
    facts = {
        name.removeprefix(PREFIX): (value or b"").decode(errors="replace")
        for name, value in message.headers() or []
        if name.startswith(PREFIX)
    }
    value = message.value() or b""
    return Letter(
        place=Place(topic=message.topic(), partition=message.partition(), offset=message.offset()),
        stage=_STAGE_OF[message.topic()],
        key=message.key(),
        value=value,
        facts=facts,
        record=None if codec is None else _record(codec, message.topic(), value),
    )


def _record(codec: Codec, topic: str, value: bytes) -> Message | Copy | None:
    """Return what a letter holds; reporting's letters are letters of any stage again, of the journal's some are copies."""
    kinds = {
        topics.DEAD_LETTER_DELIVERY: (codec.decode_copy,),
        topics.DEAD_LETTER_JOURNAL: (codec.decode_copy,),
        topics.DEAD_LETTER_REPORTING: (codec.decode_copy, codec.decode_message),
    }
    for decode in kinds.get(topic, (codec.decode_message,)):
        with suppress(UndecodableRecord):
            return decode(value)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A record of a transaction."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Requeuer:
    """Writes records that belong together as one. One at a time in the world: beginning ends an earlier one's work.

    Begin it before the audit is read: what an interrupted requeue had written is committed or gone from then on.
    """

    def __init__(self, settings: Settings, command: str = "deadletter requeue") -> None:
        self._command = command
        self._producer = Producer(
            {
                **settings.kafka(),
                "transactional.id": f"dip-{command.replace(' ', '-')}",
                "compression.type": COMPRESSION,
                "partitioner": "murmur2",  # as the engine, Java and Faust
                "message.max.bytes": limits.RECORD_BYTES_MAX,
                "linger.ms": limits.PUBLISH_LINGER_MS,
            }
        )
        self._ask(lambda: self._producer.init_transactions(limits.BULK_DELIVERY_S_MAX))

    def write(self, records: Sequence[Sent]) -> None:
        """Make records durable together. Raises BrokerUnavailable, RequeueTakenOver; then none of them is there.

        One exception: a broker that goes away while it commits may have done so. The next run reads it from the audit.
        """
        self._ask(lambda: self._transact(records))

    def _transact(self, records: Sequence[Sent]) -> None:
        self._producer.begin_transaction()
        for one in records:
            self._producer.produce(one.topic, one.value, one.key, headers=list(one.headers))
            self._producer.poll(0)
        self._producer.commit_transaction(limits.BULK_DELIVERY_S_MAX)

    def _ask(self, call: Any) -> None:
        try:
            call()
        except KafkaException as error:
            found = error.args[0]
            if found.code() in _FENCED:
                raise RequeueTakenOver(
                    f"another `dip {self._command}` has begun and goes on instead of this one"
                ) from None
            with suppress(KafkaException):
                self._producer.abort_transaction(limits.OPERATOR_CALL_S_MAX)
            raise BrokerUnavailable(
                f"records could not be written ({found.str()}); run the same command again: what was written is marked"
            ) from None
