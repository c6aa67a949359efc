"""Differences that are noticed as messages pass, and what each costs to be wrong about."""

import pytest

from pipeline.catalogue.facts import rows
from pipeline.domain.appointments import History
from pipeline.domain.drift import distributor_difference, secondary_difference
from pipeline.domain.envelope import Message
from pipeline.domain.routing import Slot
from tests.support.builders import (
    DISTRIBUTOR,
    SUPPLIER,
    compact,
    day,
    history,
    holds,
    message,
    message_object,
)

OTHER = "2500000009"


def naming(distributor: str, **more: object) -> Message:
    obj = message_object()
    obj["payload"]["CommonBlock"]["M0"]["distributorDIPID"] = distributor
    return message(body=compact(obj), **more)


def told(*since: tuple[str, int]) -> History:
    return history(*(holds(Slot.DISTRIBUTOR, who, day(number)) for who, number in since))


def test_only_the_m_block_names_a_distributor_by_this_field() -> None:
    """The bytes are searched for the name: another block that had it could be taken for the M block."""
    blocks = {row["block"] for row in rows("blocks.tsv") if row["path"] == "distributorDIPID"}
    assert blocks == {"M0", "M1"}


@pytest.mark.parametrize(
    ("history", "named", "days", "said"),
    [
        (told((DISTRIBUTOR, 1)), DISTRIBUTOR, (), None),
        (told((DISTRIBUTOR, 1)), OTHER, (), f"the table holds {DISTRIBUTOR}"),
        (told(), OTHER, (), "the table holds nobody"),
        (told((DISTRIBUTOR, 1), (OTHER, 4)), OTHER, (day(5),), None),
        (told((DISTRIBUTOR, 1), (OTHER, 4)), OTHER, (day(2),), f"the table holds {DISTRIBUTOR}"),
        (told((DISTRIBUTOR, 1), (OTHER, 4)), DISTRIBUTOR, (day(2), day(5)), None),
    ],
)
def test_another_distributor_than_the_table_holds_on_those_days_is_told(
    history: History, named: str, days: tuple[object, ...], said: str | None
) -> None:
    found = distributor_difference(naming(named, applicable=days), history)
    assert found is None if said is None else found is not None and found.endswith(said)


def test_a_sender_that_names_no_secondary_recipients_has_no_opinion() -> None:
    assert secondary_difference(message(), [SUPPLIER]) is None


@pytest.mark.parametrize(
    ("named", "ours", "said"),
    [
        ([SUPPLIER], [SUPPLIER], None),
        ([SUPPLIER, None], [SUPPLIER], None),
        ([OTHER], [SUPPLIER], f"only the sender names {OTHER}; only the table {SUPPLIER}"),
        ([SUPPLIER], [SUPPLIER, OTHER], f"only the table {OTHER}"),
    ],
)
def test_a_senders_own_list_is_compared(named: list[str | None], ours: list[str], said: str | None) -> None:
    obj = message_object()
    obj["payload"]["CommonBlock"]["A0"]["secondaryRecipients"] = named
    found = secondary_difference(message(body=compact(obj)), ours)
    assert found is None if said is None else found is not None and found.endswith(said)
