"""Registration as it happens to one MPAN, told as short stories."""

from datetime import datetime, timedelta

from pipeline.domain.appointments import History, holders, known, rows, timeline, trim
from pipeline.domain.changes import Confirms, Corrects, Ends, Holds, Leaves, Returns, Withdraws, apply
from pipeline.domain.routing import Slot
from tests.support.builders import day, history, holds, ordinary_history

MS, SUP = Slot.METERING_SERVICE, Slot.SUPPLIER
Picture = list[tuple[str, datetime, datetime | None]]


def picture(of: History, slot: Slot = SUP) -> Picture:
    return [(row.holder, row.valid_from, row.valid_to) for row in timeline(of, slot)]


def holder(of: History, slot: Slot, at: datetime, as_known_at: datetime | None = None) -> str | None:
    row = holders(of, slot, at, as_known_at=as_known_at)
    return None if row is None else row.holder


def test_a_holder_stays_until_the_next_one_starts() -> None:
    told = history(holds(SUP, "A", day(1)), holds(SUP, "B", day(10)))
    assert picture(told) == [("A", day(1), day(10)), ("B", day(10), None)]


def test_spans_are_half_open() -> None:
    told = history(holds(SUP, "A", day(1)), holds(SUP, "B", day(10)))
    assert holder(told, SUP, day(10) - timedelta(seconds=1)) == "A"
    assert holder(told, SUP, day(10)) == "B"
    assert holder(told, SUP, day(1) - timedelta(seconds=1)) is None


def test_a_back_dated_holder_ends_where_the_next_known_one_starts() -> None:
    told = history(holds(SUP, "A", day(1)), holds(SUP, "C", day(20)))
    told = history(holds(SUP, "B", day(10)), since=told, recorded_at=day(15), source="late")
    assert picture(told) == [("A", day(1), day(10)), ("B", day(10), day(20)), ("C", day(20), None)]


def test_the_row_of_a_displaced_holder_still_names_its_own_source() -> None:
    """An auditor asks why A got it: because of A's registration, not because of what came after."""
    told = history(holds(SUP, "A", day(1)), source="first", recorded_at=day(1))
    told = history(holds(SUP, "B", day(10)), since=told, recorded_at=day(9), source="second")
    row = holders(told, SUP, day(5))
    assert row is not None
    assert (row.source, row.recorded_at) == ("first", day(1))


def test_an_end_leaves_nobody() -> None:
    told = history(holds(MS, "A", day(1)), Ends(slot=MS, holder="A", at=day(10)))
    assert picture(told, MS) == [("A", day(1), day(10))]
    assert holder(told, MS, day(10)) is None


def test_an_end_and_a_start_at_one_moment_leave_no_gap_in_either_order() -> None:
    end, start = Ends(slot=SUP, holder="A", at=day(10)), holds(SUP, "B", day(10))
    expected = [("A", day(1), day(10)), ("B", day(10), None)]
    assert picture(history(holds(SUP, "A", day(1)), end, start)) == expected
    assert picture(history(holds(SUP, "A", day(1)), start, end)) == expected


def test_an_end_that_arrives_before_its_start_counts() -> None:
    told = history(Ends(slot=MS, holder="A", at=day(10)))
    told = history(holds(MS, "A", day(1)), since=told, source="start")
    assert picture(told, MS) == [("A", day(1), day(10))]


def test_an_end_of_somebody_else_ends_nobody_and_is_drift() -> None:
    told = history(holds(SUP, "A", day(1)), holds(SUP, "B", day(5)))
    applied = apply(told, [Ends(slot=SUP, holder="A", at=day(10))], recorded_at=day(9), source="late")
    assert holder(applied.history, SUP, day(10)) == "B"
    assert applied.drift == ("SUP: message says A ends at 2026-01-10T00:00:00+00:00, table holds B",)


def test_a_later_end_of_the_same_appointment_corrects_the_earlier() -> None:
    told = history(holds(MS, "A", day(1)), Ends(slot=MS, holder="A", at=day(10)))
    told = history(Ends(slot=MS, holder="A", at=day(20)), since=told, source="second")
    assert picture(told, MS) == [("A", day(1), day(20))]


def test_a_holder_with_a_known_end_may_come_back() -> None:
    told = history(holds(MS, "A", day(1), day(10)), holds(MS, "A", day(20)))
    assert picture(told, MS) == [("A", day(1), day(10)), ("A", day(20), None)]


def test_the_end_of_a_later_appointment_leaves_the_end_of_an_earlier_one_alone() -> None:
    told = history(holds(MS, "A", day(1), day(5)), holds(MS, "A", day(10)), source="load")
    told = history(Ends(slot=MS, holder="A", at=day(20)), since=told, source="end")
    assert picture(told, MS) == [("A", day(1), day(5)), ("A", day(10), day(20))]


def test_a_holder_appointed_anew_at_the_moment_of_its_end_goes_on() -> None:
    told = history(holds(MS, "A", day(1), day(10)), holds(MS, "A", day(10)))
    assert picture(told, MS) == [("A", day(1), day(10)), ("A", day(10), None)]


def test_a_correction_is_believed_from_the_moment_it_was_recorded() -> None:
    told = history(holds(SUP, "A", day(1)), recorded_at=day(1))
    told = history(holds(SUP, "B", day(1)), since=told, recorded_at=day(3), source="correction")
    assert holder(told, SUP, day(2), as_known_at=day(3) - timedelta(microseconds=1)) == "A"
    assert holder(told, SUP, day(2), as_known_at=day(3)) == "B"


