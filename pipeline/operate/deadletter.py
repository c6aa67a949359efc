"""`dip deadletter list`: what was refused or failed, where, when and why."""

import json
from collections.abc import Iterator
from typing import Any, Final

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline import limits, topics
from pipeline.errors import BrokerUnavailable
from pipeline.operate.stack import located
from pipeline.settings import Settings

STAGES: Final = {
    "validation": topics.DEAD_LETTER_VALIDATION,
    "addressing": topics.DEAD_LETTER_ADDRESSING,
    "delivery": topics.DEAD_LETTER_DELIVERY,
    "reporting": topics.DEAD_LETTER_REPORTING,
}
_PREFIX: Final = "dlq."


@click.group()
def deadletter() -> None:
    """Look at what could not be processed."""


@deadletter.command(name="list")
@click.option("--stage", type=click.Choice(sorted(STAGES)), help="Only what this stage could not process.")
@click.option("--limit", default=100, show_default=True, help="Show at most so many, the oldest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, with the record's size.")
def show(stage: str | None, limit: int, *, as_json: bool) -> None:
    """List dead letters with their origin and reason; the records keep their bytes on the topic."""
    settings = located(Settings.load())
    count = 0
    for name in [stage] if stage else list(STAGES):
        for row in letters(settings, STAGES[name]):
            if count == limit:
                click.echo(f"more than {limit}: raise --limit to see the rest", err=True)
                return
            count += 1
            click.echo(json.dumps(row) if as_json else _line(row))
    if not count and not as_json:
        click.echo("no dead letters")


def letters(settings: Settings, topic: str) -> Iterator[dict[str, Any]]:
    """Yield every committed dead letter of a topic as a flat row. Raises BrokerUnavailable."""
    consumer = Consumer(
        {
            **settings.kafka(),
            "group.id": "dip-deadletter-list",  # never commits
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        known = consumer.list_topics(topic, timeout=limits.OPERATOR_CALL_S_MAX).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in known])
        open_partitions = set(known)
        while open_partitions:
            message = consumer.poll(limits.OPERATOR_CALL_S_MAX)
            if message is None:
                raise BrokerUnavailable(f"{topic}: the broker stopped answering; try again")
            error = message.error()
            if error is None:
                yield _row(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the library's own name for it
                open_partitions.discard(message.partition())
    except KafkaException as error:
        raise BrokerUnavailable(f"{topic}: {error.args[0].str()}; check KAFKA_BOOTSTRAP") from None
    finally:
        consumer.close()


def _row(message: Any) -> dict[str, Any]:
    facts = {
        name.removeprefix(_PREFIX): value.decode(errors="replace")
        for name, value in message.headers() or []
        if name.startswith(_PREFIX)
    }
    key = message.key()
    return {
        "letter": f"{message.topic()}[{message.partition()}]@{message.offset()}",
        "key": key.decode(errors="replace") if key else None,
        "bytes": len(message.value() or b""),
        **facts,
    }


def _line(row: dict[str, Any]) -> str:
    reason = row.get("text") or row.get("error") or "no reason given"
    origin = f"{row.get('topic')}[{row.get('partition')}]@{row.get('offset')}"
    head = f"{row['letter']}  {row.get('stage', '?')}  {row.get('code', 'fault')}"
    return f"{head}  from {origin}  key {row['key']}\n    {reason}"
