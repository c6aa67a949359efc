"""The simulated Kafka of `make sim` and a real one answer the same script in the same way (ADR 320)."""

import pytest

from pipeline.engine.outside import OUTSIDE
from tests.simulation.engine.conformance import EXPECTED, Facts
from tests.support.engine_rig import create_topics

pytestmark = pytest.mark.kafka


def test_a_real_kafka_does_what_the_simulated_one_does(stack, prefix) -> None:
    create_topics(stack.bootstrap, {prefix: 2})
    assert Facts(OUTSIDE, stack.bootstrap, prefix).gather() == EXPECTED
