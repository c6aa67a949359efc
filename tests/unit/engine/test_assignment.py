"""A claim needs every co-partitioned partition, recovered; losing one of them ends it."""

from pipeline.engine.assignment import Assignment, group_topics
from pipeline.engine.values import TopicPartition as Place

GROUPS = group_topics(["orders", "payments", "alone"], [{"orders", "payments"}])


def opened(assignment, *places):
    change = assignment.assign(places)
    for claim in change.opened:
        assert assignment.recovered(claim)
    return change.opened


def test_topics_that_share_a_table_directly_or_through_others_are_one_group():
    groups = group_topics(["a", "b", "c", "d"], [{"a", "b"}, {"b", "c"}, {"d"}])
    assert groups["a"] == groups["b"] == groups["c"] == "a+b+c"
    assert groups["d"] == "d"


def test_a_table_source_that_no_agent_reads_joins_no_group():
    assert group_topics(["a"], [{"a", "unread"}]) == {"a": "a"}


def test_a_group_opens_only_when_all_its_partitions_are_there():
    assignment = Assignment(GROUPS)
    assert assignment.assign([Place("orders", 1)]).opened == []
    assert not assignment.complete
    (claim,) = assignment.assign([Place("payments", 1)]).opened
    assert (claim.group, claim.partition) == ("orders+payments", 1)
    assert assignment.claim_of(Place("orders", 1)) is None, "not before its shards are recovered"
    assert assignment.recovered(claim)
    assert assignment.claim_of(Place("orders", 1)) == assignment.claim_of(Place("payments", 1)) == claim
    assert assignment.complete


def test_a_topic_without_tables_is_its_own_claim():
    assignment = Assignment(GROUPS)
    (claim,) = opened(assignment, Place("alone", 0))
    assert assignment.claim_of(Place("alone", 0)) == claim


def test_losing_one_partition_ends_the_claim_and_halts_the_others():
    assignment = Assignment(GROUPS)
    (claim,) = opened(assignment, Place("orders", 2), Place("payments", 2))
    change = assignment.revoke([Place("payments", 2)])
    assert change.lost == [claim]
    assert change.halted == [Place("orders", 2)]
    assert assignment.claim_of(Place("orders", 2)) is None
    assert not assignment.holds(claim)


def test_a_claim_that_comes_back_is_another_claim():
    """An answer for the old claim must not be taken for the new one."""
    assignment = Assignment(GROUPS)
    (first,) = opened(assignment, Place("alone", 0))
    assignment.revoke([Place("alone", 0)])
    (second,) = opened(assignment, Place("alone", 0))
    assert first != second
    assert not assignment.holds(first)
    assert assignment.holds(second)


def test_a_recovery_that_ends_after_its_partition_went_claims_nothing():
    assignment = Assignment(GROUPS)
    (claim,) = assignment.assign([Place("alone", 0)]).opened
    assert assignment.revoke([Place("alone", 0)]).dropped == [claim]
    assert not assignment.recovered(claim)
    assert assignment.held == {}


def test_revoking_what_is_not_owned_changes_nothing():
    assignment = Assignment(GROUPS)
    (claim,) = opened(assignment, Place("alone", 0))
    change = assignment.revoke([Place("alone", 5)])
    assert (change.lost, change.halted) == ([], [])
    assert assignment.holds(claim)


def test_a_claim_of_a_later_session_never_equals_one_of_an_earlier():
    """A lane of the session before may still settle: with its own claim, which nobody holds any more."""
    before = Assignment(GROUPS)
    first = {claim for topic in GROUPS for claim in before.assign([Place(topic, 0)]).opened}
    after = Assignment(GROUPS, epoch=before.epoch)
    second = {claim for topic in GROUPS for claim in after.assign([Place(topic, 0)]).opened}
    assert first
    assert second
    assert not first & second
