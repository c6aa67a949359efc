"""`dip deadletter` says what cannot go back, and knows every topic of dead letters there is."""

import pytest
from click.testing import CliRunner

from pipeline.adapters.dead_letters import STAGES
from pipeline.operate.deadletter import deadletter
from pipeline.topics import topic_specs


def test_every_topic_of_dead_letters_can_be_looked_at() -> None:
    assert set(STAGES.values()) == {
        one.name for one in topic_specs(partitions=1) if one.name.startswith("dip.dead-letter.")
    }


@pytest.mark.parametrize(
    ("stage", "why"), [("reporting", "of another stage already"), ("journal", "delivered all the same")]
)
def test_what_cannot_go_back_is_refused_with_the_reason(stage: str, why: str) -> None:
    told = CliRunner().invoke(deadletter, ["requeue", "--stage", stage, "--yes"])
    assert told.exit_code == 2
    assert why in told.output
