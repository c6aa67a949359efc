"""What a reset of a group's offsets repeats and what it leaves out."""

import pytest

from pipeline.domain.resetting import Standing, objections


@pytest.mark.parametrize(
    ("committed", "low", "high", "target", "again", "skipped"),
    [
        (50, 0, 100, 50, 0, 0),
        (50, 0, 100, 0, 50, 0),
        (50, 20, 100, 20, 30, 0),
        (50, 0, 100, 100, 0, 50),
        (50, 60, 100, 60, 0, 0),  # what expired is not left out by us
        (50, 60, 100, 100, 0, 40),
        (None, 10, 100, 10, 0, 0),
        (None, 10, 100, 100, 0, 90),
        (
            50,
            0,
            5,
            5,
            0,
            0,
        ),  # the topic was made anew: the group never saw these five, and reads from behind them
        (50, 0, 5, 0, 5, 0),
        (50, 0, 0, 0, 0, 0),
    ],
)
def test_what_is_repeated_and_what_is_left_out(  # noqa: PLR0917  # a row of the table
    committed: int | None, low: int, high: int, target: int, again: int, skipped: int
) -> None:
    one = Standing(topic="t", partition=0, committed=committed, low=low, high=high, target=target)
    assert (one.again, one.skipped) == (again, skipped)
    assert one.moves is (committed != target)


def standing(topic: str, committed: int, target: int) -> Standing:
    return Standing(topic=topic, partition=0, committed=committed, low=0, high=100, target=target)


def test_what_others_notice_and_what_is_lost_must_be_accepted() -> None:
    moved = [
        standing("noticed", 50, 40),
        standing("noticed", 50, 30),
        standing("quiet", 50, 0),
        standing("quiet", 10, 90),
    ]
    noticed = {"noticed": "it is delivered again"}
    said = list(objections(moved, noticed, again=False, skip=False))
    assert said == [
        "30 records of noticed would be worked on again: it is delivered again (--again accepts it)",
        "80 records of quiet would never be worked on (--skip accepts it)",
    ]
    assert list(objections(moved, noticed, again=True, skip=False)) == said[1:]
    assert list(objections(moved, noticed, again=False, skip=True)) == said[:1]
    assert list(objections(moved, noticed, again=True, skip=True)) == []
