"""What the judge of `dip bench peers` counts, and how runs become rows: without a peer and without a broker."""

import pytest

from pipeline.operate.bench_peers import PeersFailed, _complain, chosen_peers, figures
from pipeline.operate.bench_peers_job import HOLDERS, MPANS, Account, due, holders, records
from pipeline.operate.bench_peers_run import Outcome
from pipeline.operate.bench_peers_setup import PEERS, PROGRAMS, YARDSTICK


def outcome(peer: str, *, killed: bool = False, cpu_us: float | None = None, **counts: int) -> Outcome:
    counted = {"lost": 0, "doubled": 0, "misaddressed": 0, "unfinished": 0} | counts
    return Outcome(peer=peer, killed=killed, cpu_us=cpu_us, per_s=100, due=10, silence_s=0, **counted)


def test_what_is_due_is_what_the_records_say() -> None:
    """Due is worked out from numbers; the records themselves are the other witness."""
    rows = [value for _, value in records(300)]
    registered = [row for row in rows if '"kind":"reg"' in row]
    assert len(registered) == MPANS
    assert len(rows) == MPANS + 300
    invalid = [row for row in rows if "Nonsense" in row]
    wanted = due(300)
    assert len(wanted) == (300 - len(invalid)) * HOLDERS + len(invalid)
    assert {key for _, key in wanted} <= {"dead", *(one for mpan in range(MPANS) for one in holders(mpan))}


def test_the_judge_tells_news_from_doubles_strangers_and_losses() -> None:
    account = Account({(1, "a"), (1, "b"), (2, "dead")})
    assert account.take(1, "a")
    assert not account.take(1, "a")
    assert not account.take(1, "c")
    assert account.take(2, "dead")
    assert (account.lost, account.doubled, account.misaddressed) == (1, 1, 1)
    assert account.share == pytest.approx(2 / 3)


def test_a_stranger_that_comes_twice_is_misaddressed_twice() -> None:
    account = Account({(1, "a")})
    account.take(7, "a")
    account.take(7, "a")
    assert (account.misaddressed, account.doubled) == (2, 0)


def test_each_peer_is_compared_with_the_loop_of_its_guarantee() -> None:
    runs = [
        outcome("loop", cpu_us=10), outcome("loop-tx", cpu_us=20), outcome("engine", cpu_us=30),
        outcome("engine", cpu_us=50), outcome("engine", cpu_us=40), outcome("engine", killed=True, doubled=3),
        outcome("faust", cpu_us=500, lost=2),
    ]  # fmt: skip
    rows = {row["peer"]: row for row in figures(PEERS, runs)}
    assert rows["engine"]["ratio"] == 2.0
    assert rows["faust"]["ratio"] == 50.0
    assert rows["faust"]["clean"]["lost"] == 2
    assert rows["engine"]["clean"]["doubled"] == 0
    assert rows["engine"]["killed"]["doubled"] == 3
    assert rows["quix"]["cpu_us"] is rows["quix"]["ratio"] is rows["quix"]["clean"] is None


def test_only_our_own_faults_end_the_run_with_an_error() -> None:
    _complain(figures(PEERS, [outcome("faust", lost=5), outcome("engine")]))
    for fault in ("lost", "doubled", "misaddressed", "unfinished"):
        with pytest.raises(PeersFailed, match=fault):
            _complain(figures(PEERS, [outcome("engine", killed=True, **{fault: 1})]))


def test_one_that_is_asked_for_comes_with_its_yardstick() -> None:
    assert [one.name for one in chosen_peers(["quix-tx"])] == ["loop-tx", "quix-tx"]
    assert [one.name for one in chosen_peers([])] == [one.name for one in PEERS]


def test_every_peer_has_a_program_and_a_yardstick() -> None:
    assert all((PROGRAMS / one.program).is_file() for one in PEERS)
    assert {one.guarantee for one in PEERS} == set(YARDSTICK)
