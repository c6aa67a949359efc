"""The ledger is the judge of the demo: it must notice everything that can go wrong with a copy."""

from pipeline.simulator.ledger import CopyKey, Elsewhere, Ledger, Place, StatusKey
from pipeline.simulator.model import Reaches, Refused

RUN = "run0001"
REFERENCE = f"S-IF-021-1400000001-SDS-20260710-{RUN}0000001"
OTHER = f"S-IF-021-1400000001-SDS-20260710-{RUN}0000002"
FOREIGN = "S-IF-021-1400000001-SDS-20260710-run00000000001"
DEAD = "2300000006"


def place(recipient: str, _reference: str) -> Place:
    return Place.PARKED if recipient == DEAD else Place.DELIVERED


def ledger_with(*recipients: str) -> Ledger:
    """Return a ledger in which one message was accepted for these recipients."""
    ledger = Ledger(run=RUN, timed={"A", "B"}, place=place)
    ledger.announce(REFERENCE, Reaches(recipients=frozenset(recipients)))
    ledger.accept(REFERENCE, "T-1", at_s=10.0)
    return ledger


def test_it_closes_when_every_copy_is_delivered_once():
    ledger = ledger_with("A", "B")
    assert ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    assert ledger.deliver("B", REFERENCE, "T-1", at_s=11.0)
    account = ledger.close(Elsewhere())
    assert account.closes
    assert (account.copies, account.delivered, account.lost, account.phantom) == (2, 2, 0, 0)
    assert sorted(account.latencies_s) == [0.5, 1.0]


def test_a_copy_that_is_nowhere_is_lost():
    ledger = ledger_with("A", "B")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    account = ledger.close(Elsewhere())
    assert not account.closes
    assert account.lost == 1
    assert account.differences == (f"lost: {REFERENCE} for B",)


def test_a_copy_for_somebody_the_model_does_not_name_is_phantom():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    ledger.deliver("C", REFERENCE, "T-1", at_s=10.6)
    account = ledger.close(Elsewhere())
    assert (account.lost, account.phantom) == (0, 1)
    assert account.differences == (f"phantom: {REFERENCE} at C",)


def test_a_delivery_of_a_message_that_was_refused_is_phantom():
    ledger = Ledger(run=RUN, timed=(), place=place)
    ledger.announce(REFERENCE, Refused(code="MSG1037"))
    ledger.accept(REFERENCE, "T-1", at_s=1.0)
    ledger.deliver("A", REFERENCE, "T-1", at_s=2.0)
    assert ledger.close(Elsewhere()).phantom == 1


def test_a_delivery_of_a_message_that_was_never_accepted_is_phantom():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    ledger.deliver("A", OTHER, "T-2", at_s=10.5)
    assert ledger.close(Elsewhere()).phantom == 1


def test_a_delivery_under_another_transaction_id_is_both_lost_and_phantom():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-9", at_s=10.5)
    account = ledger.close(Elsewhere())
    assert (account.lost, account.phantom) == (1, 1)


def test_a_second_delivery_of_the_same_copy_is_a_repeat_and_no_difference():
    """At least once at the edge: the recipient sees the same ids and drops the second."""
    ledger = ledger_with("A")
    assert ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    assert not ledger.deliver("A", REFERENCE, "T-1", at_s=12.0)
    account = ledger.close(Elsewhere())
    assert account.closes
    assert (account.delivered, account.delivered_again) == (1, 1)
    assert account.latencies_s == (0.5,)


def test_a_copy_for_the_dead_must_be_parked():
    ledger = ledger_with("A", DEAD)
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    account = ledger.close(Elsewhere(parked=frozenset({CopyKey("T-1", DEAD)})))
    assert account.closes
    assert (account.delivered, account.parked) == (1, 1)


def test_a_parked_copy_of_a_healthy_recipient_is_misplaced():
    ledger = ledger_with("A")
    account = ledger.close(Elsewhere(parked=frozenset({CopyKey("T-1", "A")})))
    assert account.lost == 0
    assert account.differences == (f"parked instead of delivered: {REFERENCE} for A",)


def test_a_copy_in_two_places_is_a_difference():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    account = ledger.close(Elsewhere(dead_lettered=frozenset({CopyKey("T-1", "A")})))
    assert account.differences == (f"delivered and dead-lettered instead of delivered: {REFERENCE} for A",)


def test_something_parked_that_nobody_expects_is_phantom():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    assert ledger.close(Elsewhere(parked=frozenset({CopyKey("T-7", DEAD)}))).phantom == 1


def test_the_same_message_must_always_get_the_same_transaction_id():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    ledger.accept(REFERENCE, "T-2", at_s=11.0, repeat=True)
    account = ledger.close(Elsewhere())
    assert not account.closes
    assert account.repeated == 1


def test_a_status_message_that_does_not_come_is_lost_and_one_too_many_is_phantom():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    expected = StatusKey(recipient="S", transaction_id="T-1", code="MSG1006", sender="0000000000")
    ledger.expect_status(expected)
    assert ledger.close(Elsewhere()).lost == 1
    ledger.deliver_status(expected, REFERENCE)
    assert ledger.close(Elsewhere()).closes
    ledger.deliver_status(expected, REFERENCE)
    assert ledger.close(Elsewhere()).phantom == 1


def test_what_an_earlier_run_left_behind_is_not_this_runs_business():
    ledger = ledger_with("A")
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    assert not ledger.deliver("C", FOREIGN, "T-0", at_s=10.5)
    assert ledger.close(Elsewhere()).closes
    assert ledger.foreign == 1


def test_a_copy_may_arrive_before_its_sender_reads_the_answer():
    ledger = Ledger(run=RUN, timed={"A"}, place=place)
    ledger.announce(REFERENCE, Reaches(recipients=frozenset("A")))
    ledger.deliver("A", REFERENCE, "T-1", at_s=9.9)
    ledger.accept(REFERENCE, "T-1", at_s=10.0)
    account = ledger.close(Elsewhere())
    assert account.closes
    assert account.latencies_s == (0.0,)


def test_a_plain_contradiction_keeps_it_open():
    ledger = ledger_with()
    ledger.wrong("signature does not fit")
    assert not ledger.close(Elsewhere()).closes


def test_open_copies_counts_what_is_not_yet_where_it_must_end():
    ledger = ledger_with("A", DEAD)
    assert ledger.open_copies(Elsewhere()) == 2
    ledger.deliver("A", REFERENCE, "T-1", at_s=10.5)
    assert ledger.open_copies(Elsewhere()) == 1
    assert ledger.open_copies(Elsewhere(parked=frozenset({CopyKey("T-1", DEAD)}))) == 0
