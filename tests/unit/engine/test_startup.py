"""What is wrong with the topics is told at the start, with what to do."""

from dataclasses import replace

import pytest

from pipeline.engine.bitmap import pack
from pipeline.engine.errors import TopicsUnfit
from pipeline.engine.offsets import offsets_partition
from pipeline.engine.reader import Start, starts
from pipeline.engine.recovery import unusable
from pipeline.engine.startup import Needs, release_of, release_warning, topic_problems
from pipeline.engine.window import Known

NEEDS = Needs(
    sources=frozenset({"a", "b"}),
    dead_letters={"a": "dlq", "b": "dlq"},
    partitions={"a": 12, "out": 12},
    groups={"a": "a+b", "b": "a+b"},
    tables={"app-seen-changelog": frozenset({"a", "b"})},
)
GOOD = {"a": (12, 1), "b": (12, 1), "dlq": (3, 1), "out": (12, 1), "app-seen-changelog": (12, 1)}


def test_topics_as_they_must_be_raise_no_problem():
    assert topic_problems(NEEDS, GOOD) == []


@pytest.mark.parametrize("topic", sorted(GOOD))
def test_each_missing_topic_is_named(topic):
    (problem,) = topic_problems(NEEDS, {name: count for name, count in GOOD.items() if name != topic})
    assert problem == f"topic {topic} does not exist: run `dip topics create`"


def test_a_wrong_partition_count_names_topic_found_and_expected():
    problems = topic_problems(NEEDS, {**GOOD, "out": (6, 1)})
    assert len(problems) == 1
    assert "topic out has 6 partitions, expected 12" in problems[0]


def test_co_partitioned_topics_must_have_equal_counts():
    problems = topic_problems(replace(NEEDS, partitions={}), {**GOOD, "b": (8, 1)})
    assert any("equal partition counts: a has 12, b has 8" in problem for problem in problems)


def test_a_changelog_has_as_many_partitions_as_its_sources():
    problems = topic_problems(NEEDS, {**GOOD, "app-seen-changelog": (8, 1)})
    assert any(
        "changelog app-seen-changelog has 8 partitions, its source a has 12" in one for one in problems
    )


def test_a_source_without_dead_letters_is_refused():
    problems = topic_problems(replace(NEEDS, dead_letters={"a": "dlq"}), GOOD)
    assert problems == ["topic b has no dead-letter topic: add it to EngineSettings.dead_letters"]


@pytest.mark.parametrize(
    ("level", "release"),
    [
        (21, "before 4.0"),
        (22, "4.0"),
        (25, "4.0"),
        (26, "4.1"),
        (27, "4.1"),
        (29, "4.2"),
        (30, "4.3"),
        (33, "4.4 or later"),
    ],
)
def test_the_metadata_level_tells_the_release_line(level, release):
    assert release_of(level) == release


@pytest.mark.parametrize("level", [26, 28, 30, 33])
def test_a_release_that_loses_markers_is_warned_of_with_one_replica(level):
    """KAFKA-20734: COMMIT and ABORT markers of partitions without a leader are dropped."""
    warning = release_warning(level, GOOD, GOOD)
    assert warning is not None
    assert "4.0.x" in warning
    assert "replication factor 3" in warning


def test_no_warning_on_a_sound_release_or_with_three_replicas():
    assert release_warning(25, GOOD, GOOD) is None
    assert release_warning(30, GOOD, {name: (count, 3) for name, (count, _) in GOOD.items()}) is None


# Java: Utils.abs("...".hashCode()) % 50
@pytest.mark.parametrize(("group", "partition"), [("", 0), ("a", 97 % 50), ("ab", 3105 % 50), ("dip", None)])
def test_the_group_s_offsets_partition_follows_java_s_hash(group, partition):
    found = offsets_partition(group, 50)
    if partition is None:
        code = 0
        for character in group:
            code = (31 * code + ord(character)) % 2**32
        partition = (code & 0x7FFFFFFF) % 50
    assert found == partition


def usable(**change):
    facts = {
        "offset": 50, "begin": 0, "end": 100, "age_s": 60, "keep_s": 86_400, "topic_id": "t", "current_topic_id": "t",
    }  # fmt: skip
    return unusable(**{**facts, **change})


def test_a_store_inside_of_its_changelog_is_continued():
    assert usable() is None
    assert usable(offset=0, begin=40, age_s=10**9, topic_id="") is None, "an empty store may always begin"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"offset": 101}, "ends at 100"),
        ({"begin": 51}, "begins at 51"),
        ({"age_s": 90_000}, "tombstones"),
        ({"current_topic_id": "other"}, "created again"),
    ],
)
def test_a_store_that_missed_something_is_rebuilt(change, why):
    assert why in usable(**change)


def test_reading_begins_at_the_committed_offset_or_at_the_beginning():
    complaints = []
    found = starts(
        committed={("a", 0): (5, "w1:3:" + pack([0, 2])), ("a", 1): (-1001, None), ("a", 2): (3, "")},
        beginnings={("a", 0): 0, ("a", 1): 2, ("a", 2): 4},
        ends={("a", 0): 9, ("a", 1): 9, ("a", 2): 9},
        complain=complaints.append,
    )
    assert found == {
        ("a", 0): Start(offset=5, known=Known(next=8, held=frozenset({5, 7}))),
        ("a", 1): Start(offset=2),
        ("a", 2): Start(offset=4),
    }
    assert complaints == ["a[2]: records 3 to 3 expired before they were read"]


def test_an_offset_behind_the_end_of_its_topic_stops_the_worker():
    """Starting over in silence would repeat everything; skipping to the end would lose it."""
    with pytest.raises(TopicsUnfit, match="on purpose"):
        starts(committed={("a", 0): (10, None)}, beginnings={("a", 0): 0}, ends={("a", 0): 9}, complain=print)
