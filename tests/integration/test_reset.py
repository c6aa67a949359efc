"""`dip reset` on real Kafka: never under a worker's feet, never in silence, and then as it says."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline import topics
from pipeline.adapters.group_lags import GroupLags
from pipeline.adapters.topics import ensure_topics
from pipeline.engine.clients import consumer_settings
from pipeline.engine.values import EngineSettings
from pipeline.localstack import Broker
from pipeline.localstack.waiting import wait_until
from pipeline.operate.main import dip
from pipeline.topics import topic_specs

pytestmark = pytest.mark.kafka
PARTITIONS = 2


class Rig:
    """A broker with our topics, some records on each input, and the command."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        ensure_topics({"bootstrap.servers": bootstrap}, topic_specs(partitions=PARTITIONS))
        producer = Producer({"bootstrap.servers": bootstrap})
        for number in range(10):
            for name in (topics.AUDIT, topics.OUTBOUND, topics.STATUS):
                producer.produce(name, b"%d" % number, partition=number % PARTITIONS)
        assert producer.flush(30) == 0

    def dip(self, *arguments: str) -> Result:
        environment = {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9",
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
        }
        return CliRunner().invoke(dip, ["reset", *arguments], env=environment)

    def commit(self, group: str, offsets: Mapping[str, int]) -> None:
        asked = [
            TopicPartition(name, number, at) for name, at in offsets.items() for number in range(PARTITIONS)
        ]
        request = ConsumerGroupTopicPartitions(group, asked)
        for answer in self.admin.alter_consumer_group_offsets([request]).values():
            assert all(one.error is None for one in answer.result().topic_partitions)

    def committed(self, group: str, name: str) -> list[int]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        asked = [TopicPartition(name, number) for number in range(PARTITIONS)]
        found = [one.offset for one in consumer.committed(asked, timeout=30)]
        consumer.close()
        return found

    def topic_id(self, name: str) -> str:
        return str(self.admin.describe_topics(TopicCollection([name]))[name].result().topic_id)


@pytest.fixture
def rig(private_broker: Callable[..., Broker]) -> Rig:
    return Rig(private_broker().bootstrap)


def refusal(result: Result) -> str:
    assert result.exit_code == 1
    return str(result.exception)


def test_how_far_a_group_is_behind_is_known_without_a_worker(rig: Rig) -> None:
    rig.commit("dip-some", {topics.AUDIT: 3})
    groups = {"dip-some": (topics.AUDIT, topics.STATUS), "dip-nobody": (topics.AUDIT,)}
    assert GroupLags({"bootstrap.servers": rig.bootstrap}).lags(groups) == {
        ("dip-some", topics.AUDIT): 10 - 3 * PARTITIONS,
        ("dip-some", topics.STATUS): 10,
        ("dip-nobody", topics.AUDIT): 10,
    }


def test_a_reset_waits_for_the_workers_says_what_it_does_and_does_it(rig: Rig) -> None:
    _under_a_worker(rig)
    _the_journals_index(rig)
    _what_others_notice(rig)
    _a_topic_made_anew(rig)


def _under_a_worker(rig: Rig) -> None:
    settings = EngineSettings(bootstrap=rig.bootstrap, instance="0", dead_letters={})
    worker: Any = Consumer(consumer_settings(settings, "dip-journal"))
    worker.subscribe([topics.AUDIT])
    assert wait_until(lambda: worker.poll(0.2) is not None or bool(worker.assignment()), timeout_s_max=60)
    assert "workers of dip-journal are running" in refusal(rig.dip("journal", "--to", "earliest", "--yes"))
    worker.close()
    assert rig.dip("journal", "--to", "earliest", "--wait", "60").exit_code == 0


def _the_journals_index(rig: Rig) -> None:
    rig.commit("dip-journal", {topics.AUDIT: 5, topics.OUTBOUND: 3, topics.STATUS: 5})
    stay = (topics.REQUEUES_CHANGELOG, topics.CONSUMPTION_CHANGELOG, topics.PARKED_CHANGELOG)
    kept = {one: rig.topic_id(one) for one in stay}
    index = {one: rig.topic_id(one) for one in (topics.ENTRIES_CHANGELOG, topics.COPIES_CHANGELOG)}
    told = json.loads(rig.dip("journal", "--to", "earliest", "--tables", "--json").output)
    said = "10 records of dip.audit would be worked on again: consumption replays (IF-015) among them are answered again"
    assert (told["done"], told["objections"]) == (False, [f"{said} (--again accepts it)"])
    assert said in refusal(rig.dip("journal", "--to", "earliest", "--tables", "--yes"))
    assert rig.committed("dip-journal", topics.OUTBOUND) == [3, 3], "without --yes nothing happens"
    done = rig.dip("journal", "--to", "earliest", "--tables", "--again", "--yes")
    assert done.exit_code == 0, done.output
    assert "dip.outbound[0]: 3 -> 0, 3 again, 0 skipped" in done.output
    assert "done: 6 partitions; start the workers" in done.output
    for name in (topics.AUDIT, topics.OUTBOUND, topics.STATUS):
        assert rig.committed("dip-journal", name) == [0, 0]
    assert all(rig.topic_id(one) != former for one, former in index.items()), "made anew"
    assert all(rig.topic_id(one) == former for one, former in kept.items()), "requeues are nowhere else"


def _what_others_notice(rig: Rig) -> None:
    rig.commit("dip-delivery", {topics.OUTBOUND: 4, topics.STATUS: 5})
    said = refusal(rig.dip("delivery", "--to", "earliest", "--topic", topics.OUTBOUND, "--yes"))
    assert "8 records of dip.outbound would be worked on again: they are delivered again" in said
    said = refusal(rig.dip("delivery", "--to", "latest", "--yes"))
    assert "2 records of dip.outbound would never be worked on (--skip accepts it)" in said
    assert rig.committed("dip-delivery", topics.OUTBOUND) == [4, 4]
    assert rig.dip("delivery", "--to", "latest", "--skip", "--yes").exit_code == 0
    assert rig.committed("dip-delivery", topics.OUTBOUND) == [5, 5]
    assert rig.committed("dip-delivery", topics.STATUS) == [5, 5]
    assert (
        rig.dip("delivery", "--to", "2020-01-01", "--topic", topics.OUTBOUND, "--again", "--yes").exit_code
        == 0
    )
    assert rig.committed("dip-delivery", topics.OUTBOUND) == [0, 0]
    assert rig.committed("dip-delivery", topics.STATUS) == [5, 5], "only the topic that was named"


def _a_topic_made_anew(rig: Rig) -> None:
    """What the engine refuses to go on with, and asks the operator for."""
    rig.commit("dip-router", {topics.INBOUND: 1_000})
    done = rig.dip("router", "--to", "earliest", "--topic", topics.INBOUND, "--yes")
    assert done.exit_code == 0, done.output
    assert rig.committed("dip-router", topics.INBOUND) == [0, 0]
