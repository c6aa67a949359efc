"""The market's model is the yardstick of the demo: simple enough to check by hand."""

from datetime import date

import pytest

from pipeline.simulator.channels import read_channels
from pipeline.simulator.model import Model, Reaches, Refused

MPAN = "1012345678904"
ROLES = {
    "sup-old": "SUP", "sup-new": "SUP", "ldso": "LDSO", "mss": "MSS", "sds": "SDS", "mdr": "MDR",
    "mds": "MDS", "lss": "LSS", "ees": "EES", "regs": "REGS", "isd": "ISD", "dcp": None,
}  # fmt: skip
START, CHANGE = date(2026, 1, 1), date(2026, 7, 8)
BEFORE, AFTER = date(2026, 7, 7), date(2026, 7, 9)


@pytest.fixture
def model():
    """One supply point that changed its supplier on CHANGE."""
    model = Model(read_channels(), ROLES)
    for slot, holder in {"LDSO": "ldso", "SUP": "sup-old", "MS": "mss", "DS": "sds", "MDR": "mdr"}.items():
        model.appoint(MPAN, slot, holder, START)
    model.appoint(MPAN, "SUP", "sup-new", CHANGE)
    return model


def reached(model, interface, *days, sender="sds", primary=()):
    found = model.expect(interface, sender=sender, mpan=MPAN, primary=primary, days=days)
    assert isinstance(found, Reaches), found
    return found.recipients


def test_consumption_goes_to_the_supplier_of_its_day(model):
    assert reached(model, "IF-021", BEFORE) == {"sup-old", "ldso", "mds", "lss"}
    assert reached(model, "IF-021", CHANGE) == {"sup-new", "ldso", "mds", "lss"}
    assert reached(model, "IF-021", AFTER) == {"sup-new", "ldso", "mds", "lss"}


def test_a_message_over_the_change_goes_to_both(model):
    assert reached(model, "IF-021", BEFORE, CHANGE) == {"sup-old", "sup-new", "ldso", "mds", "lss"}


def test_a_change_in_the_future_changes_nothing_today(model):
    model.appoint(MPAN, "DS", "sds-2", date(2027, 1, 1))
    assert model.holder(MPAN, "DS", AFTER) == "sds"


def test_a_later_fact_replaces_the_one_it_starts_before(model):
    model.appoint(MPAN, "SUP", "sup-third", BEFORE)
    assert model.holder(MPAN, "SUP", AFTER) == "sup-third"
    assert model.holder(MPAN, "SUP", date(2026, 7, 6)) == "sup-old"


def test_every_welcome_role_gets_its_copy_and_an_absent_one_refuses_nothing(model):
    assert reached(model, "IF-018", AFTER, sender="regs") == {"sup-new", "sds", "mss", "ldso", "mds", "ees"}


def test_the_retriever_hears_of_consent(model):
    assert "mdr" in reached(model, "IF-026", AFTER, sender="regs", primary=("sup-new",))


def test_a_message_for_everybody_spares_its_sender_and_those_without_a_role(model):
    found = model.expect("IF-047", sender="isd", mpan=None, primary=(), days=(AFTER,))
    assert found == Reaches(recipients=frozenset(ROLES) - {"isd", "dcp"})


@pytest.mark.parametrize(
    ("interface", "mpan", "primary", "day", "code"),
    [
        ("IF-002", MPAN, ("stranger",), AFTER, "MSG1031"),
        ("IF-002", MPAN, ("ldso",), AFTER, "MSG1032"),
        ("IF-021", "9999999999999", (), AFTER, "MSG1037"),
        ("IF-021", MPAN, (), date(2025, 12, 31), "MSG1038"),
    ],
)
def test_what_cannot_be_addressed_is_refused_with_its_code(  # noqa: PLR0917  # one per column of the table
    model, interface, mpan, primary, day, code
):
    found = model.expect(interface, sender="regs", mpan=mpan, primary=primary, days=(day,))
    assert found == Refused(code=code)
