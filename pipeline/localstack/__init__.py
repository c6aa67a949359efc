"""A real Kafka and a real schema registry on this machine, for `dip up`, the demo and the tests (operations.md 4, 5)."""

from pipeline.localstack.broker import Broker, KafkaHome, kafka_home
from pipeline.localstack.broker_config import BrokerProfile
from pipeline.localstack.fetch import Cache, Notify, Progress
from pipeline.localstack.processes import Child, Crash, ProcessGroup, ProcessSpec
from pipeline.localstack.registry import Registry
from pipeline.localstack.stack import LocalStack, StackOptions, default_cache, options_from
from pipeline.localstack.state import Running, find_running

__all__ = [
    "Broker",
    "BrokerProfile",
    "Cache",
    "Child",
    "Crash",
    "KafkaHome",
    "LocalStack",
    "Notify",
    "ProcessGroup",
    "ProcessSpec",
    "Progress",
    "Registry",
    "Running",
    "StackOptions",
    "default_cache",
    "find_running",
    "kafka_home",
    "options_from",
]
