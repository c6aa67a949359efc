"""The shapes of the topics, and what counts as a difference."""

from dataclasses import replace

import pytest

from pipeline import limits, topics
from pipeline.topics import Cleanup, FoundTopic, differences, topic_specs

SPECS = {spec.name: spec for spec in topic_specs(partitions=12, replication=3, min_isr=2)}


def found(spec, **config):
    return FoundTopic(
        partitions=spec.partitions, replication=spec.replication, config={**spec.config(), **config}
    )


@pytest.mark.parametrize("group", topics.COPARTITIONED)
def test_a_copartitioned_group_has_one_partition_count(group):
    """Partition p of each must hold the same keys, or a table would be read beside the wrong messages."""
    assert len({SPECS[name].partitions for name in group}) == 1


def test_every_copartitioned_name_is_a_topic():
    assert {name for group in topics.COPARTITIONED for name in group} <= SPECS.keys()


def test_names_are_unique_and_every_topic_says_why():
    specs = topic_specs(partitions=3)
    assert len({spec.name for spec in specs}) == len(specs)
    assert all(spec.why for spec in specs)


def test_a_parked_copy_outlives_the_longest_hold():
    assert SPECS[topics.OUTBOUND].retention_ms > limits.RETENTION_DAYS * 86_400_000


def test_participants_have_one_partition_and_are_compacted():
    spec = SPECS[topics.PARTICIPANTS]
    assert (spec.partitions, spec.cleanup) == (1, Cleanup.COMPACT)


@pytest.mark.parametrize(
    ("partitions", "replication", "min_isr"), [(0, 1, 1), (1, 1, 2), (1, 1, 0), (-1, 3, 2)]
)
def test_a_shape_that_no_broker_can_keep_is_refused(partitions, replication, min_isr):
    with pytest.raises(ValueError, match="min ISR"):
        topic_specs(partitions=partitions, replication=replication, min_isr=min_isr)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_topic_made_from_its_spec_has_no_differences(spec):
    assert differences(spec, found(spec)) == ()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_missing_topic_is_one_difference(spec):
    (one,) = differences(spec, None)
    assert one.found == "missing"
    assert "dip topics create" in one.advice


@pytest.mark.parametrize("count", [1, 11, 13])
def test_another_partition_count_is_a_difference_in_both_directions(count):
    spec = SPECS[topics.INBOUND]
    (one,) = differences(spec, replace(found(spec), partitions=count))
    assert (one.what, one.found, one.expected) == ("partition count", str(count), "12")


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        (topics.APPOINTMENTS_CHANGELOG, "cleanup.policy", "delete"),
        (topics.OUTBOUND, "cleanup.policy", "compact"),
        (topics.SEEN_CHANGELOG, "cleanup.policy", "compact"),
        (topics.OUTBOUND, "retention.ms", "604800000"),
        (topics.AUDIT, "retention.ms", "604800000"),
        (topics.INBOUND, "min.insync.replicas", "1"),
    ],
)
def test_a_setting_that_keeps_less_is_a_difference(name, setting, value):
    spec = SPECS[name]
    (one,) = differences(spec, found(spec, **{setting: value}))
    assert (one.what, one.found) == (setting, value)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        (topics.OUTBOUND, "retention.ms", "-1"),
        (topics.OUTBOUND, "retention.ms", str(topics.ONLINE_MS + 1)),
        (topics.INBOUND, "min.insync.replicas", "3"),
        (topics.SEEN_CHANGELOG, "cleanup.policy", "delete, compact"),
        (topics.APPOINTMENTS_CHANGELOG, "retention.ms", "1"),  # nothing is deleted there by age
    ],
)
def test_a_setting_that_keeps_as_much_or_more_is_none(name, setting, value):
    assert differences(SPECS[name], found(SPECS[name], **{setting: value})) == ()


def test_fewer_replicas_are_a_difference_and_more_are_not():
    spec = SPECS[topics.INBOUND]
    assert [one.what for one in differences(spec, replace(found(spec), replication=1))] == ["replication"]
    assert differences(spec, replace(found(spec), replication=5)) == ()
