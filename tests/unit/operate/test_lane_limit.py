"""`dip lane limit`: what is refused before anything is asked of Kafka, and what a word on all channels replaces."""

import pytest
from click.testing import CliRunner

from pipeline.domain.identifiers import InterfaceId, ParticipantId
from pipeline.domain.lane_limits import LaneLimits, Rates
from pipeline.domain.lane_orders import LaneOrders
from pipeline.domain.participants import ANY_CHANNEL
from pipeline.operate.lane import lane
from pipeline.operate.lane_limit import outweighed
from tests.support.fake_engine import START


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "name at least one limit, or --none"),
        (("--none", "--calls-per-min", "5"), "name at least one limit, or --none"),
        (("--calls-per-min", "0"), "not in the range"),
        (("--catch-up-per-s", "-1"), "not in the range"),
        (("--catch-up-per-s", "nan"), "nan is no rate"),
        (("--calls-per-min", "inf"), "not in the range"),
        (("--calls-at-a-time", "0"), "not in the range"),
        (("--calls-per-min", "fast"), "not a valid float"),
    ],
)
def test_what_is_no_limit_is_refused_in_words(arguments: tuple[str, ...], expected: str) -> None:
    answer = CliRunner().invoke(lane, ["limit", "2300000001", *arguments])
    assert answer.exit_code == 2
    assert expected in answer.output


def word(channel: str, who: str = "2300000001", **rates: float) -> LaneLimits:
    return LaneLimits(
        recipient=ParticipantId(who),
        channel=InterfaceId(channel),
        rates=Rates(**rates),  # type: ignore[arg-type]
        reason="",
        by="ops",
        at=START,
    )


def test_a_word_on_all_channels_takes_back_those_on_single_ones() -> None:
    one, other, every = word("IF-021"), word("IF-021", who="2300000002"), word(ANY_CHANNEL)
    orders = LaneOrders([], [one, other, every])
    assert outweighed(word(ANY_CHANNEL, calls_per_min=6), orders) == (one,)
    assert outweighed(word("IF-001", calls_per_min=6), orders) == ()


def test_limits_are_read_as_words() -> None:
    assert word("IF-021", calls_per_min=60, catch_up_per_s=0.5, calls_max=2).text == (
        "60 calls a minute, 0.5 parked copies a second, 2 calls at a time by ops"
    )
    assert word("IF-021").text == "no limit by ops"
