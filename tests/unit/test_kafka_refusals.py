"""What an operator is told when a password or a certificate is wrong."""

import pytest
from confluent_kafka import KafkaError

from pipeline.kafka_refusals import Refusals


def error(code: int, text: str) -> KafkaError:
    return KafkaError(code, text)


@pytest.mark.parametrize(
    ("code", "advice"),
    [(KafkaError._AUTHENTICATION, "check user and password"), (KafkaError._SSL, "check the CA")],
)
def test_a_refusal_is_told_with_what_to_check(code: int, advice: str) -> None:
    refusals = Refusals()
    refusals.on_error(error(code, "Invalid username or password"))
    told = refusals.explain("no broker answered")
    assert told.startswith("Kafka does not let us in: Invalid username or password; ")
    assert advice in told
    assert "DIP_KAFKA_OPTIONS" in told


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT])
def test_a_broker_that_is_away_is_no_refusal(code: int) -> None:
    refusals = Refusals()
    refusals.on_error(error(code, "connection refused"))
    assert refusals.explain("no broker answered") == "no broker answered"


def test_a_port_without_tls_closes_and_that_is_told_as_what_it_is() -> None:
    """The client's code is that of a broken connection; `test_behaviour` has the words of the real client."""
    refusals = Refusals()
    refusals.on_error(error(KafkaError._TRANSPORT, "ssl://kafka: SSL handshake failed: Disconnected"))
    assert "this is the brokers' TLS port" in refusals.explain("no broker answered")


def test_a_long_text_of_the_other_side_is_cut() -> None:
    refusals = Refusals()
    refusals.on_error(error(KafkaError._SSL, "x" * 10_000))
    assert len(refusals.explain("")) < 500
