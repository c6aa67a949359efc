"""The plan of a day: the same for the same seed, valid by the published schema, and possible to carry out."""

from collections import Counter
from datetime import UTC, datetime

import orjson
import pytest

from pipeline.catalogue import load_catalogue
from pipeline.simulator.cast import Conduct, assemble
from pipeline.simulator.channels import HELD, read_channels
from pipeline.simulator.faults import FAULTS
from pipeline.simulator.market import open_market, run_tag
from pipeline.simulator.meters import check_digit
from pipeline.simulator.model import Reaches, Refused
from pipeline.simulator.plan import BadPost, Parcel, prerequisites, size
from pipeline.simulator.profile import Profile
from pipeline.simulator.sandbox import Sandbox

NOW = datetime(2026, 7, 10, 12, 0, tzinfo=UTC)
PROFILE = Profile(meters=400, messages=1_500)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture(scope="module")
def market(tmp_path_factory, catalogue):
    return open_market(
        PROFILE, sandbox=Sandbox(folder=tmp_path_factory.mktemp("sandbox")), catalogue=catalogue, now=NOW
    )


def items(market):
    return (*market.plan.flows, *market.plan.stream)


def drafts(market):
    return [draft for item in items(market) if isinstance(item, Parcel) for draft in item.drafts]


def test_it_hands_in_about_as_many_messages_as_asked_for(market):
    assert abs(sum(map(size, items(market))) - PROFILE.messages) <= PROFILE.messages * 0.05


def test_every_message_it_means_well_is_valid_by_the_published_schema(market, catalogue):
    for draft in drafts(market):
        verdict = catalogue.check(orjson.loads(market.writer.body(draft)), channel=draft.interface)
        assert verdict.valid, (draft.interface, draft.event, verdict.problems)
        assert verdict.exact_case


def test_the_same_draft_gives_the_same_bytes_whatever_was_written_between(market):
    """A retry must be the same message, although drafts share one sample."""
    first, *others = drafts(market)
    body = market.writer.body(first)
    for other in others[:50]:
        market.writer.body(other)
    assert market.writer.body(first) == body


def test_the_same_seed_makes_the_same_day(tmp_path, catalogue, market):
    again = open_market(PROFILE, sandbox=Sandbox(folder=tmp_path), catalogue=catalogue, now=NOW)
    assert again.plan == market.plan
    assert again.appointments.read_bytes() == market.appointments.read_bytes()


def test_another_second_gives_other_references_and_other_supply_points(tmp_path, catalogue, market):
    """Two runs against one router must not meet."""
    later = NOW.replace(second=1)
    other = open_market(PROFILE, sandbox=Sandbox(folder=tmp_path), catalogue=catalogue, now=later)
    assert not other.drafts.keys() & market.drafts.keys()
    assert not {draft.mpan for draft in drafts(other)} & {draft.mpan for draft in drafts(market)} - {None}


def test_references_are_unique(market):
    found = Counter(draft.reference for draft in drafts(market))
    assert max(found.values()) == 1


def test_what_a_parcel_waits_for_is_sent_without_it(market):
    """Otherwise the day could not be finished: prerequisites must never form a circle."""
    parcels = [item for item in items(market) if isinstance(item, Parcel)]
    sent: set[str] = set()
    open_parcels = parcels
    while open_parcels:
        ready = [parcel for parcel in open_parcels if parcel.after <= sent]
        assert ready
        sent |= {draft.reference for parcel in ready for draft in parcel.drafts}
        open_parcels = [parcel for parcel in open_parcels if not parcel.after <= sent or parcel not in ready]
    assert all(prerequisites(item) <= sent for item in items(market))


def test_an_array_has_one_channel_and_one_sender(market):
    for item in items(market):
        if isinstance(item, Parcel):
            assert {draft.interface for draft in item.drafts} == {item.channel}
            assert {draft.sender for draft in item.drafts} == {item.poster}


def test_registration_changes_who_gets_the_data(market):
    """The day must hold late data about both sides of a change, or the demo would show little."""
    recipients = {}
    for draft in drafts(market):
        if draft.interface == "IF-021" and isinstance(draft.expectation, Reaches):
            suppliers = frozenset(
                who for who in draft.expectation.recipients if market.cast[who].role == "SUP"
            )
            recipients.setdefault(draft.mpan, set()).add(suppliers)
    changed = [found for found in recipients.values() if len(found) > 1]
    assert changed
    assert any(len(suppliers) == 2 for found in changed for suppliers in found)


def test_it_contains_every_kind_of_trouble(market):
    assert {item.fault for item in items(market) if isinstance(item, BadPost)} == set(FAULTS)
    refused = {draft.expectation.code for draft in drafts(market) if isinstance(draft.expectation, Refused)}
    assert refused == {"MSG1031", "MSG1032", "MSG1037", "MSG1038"}
    assert any(isinstance(item, Parcel) and item.posts > 1 for item in items(market))


def test_the_cast_has_every_role_and_one_of_each_misconduct():
    channels = read_channels()
    cast = assemble(channels)
    roles = set(cast.roles().values())
    assert roles >= HELD.keys() | {"MDS", "LSS", "REGS", "EES", "DCC", "VAS", "ISD", "EMRS", None}
    for conduct in (Conduct.DEAD, Conduct.SLOW, Conduct.PARTICULAR):
        assert len(cast.conduct(conduct)) == 1
    assert [player for player in cast if player.provider]
    assert len({player.id for player in cast}) == len(cast)


def test_the_last_one_loaded_is_healthy():
    """The canary goes to it: who knows it knows everybody."""
    *_, last = assemble(read_channels())
    assert last.conduct is Conduct.HEALTHY
    assert last.role == "SUP"


def test_run_tags_have_one_length_and_differ_by_the_second():
    first = int(NOW.timestamp())
    assert len({run_tag(first + seconds) for seconds in range(100)}) == 100
    assert len(run_tag(first)) == len(run_tag(2_000_000_000)) == 7


def test_check_digits_are_those_of_published_examples():
    for mpan in ("2000056535971", "1900012374324", "1312345678907"):
        assert check_digit(mpan[:12]) == mpan[12]