def test_an_end_of_whoever_it_is_ends_anybody() -> None:
    told = history(holds(MS, "A", day(1)), Ends(slot=MS, holder=None, at=day(10)))
    assert picture(told, MS) == [("A", day(1), day(10))]


def test_another_start_at_the_same_moment_corrects_the_first() -> None:
    told = history(holds(SUP, "A", day(1)), recorded_at=day(1))
    told = history(holds(SUP, "B", day(1)), since=told, recorded_at=day(3), source="correction")
    assert picture(told) == [("B", day(1), None)]
    assert holder(told, SUP, day(2), as_known_at=day(2)) == "A"


def test_a_de_appointment_update_replaces_the_announced_successor_only() -> None:
    told = history(
        holds(MS, "A", day(1)),
        Ends(slot=MS, holder="A", at=day(10)),
        holds(MS, "B", day(10)),
        source="de-appointed",
    )
    told = history(Corrects(slot=MS, holder="C", valid_from=day(12)), since=told, source="update")
    assert picture(told, MS) == [("A", day(1), day(10)), ("C", day(12), None)]


def test_a_correction_of_nothing_announced_is_a_plain_start() -> None:
    told = history(
        Corrects(slot=MS, holder="B", valid_from=day(10)), since=history(holds(MS, "A", day(1))), source="u"
    )
    assert picture(told, MS) == [("A", day(1), day(10)), ("B", day(10), None)]


def test_after_a_withdrawal_the_appointment_before_goes_on() -> None:
    told = history(holds(SUP, "A", day(1)), holds(SUP, "B", day(10)), recorded_at=day(1))
    told = history(
        Withdraws(slot=SUP, holder="B", valid_from=day(10)),
        since=told,
        recorded_at=day(5),
        source="withdrawn",
    )
    assert picture(told) == [("A", day(1), None)]
    assert holder(told, SUP, day(11), as_known_at=day(4)) == "B"


def test_a_withdrawal_of_what_nobody_said_is_drift() -> None:
    applied = apply(
        history(holds(SUP, "A", day(1))),
        [Withdraws(slot=SUP, holder="B", valid_from=day(10))],
        recorded_at=day(5),
        source="w",
    )
    assert picture(applied.history) == [("A", day(1), None)]
    assert len(applied.drift) == 1


def test_nobody_holds_an_mpan_that_left_the_market_until_it_returns() -> None:
    told = history(Leaves(at=day(10)), Returns(at=day(20)), since=ordinary_history(), source="registration")
    assert holder(told, SUP, day(9)) is not None
    assert holder(told, SUP, day(10)) is None
    assert holder(told, Slot.DISTRIBUTOR, day(19)) is None
    assert holder(told, SUP, day(20)) == holder(told, SUP, day(9))


def test_an_mpan_outside_the_market_keeps_its_place_on_the_grid() -> None:
    told = history(Leaves(at=day(10)), since=ordinary_history(), source="registration")
    assert holder(told, Slot.GSP_GROUP, day(11)) == "_J"


def test_a_confirmation_moves_nothing() -> None:
    before = ordinary_history()
    same = Confirms(slot=MS, holder=holder(before, MS, day(1)) or "", at=day(1))
    agreed = apply(before, [same], recorded_at=day(2), source="c")
    differs = apply(before, [Confirms(slot=MS, holder="X", at=day(1))], recorded_at=day(2), source="c")
    assert (agreed.drift, agreed.changed) == ((), False)
    assert (len(differs.drift), differs.changed) == (1, False)
    assert agreed.history is differs.history is before


def test_the_rows_of_one_load_may_come_one_by_one() -> None:
    """They share their source; each is another statement."""
    told = history(holds(SUP, "A", day(1)), source="load")
    told = history(holds(MS, "M", day(1)), since=told, source="load")
    assert {row.holder for row in rows(told)} == {"A", "M"}


def test_a_receipt_time_that_runs_backwards_does_not_change_the_past() -> None:
    """Messages of one MPAN may come through bridges whose clocks differ."""
    told = history(holds(SUP, "A", day(1)), recorded_at=day(10))
    told = history(holds(SUP, "B", day(1)), since=told, recorded_at=day(2), source="other bridge")
    assert holder(told, SUP, day(5), as_known_at=day(10)) == "A"
    assert holder(told, SUP, day(5)) == "B"


def test_an_mpan_is_unknown_until_something_is_said_of_it() -> None:
    told = ordinary_history()
    assert not known(None)
    assert not known(History())
    assert known(told)
    assert not known(told, as_known_at=datetime.min.replace(tzinfo=day(1).tzinfo))


def test_trimming_forgets_what_was_superseded_and_what_is_long_over() -> None:
    told = history(holds(SUP, "X", day(1)), recorded_at=day(1), source="wrong")
    told = history(holds(SUP, "A", day(1)), since=told, recorded_at=day(2), source="right")
    told = history(holds(SUP, "B", day(10)), since=told, recorded_at=day(9), source="next")
    trimmed = trim(told, keep_since=day(30))
    assert [one.holder for one in trimmed.statements] == ["B"]
    assert trim(trimmed, keep_since=day(30)) is trimmed


def test_trimming_keeps_what_was_learned_too_late_for_the_old_answer() -> None:
    """Somebody may ask what was known before B was: then A is the answer, for any date."""
    told = history(holds(SUP, "A", day(1)), recorded_at=day(1))
    told = history(holds(SUP, "B", day(10)), since=told, recorded_at=day(40), source="very late")
    assert trim(told, keep_since=day(30)) is told


def test_effective_dates_are_whole_seconds() -> None:
    told = history(Holds(slot=SUP, holder="A", valid_from=day(1) + timedelta(microseconds=5)))
    assert told.statements[0].at == day(1)
