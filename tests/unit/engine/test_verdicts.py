"""An open transaction is closed only where the evidence allows one direction."""

import pytest

from pipeline.engine.batches import BatchHeader
from pipeline.engine.verdicts import Finding, Part, Verdict, judge, parts_of
from pipeline.engine.wire import Coordinated, OpenTransaction

OPEN = OpenTransaction(
    topic="t",
    partition=0,
    producer_id=7,
    epoch=3,
    coordinator_epoch=1,
    start_offset=5,
    last_timestamp_ms=10_000,
)
HERE, THERE, ELSEWHERE = ("t", 0), ("t", 1), ("u", 0)
STUCK = Part(first_ms=10_000, last_ms=10_010)


def owner(state="CompleteCommit", epoch=3, name="dip-router-0"):
    return Coordinated(transactional_id=name, producer_id=7, epoch=epoch, state=state)


def verdict(parts, *, by=None, own=("dip-",)):
    finding = Finding(transaction=OPEN, last_stable=5, high_watermark=9, age_s=60, owner=by or owner())
    return judge(finding, {HERE: [STUCK], **parts}, own_ids=own)[0]


def part(first_ms, last_ms, ending, ended_ms):
    return Part(first_ms=first_ms, last_ms=last_ms, commits=ending == "commit", ended_ms=ended_ms)


def test_all_of_it_open_is_aborted():
    assert verdict({}) is Verdict.ABORT
    assert verdict({THERE: [STUCK]}) is Verdict.ABORT


@pytest.mark.parametrize(("ending", "expected"), [("commit", Verdict.COMMIT), ("abort", Verdict.ABORT)])
def test_the_rest_follows_the_part_that_was_ended(ending, expected):
    assert verdict({THERE: [part(9_995, 10_005, ending, 10_050)]}) is expected


def test_earlier_transactions_of_the_same_session_do_not_count():
    """They carry the same producer id and epoch, and were committed."""
    earlier = part(5_000, 5_010, "commit", 5_020)
    assert verdict({THERE: [earlier], HERE: [earlier, STUCK]}) is Verdict.ABORT


def test_a_part_that_may_belong_to_either_needs_a_person():
    """Written before the open part began, ended after: of this transaction, or of the one before it."""
    assert verdict({THERE: [part(9_990, 9_999, "commit", 10_030)]}) is Verdict.ASK
    assert verdict({THERE: [part(9_990, 9_999, "commit", 9_998)]}) is Verdict.ASK, "clocks differ"


def test_an_unclear_part_that_agrees_with_a_clear_one_changes_nothing():
    clear, unclear = part(10_000, 10_005, "commit", 10_050), part(9_990, 9_999, "commit", 10_030)
    assert verdict({THERE: [clear], ELSEWHERE: [unclear]}) is Verdict.COMMIT


def test_parts_that_contradict_each_other_need_a_person():
    assert (
        verdict(
            {
                THERE: [part(10_000, 10_005, "commit", 10_050)],
                ELSEWHERE: [part(10_000, 10_005, "abort", 10_050)],
            }
        )
        is Verdict.ASK
    )


def test_a_producer_that_went_on_needs_a_person():
    later = [part(10_000, 10_005, "commit", 10_050), part(11_000, 11_005, "commit", 11_050)]
    assert verdict({THERE: later}) is Verdict.ASK


def test_a_transaction_that_its_coordinator_will_end_is_waited_for():
    assert verdict({}, by=owner("Ongoing")) is Verdict.WAIT
    assert verdict({}, by=owner("PrepareCommit")) is Verdict.WAIT
    assert verdict({}, by=owner("Ongoing", epoch=4)) is Verdict.ABORT, (
        "a later one is running: this one was forgotten"
    )


def test_what_is_not_ours_or_nobody_s_needs_a_person():
    assert verdict({}, by=owner(name="other-app-1")) is Verdict.ASK
    unknown = Finding(transaction=OPEN, last_stable=5, high_watermark=9, age_s=60, owner=None)
    assert judge(unknown, {HERE: [STUCK]}, own_ids=("dip-",))[0] is Verdict.ASK


def test_records_that_are_not_found_where_they_are_open_need_a_person():
    assert verdict({HERE: []}) is Verdict.ASK


def header(producer_id=7, epoch=3, at=0, commits=None):
    return BatchHeader(base_offset=at, next_offset=at + 1, first_ms=at, last_ms=at, producer_id=producer_id, epoch=epoch,
                       transactional=True, commits=commits)  # fmt: skip


def test_parts_are_what_lies_between_two_markers_of_the_producer():
    log = [
        header(at=1), header(at=2), header(producer_id=8, at=3), header(producer_id=8, at=4, commits=False),
        header(at=5, commits=True), header(at=6), header(at=7, commits=False), header(epoch=2, at=8), header(at=9),
    ]  # fmt: skip
    assert parts_of(log, producer_id=7, epoch=3) == [
        part(1, 2, "commit", 5), part(6, 6, "abort", 7), Part(first_ms=9, last_ms=9),
    ]  # fmt: skip
