"""`dip reset`: what is refused before anything is asked of Kafka."""

import pytest
from click.testing import CliRunner

from pipeline.operate.main import dip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("bridge", "--to", "earliest"), "'bridge' is not one of"),
        (("router",), "Missing option '--to'"),
        (("router", "--to", "yesterday"), "'yesterday' is no time"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(arguments: tuple[str, ...], expected: str) -> None:
    answer = CliRunner().invoke(dip, ["reset", *arguments])
    assert answer.exit_code == 2
    assert expected in answer.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("router", "--to", "earliest", "--tables"), "what the tables of router hold is nowhere else"),
        (("delivery", "--to", "earliest", "--tables"), "what the tables of delivery hold is nowhere else"),
        (("journal", "--to", "latest", "--tables"), "has gaps"),
        (("journal", "--to", "earliest", "--tables", "--topic", "dip.audit"), "has gaps"),
    ],
)
def test_tables_that_are_nowhere_else_are_left_alone(arguments: tuple[str, ...], expected: str) -> None:
    environment = {"KAFKA_BOOTSTRAP": "127.0.0.1:9", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:9"}
    answer = CliRunner().invoke(dip, ["reset", *arguments], env=environment)
    assert answer.exit_code == 1
    assert expected in str(answer.exception)
