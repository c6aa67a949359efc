"""The compiled catalogue says what the fact tables say, for every pair and every field."""

import re
from datetime import UTC, datetime
from random import Random

import pytest

from pipeline.catalogue import Action, load_catalogue, values
from pipeline.catalogue.facts import TABLES
from pipeline.catalogue.paths import parse_path
from pipeline.catalogue.samples import sample
from pipeline.domain.routing import SLOT_OF_ROLE, Holders, Need
from tests.support.fact_interpreter import all_pairs, block_rows, failing_pointers, message_rows, table
from tests.support.message_defects import defects, first_elements, places

CATALOGUE = load_catalogue()
NOW = datetime(2026, 1, 5, tzinfo=UTC)
HELD = {str(role) for role in SLOT_OF_ROLE}
PROBLEMS_ALL = 100_000


def test_all_146_pairs_and_58_channels_are_compiled():
    assert len(CATALOGUE.pairs) == 146
    assert list(CATALOGUE.pairs) == all_pairs()
    assert len(CATALOGUE.channels) == 58


@pytest.mark.parametrize("pair", all_pairs(), ids="-".join)
def test_samples_are_valid_for_the_catalogue_and_for_the_tables(pair):
    for seed, share in enumerate((0.0, 0.5, 1.0)):
        message = sample(CATALOGUE, *pair, Random(seed), optional_share=share)
        verdict = CATALOGUE.check(message, channel=pair[0])
        assert verdict.problems == ()
        assert (verdict.interface, verdict.event, verdict.exact_case) == (*pair, True)
        assert failing_pointers(*pair, message) == []


@pytest.mark.parametrize("interface", sorted({interface for interface, _ in all_pairs()}))
def test_every_defect_of_every_field_is_judged_and_placed_as_the_tables_do(interface):
    """One damaged field at a time: the same verdict, and the very same JSON Pointers."""
    judged = refused = 0
    chance = Random(interface)  # blocks recur in many channels: together these meet every replacement
    for event in _one_event_per_schema(interface):
        validator = CATALOGUE.pair(interface, event)
        message = first_elements(sample(CATALOGUE, interface, event, Random(7), optional_share=1.0))
        for place in places(message):
            for name, damaged in defects(message, place, chance):
                expected = failing_pointers(interface, event, damaged)
                found = [problem.pointer for problem in validator.problems(damaged, PROBLEMS_ALL)]
                assert sorted(found) == sorted(expected), (event, place, name)
                assert validator.is_valid(damaged) == (not expected), (event, place, name)
                judged, refused = judged + 1, refused + bool(expected)
    assert judged > 2 * refused / 3 > 100  # the defects are defects


def test_events_that_share_a_published_schema_have_the_same_rows():
    """They share one compiled validator; that is right only as long as their rows agree."""
    by_variant = {}
    for interface, event in all_pairs():
        rows = [
            {key: cell for key, cell in row.items() if key not in ("event", "event_code")}
            for row in message_rows(interface, event)
        ]
        assert by_variant.setdefault((interface, rows[0]["variant"]), rows) == rows


def test_letter_case_of_names_never_decides_alone():
    for pair in all_pairs():
        message = sample(CATALOGUE, *pair, Random(3), optional_share=1.0)
        verdict = CATALOGUE.check(_renamed(message, str.swapcase), channel=pair[0])
        assert verdict.valid
        assert not verdict.exact_case
        assert verdict.rewritten == message


def test_no_table_names_a_block_or_an_item_that_is_not_defined():
    for row in table("messages.tsv"):
        assert row["block"] == "object" or block_rows(row["block"])


def test_names_within_one_place_differ_by_more_than_letter_case():
    """Otherwise "any letter case" would have two meanings there."""
    for validator in CATALOGUE.pairs.values():
        _assert_distinct(validator.shape.root)


def test_routing_is_the_compiled_form_of_the_inferred_columns():
    """routing.tsv is configuration; the first edition must say what channels.tsv infers and nothing else."""
    for row in table("channels.tsv"):
        for event in row["events"].split(","):
            routing = CATALOGUE.channels[row["interface"]].routing(event, NOW)
            receivers = set(row["receiver_roles"].split(","))
            primary = _expanded(row["primary_inferred"], receivers)
            if row["interface"] == "IF-021":
                primary = {"SUP"}  # a published example names the supplier in A0.primaryRecipients
            assert routing.primary == primary, row["interface"]
            assert {
                (str(role), rule.need) for rule in routing.secondary for role in rule.roles
            } == _secondary(row, receivers, primary), row["interface"]
            always = _always(row, receivers)
            assert (routing.always, routing.everyone) == (always - {"ALL"}, "ALL" in always)
            assert routing.inferred


