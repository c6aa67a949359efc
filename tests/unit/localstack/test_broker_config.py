"""The settings that engine.md and operations.md depend on."""

import pytest

from pipeline import limits
from pipeline.localstack.broker_config import BrokerProfile, properties, render
from pipeline.localstack.containers import broker_environment
from pipeline.localstack.ports import Ports

PORTS = Ports(client=21000, control=21001)


@pytest.fixture(params=BrokerProfile)
def settings(request, tmp_path):
    return properties(request.param, PORTS, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auto.create.topics.enable", "false"),
        ("initial.broker.registration.timeout.ms", "60000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "2000"),
        ("transaction.state.log.min.isr", "1"),
        ("message.max.bytes", str(limits.RECORD_BYTES_MAX)),
    ],
)
def test_every_profile_has_what_the_engine_relies_on(settings, name, value):
    assert settings[name] == value


def test_a_heartbeat_fits_into_the_session_at_least_twice(settings):
    beat = int(settings["group.consumer.heartbeat.interval.ms"])
    assert 2 * beat < int(settings["group.consumer.session.timeout.ms"])


def test_no_process_listens_beyond_loopback(settings):
    listeners = settings["listeners"].split(",") + settings["advertised.listeners"].split(",")
    assert all("://127.0.0.1:" in one for one in listeners)


def test_a_container_binds_inside_and_is_advertised_on_loopback():
    environment = broker_environment(BrokerProfile.SMALL, PORTS)
    assert "CLIENT://0.0.0.0:21000" in environment["KAFKA_LISTENERS"]
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "CLIENT://127.0.0.1:21000"


def test_backslashes_survive_the_properties_format():
    assert render({"a": "c:\\x"}) == "a=c:\\\\x\n"
