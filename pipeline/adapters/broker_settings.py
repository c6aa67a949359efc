"""Settings of the brokers that decide for how long records wait when workers come, go and die (docs/UPGRADE.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from pipeline import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A setting that should not be larger, and what it costs where it is."""

    name: str
    ms_max: int
    cost: str


WISHES: Final = (
    Wish(
        name="group.consumer.heartbeat.interval.ms",
        ms_max=1_000,
        cost="records of a partition that moves wait so long before its new worker hears of it",
    ),
    Wish(
        name="group.consumer.session.timeout.ms",
        ms_max=30_000,
        cost="records of a worker that died wait so long before others take its partitions over",
    ),
    Wish(
        name="transaction.abort.timed.out.transaction.cleanup.interval.ms",
        ms_max=2_000,
        cost="a worker that died inside of a transaction holds others back by so much longer",
    ),
)


def advice(found: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line for each setting of a broker that makes records wait for longer than they have to. Pure."""
    return tuple(
        f"{one.name} is {found[one.name]}, better at most {one.ms_max}: {one.cost}"
        for one in WISHES
        if int(found.get(one.name, 0)) > one.ms_max
    )


def broker_settings(client: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings of one broker; nothing where no broker answers or they may not be read."""
    admin = AdminClient({**client, "log_level": 0})
    try:
        number = next(iter(admin.list_topics(timeout=limits.ADMIN_CALL_S_MAX).brokers))
        resource = ConfigResource(ResourceType.BROKER, str(number))
        (answer,) = admin.describe_configs([resource], request_timeout=limits.ADMIN_CALL_S_MAX).values()
        entries = answer.result()
    except (KafkaException, StopIteration):  # an account without the right to describe the cluster
        return {}
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}