def test_a_change_of_supply_reading_goes_to_both_suppliers():
    channel = CATALOGUE.channels["IF-041"]
    for event in channel.events:
        [rule] = channel.routing(event, NOW).secondary
        both = event in ("ReadingCOS", "SupplierAgreedCOS")
        assert rule.holders is (Holders.BOTH_SIDES if both else Holders.CURRENT)


def test_every_appointment_path_of_the_channel_table_is_in_the_effects():
    known = {"reason": "deAppointmentReasonCode"}  # says why, moves nothing
    for row in table("channels.tsv"):
        for events, path in re.findall(r"\[([^\]]+)\]([^,]+)", row["appointment_changes"]):
            for event in events.split("|"):
                if path.endswith(known["reason"]) or (row["interface"], event) == ("IF-018", "AddressChg"):
                    continue
                texts = {
                    str(part)
                    for effect in CATALOGUE.effects(row["interface"], event)
                    for part in (
                        effect.holder,
                        effect.date,
                        effect.start,
                        effect.condition and effect.condition.path,
                    )
                    if part
                }
                assert path in texts, (row["interface"], event, path)


def test_every_effect_that_moves_something_has_a_date_and_comes_from_registration():
    for interface, event in CATALOGUE._effects:
        for effect in CATALOGUE.effects(interface, event):
            if effect.action is Action.CONFIRM:
                continue
            assert effect.date is not None
            assert not effect.assumed
            assert CATALOGUE.channels[interface].sender_roles == {"REGS"}, event


def test_every_channel_with_secondary_recipients_names_its_days_or_is_listed_as_going_by_receipt():
    by_receipt = {"IF-020"}  # protocol.md 12: no date in the body
    for interface, channel in CATALOGUE.channels.items():
        for event in channel.events:
            if channel.routing(event, NOW).secondary and interface not in by_receipt:
                assert CATALOGUE.date_paths(interface, event), (interface, event)


def test_the_fingerprint_depends_on_every_table_and_on_the_accepted_versions():
    assert load_catalogue().fingerprint == CATALOGUE.fingerprint
    assert load_catalogue(versions_accepted=("009",)).fingerprint != CATALOGUE.fingerprint
    assert set(TABLES) >= {"items.tsv", "blocks.tsv", "messages.tsv", "channels.tsv", "routing.tsv"}


def test_paths_of_dates_find_every_settlement_day():
    days = [datetime(2026, 1, day, tzinfo=UTC).date() for day in (2, 3, 4)]
    for pair in (("IF-021", "ActivePower"), ("IF-013", "ActivePowerDefaulted"), ("IF-064", "MDRConsumption")):
        message = sample(CATALOGUE, *pair, Random(1), days=days)
        [path] = CATALOGUE.date_paths(*pair)
        assert {value[:10] for value in values(message, path.start)} == {str(day) for day in days}


def test_path_text_survives_compilation():
    assert str(parse_path("CustomBlock.B920List[].settlementDay")) == "CustomBlock.B920List[].settlementDay"


def _one_event_per_schema(interface):
    """Events of one schema share rows (a test below says so), and the property tests meet all of them."""
    return list({rows[0]["variant"]: event for event, rows in _events_with_rows(interface)}.values())


def _events_with_rows(interface):
    return [(event, message_rows(interface, event)) for event in CATALOGUE.channels[interface].events]


def _renamed(value, change):
    if isinstance(value, dict):
        return {change(name): _renamed(part, change) for name, part in value.items()}
    if isinstance(value, list):
        return [_renamed(part, change) for part in value]
    return value


def _assert_distinct(shape):
    members = getattr(shape, "members", {})
    assert len({name.lower() for name in members}) == len(members)
    for member in members.values():
        _assert_distinct(getattr(member.shape, "element", member.shape))


def _expanded(cell, receivers):
    if cell == "*":
        return receivers
    if cell.endswith("agent"):
        return {role for role in receivers if SLOT_OF_ROLE.get(role) in ("MS", "DS")}
    return set(cell.split(",")) - {""}


def _secondary(row, receivers, primary):
    cell = row["secondary_inferred"]
    if cell == "*":
        return {(role, Need.OPTIONAL) for role in (receivers & HELD) - primary - _always(row, receivers)}
    return {(role, Need.REQUIRED) for role in cell.split(",") if role}


def _always(row, receivers):
    if row["always_inferred"] == "*":
        return (receivers - HELD) or receivers
    return set(row["always_inferred"].split(",")) - {""}
