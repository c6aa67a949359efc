"""What an operator is told of brokers whose settings make records wait."""

import pytest

from pipeline.adapters.broker_settings import WISHES, advice
from pipeline.localstack.broker_config import BrokerProfile, properties
from pipeline.localstack.ports import Ports

DEFAULTS = {
    "group.consumer.heartbeat.interval.ms": "5000",
    "group.consumer.session.timeout.ms": "45000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "10000",
}
"""Of Kafka 4.0."""


def test_a_broker_with_kafkas_own_defaults_is_told_of_all_three() -> None:
    told = advice(DEFAULTS)
    assert len(told) == len(WISHES) == 3
    assert told[0].startswith("group.consumer.heartbeat.interval.ms is 5000, better at most 1000: ")


@pytest.mark.parametrize("wish", WISHES, ids=lambda one: one.name)
def test_a_setting_at_its_bound_is_well_and_one_above_it_is_not(wish) -> None:
    assert advice({wish.name: str(wish.ms_max)}) == ()
    assert len(advice({wish.name: str(wish.ms_max + 1)})) == 1


def test_the_local_stack_does_what_we_ask_of_others(tmp_path) -> None:
    for profile in BrokerProfile:
        own = properties(profile, Ports(client=1, control=2), tmp_path)
        assert {one.name for one in WISHES} <= own.keys()
        assert advice(own) == ()


def test_what_a_broker_does_not_know_is_no_fault() -> None:
    assert advice({}) == ()
