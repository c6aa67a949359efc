"""Answers of the broker that do not come."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.engine.offsets import Topics
from pipeline.engine.outside import Outside


class Late(Future):
    """An answer that its client forgot: it raises after its time, without waiting for it."""

    def result(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nobody may wait for ever"
        raise TimeoutError


class ForgetfulAdmin:
    def list_offsets(self, request: Any, **_: Any) -> Any:
        return {place: Late() for place in request}


class Forgetful(Outside):
    def admin(self, settings: Any) -> Any:
        return ForgetfulAdmin()


@pytest.mark.parametrize("ask", [Topics.last_stable, Topics.high_watermarks, Topics.beginnings])
def test_an_answer_that_does_not_come_is_an_error_of_kafka_and_no_other(ask: Any) -> None:
    """All workers of an installation died at once of a busy broker: nobody expects a plain TimeoutError."""
    with pytest.raises(KafkaException) as late:
        ask(Topics({}, Forgetful()), [("a", 0)])
    assert late.value.args[0].code() == KafkaError._TIMED_OUT
    assert "no offsets within" in late.value.args[0].str()
