"""Creates the topics on a broker, and compares what is there with what must be."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from pipeline import limits
from pipeline.errors import BrokerUnavailable, TopicsInvalid
from pipeline.kafka_refusals import Refusals
from pipeline.topics import Difference, FoundTopic, TopicSpec, differences

_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensured:
    """What `ensure_topics` did."""

    created: tuple[str, ...]
    existing: tuple[str, ...]


def ensure_topics(client: Mapping[str, str], specs: Sequence[TopicSpec]) -> Ensured:
    """Create the missing topics and verify all; nothing existing is changed.

    `client` are librdkafka settings (`Settings.kafka()`). Raises TopicsInvalid with every difference and what to do,
    before it creates anything; BrokerUnavailable when no broker answers. A topic that somebody else creates in the
    same moment may not show yet (0.2 s seen): then the missing ones are created, and its difference is raised after.
    """
    admin = _Admin(client)
    found = _found(admin, specs)
    wrong = [one for spec in specs if spec.name in found for one in differences(spec, found[spec.name])]
    if wrong:
        raise TopicsInvalid(_lines(wrong))
    missing = [spec for spec in specs if spec.name not in found]
    created = _create(admin, missing)
    _await(admin, specs)
    existing = tuple(spec.name for spec in specs if spec.name not in created)
    return Ensured(created=created, existing=existing)


def check_topics(client: Mapping[str, str], specs: Sequence[TopicSpec]) -> tuple[Difference, ...]:
    """Return every difference between the broker and the specs; BrokerUnavailable when no broker answers."""
    found = _found(_Admin(client), specs)
    return tuple(one for spec in specs for one in differences(spec, found.get(spec.name)))


def require_topics(client: Mapping[str, str], specs: Sequence[TopicSpec]) -> None:
    """Raise TopicsInvalid unless every topic is there with its shape: for a worker, before it starts."""
    wrong = check_topics(client, specs)
    if wrong:
        raise TopicsInvalid(_lines(wrong))


def _lines(wrong: Sequence[Difference]) -> str:
    return "topics are not as they must be:\n" + "\n".join(f"  {one}" for one in wrong)


class _Admin(AdminClient):  # type: ignore[misc]  # the client ships no types
    """A client that knows why it was refused."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self.refusals = Refusals()
        super().__init__({**client, "log_level": 0, **self.refusals.options})


def _found(admin: _Admin, specs: Sequence[TopicSpec]) -> dict[str, FoundTopic]:
    """Return those of the topics that exist, as the broker has them now."""
    try:
        # All topics in one call: asking for a topic by name would create it where a broker creates automatically.
        metadata = admin.list_topics(timeout=limits.ADMIN_CALL_S_MAX).topics
        names = [spec.name for spec in specs if spec.name in metadata and metadata[spec.name].partitions]
        configs = _configs(admin, names)
    except KafkaException as error:
        admin.poll(0)
        text = admin.refusals.explain(f"the Kafka broker does not answer: {_text(error)}")
        raise BrokerUnavailable(text) from error
    return {
        name: FoundTopic(
            partitions=len(metadata[name].partitions),
            replication=min(len(one.replicas) for one in metadata[name].partitions.values()),
            config=configs[name],
        )
        for name in names
    }


def _configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=limits.ADMIN_CALL_S_MAX
    )
    return {
        resource.name: {entry.name: str(entry.value) for entry in answer.result().values()}
        for resource, answer in asked.items()
    }


def _create(admin: _Admin, missing: Sequence[TopicSpec]) -> tuple[str, ...]:
    """Create topics; one that somebody else created meanwhile is checked with the rest."""
    if not missing:
        return ()
    wanted = [
        NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication,
            config=spec.config(),
        )
        for spec in missing
    ]
    created: list[str] = []
    for name, answer in admin.create_topics(wanted, operation_timeout=limits.ADMIN_CALL_S_MAX).items():
        try:
            answer.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicsInvalid(f"topic {name} cannot be created: {_text(error)}") from error
        else:
            created.append(name)
    return tuple(created)


def _await(admin: _Admin, specs: Sequence[TopicSpec]) -> None:
    """Return once the broker shows every topic with its shape: a controller's yes reaches it a moment later."""
    wrong: list[Difference] = []
    for _ in range(limits.TOPIC_LOOKS_MAX):
        found = _found(admin, specs)
        wrong = [one for spec in specs for one in differences(spec, found.get(spec.name))]
        if not wrong:
            return
        time.sleep(_POLL_S)
    raise TopicsInvalid(_lines(wrong))


def _text(error: KafkaException) -> str:
    return str(error.args[0].str())
