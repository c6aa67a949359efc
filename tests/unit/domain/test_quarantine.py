"""Who may wait, how many, and how long."""

from datetime import timedelta

import pytest

from pipeline import limits
from pipeline.domain.identifiers import TransactionId
from pipeline.domain.quarantine import EMPTY, STAY, Full, Waiting, Ward, admit, expired, may_wait, without
from pipeline.domain.rejections import CheckId, Code, Rejection
from tests.support.builders import day


def waiting(number: int, *, size: int = 10) -> Waiting:
    return Waiting(
        transaction_id=TransactionId(f"T-{number}"), since=day(1), code="MSG1037", record=b"x" * size
    )


def refused(*codes: Code) -> list[Rejection]:
    return [Rejection(check=CheckId.RECIPIENTS, code=code, help="") for code in codes]


def filled(count: int, **options: int) -> Ward:
    ward = EMPTY
    for number in range(count):
        grown = admit(ward, waiting(number, **options), total=number)
        assert isinstance(grown, Ward)
        ward = grown
    return ward


def test_only_what_an_operator_can_mend_waits() -> None:
    assert may_wait(refused(Code.MPAN_UNKNOWN, Code.NO_HOLDER, Code.SECONDARY_UNKNOWN))
    assert not may_wait(refused(Code.MPAN_UNKNOWN, Code.PRIMARY_UNKNOWN))


def test_a_message_waits_once() -> None:
    ward = filled(2)
    assert admit(ward, waiting(1), total=2) is ward


@pytest.mark.parametrize(
    ("ward", "one", "total"),
    [
        (filled(limits.QUARANTINE_OF_MPAN_MAX), waiting(999), 60),
        (filled(3, size=300_000), waiting(999, size=200_000), 3),
        (EMPTY, waiting(1), limits.QUARANTINE_OF_PARTITION_MAX),
    ],
)
def test_every_bound_holds_and_says_what_helps(ward: Ward, one: Waiting, total: int) -> None:
    found = admit(ward, one, total=total)
    assert isinstance(found, Full)
    assert "requeue it from the dead letters" in found.reason


def test_those_that_go_leave_the_others_in_their_order() -> None:
    left = without(filled(4), frozenset({TransactionId("T-1")}))
    assert [one.transaction_id for one in left.waiting] == ["T-0", "T-2", "T-3"]
    assert left.messages == 3


def test_two_weeks_are_the_longest_wait() -> None:
    ward = filled(1)
    assert not expired(ward, day(1) + STAY)
    assert expired(ward, day(1) + STAY + timedelta(seconds=1)) == ward.waiting
