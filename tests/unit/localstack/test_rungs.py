"""Which way to a broker is taken follows from facts alone."""

import itertools

import pytest

from pipeline.localstack.errors import StartFailed
from pipeline.localstack.rungs import Facts, Rung, climb, ladder, no_rung

ALL = [
    Facts(given=given, engine=engine, runtime=runtime, only=only)
    for given, engine, runtime in itertools.product([True, False], repeat=3)
    for only in (None, Rung.CONTAINER, Rung.PROCESS)
]


def fails(text):
    def start():
        raise StartFailed(text)

    return start


@pytest.mark.parametrize("facts", [facts for facts in ALL if facts.given])
def test_a_named_server_is_the_only_rung(facts):
    """Starting another one quietly would send messages elsewhere."""
    assert ladder(facts) == (Rung.GIVEN,)


@pytest.mark.parametrize("facts", [facts for facts in ALL if not facts.given])
def test_without_a_name_a_rung_is_tried_exactly_when_it_is_there_and_wanted(facts):
    there = {Rung.CONTAINER: facts.engine, Rung.PROCESS: facts.runtime}
    expected = {rung for rung, is_there in there.items() if is_there and facts.only in {None, rung}}
    assert set(ladder(facts)) == expected


def test_containers_come_before_processes():
    assert ladder(Facts(given=False, engine=True, runtime=True)) == (Rung.CONTAINER, Rung.PROCESS)


def test_a_rung_that_breaks_gives_way_to_the_next_and_the_choice_says_why():
    facts = Facts(given=False, engine=True, runtime=True)
    choice = climb(facts, {Rung.CONTAINER: fails("no such image"), Rung.PROCESS: lambda: "up"}, what="broker")
    assert (choice.rung, choice.server) == (Rung.PROCESS, "up")
    assert "no such image" in choice.describe()


def test_a_named_server_that_fails_is_not_replaced():
    facts = Facts(given=True, engine=True, runtime=True)
    starts = {Rung.GIVEN: fails("refused"), Rung.CONTAINER: lambda: "x", Rung.PROCESS: lambda: "x"}
    with pytest.raises(StartFailed, match="refused"):
        climb(facts, starts, what="broker")


def test_when_every_rung_breaks_all_reasons_are_told():
    facts = Facts(given=False, engine=True, runtime=True)
    with pytest.raises(StartFailed, match=r"(?s)no image.*no memory.*KAFKA_BOOTSTRAP"):
        climb(facts, {Rung.CONTAINER: fails("no image"), Rung.PROCESS: fails("no memory")}, what="broker")


@pytest.mark.parametrize("facts", [facts for facts in ALL if not ladder(facts)])
def test_an_empty_ladder_says_what_would_help(facts):
    with pytest.raises(StartFailed) as none:
        climb(facts, {}, what="broker")
    assert no_rung(facts) in str(none.value)
    assert ("DIP_STACK_RUNG" in str(none.value)) == (facts.only is not None)
