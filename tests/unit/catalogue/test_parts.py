"""The small parts: paths, patterns, strict JSON, pointers, effects, routing editions."""

import re
from datetime import UTC, date, datetime
from random import Random

import orjson
import pytest

from pipeline.catalogue import Action, load_catalogue, parse_path, values
from pipeline.catalogue.channels import _channel
from pipeline.catalogue.facts import FactsInvalid, load_items
from pipeline.catalogue.json_text import Parsed, Unreadable, read_json
from pipeline.catalogue.pattern_text import PatternUnknown, matching_text
from pipeline.catalogue.pointers import pointer
from pipeline.catalogue.sample_values import sample_mpan
from pipeline.catalogue.samples import sample
from pipeline.domain.routing import SLOT_OF_ROLE, Need, Slot

CATALOGUE = load_catalogue()
MESSAGE = {
    "payload": {"CustomBlock": {"B1": {"a": None}, "B2List": [{"b": [{"c": 1}, {"c": 2}]}, {}, {"b": []}, 7]}}
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CustomBlock.B1.a", [None]),
        ("CustomBlock.B1.z", []),
        ("CustomBlock.B2List[].b[].c", [1, 2]),
        ("CustomBlock.B2List.b", []),
        ("CustomBlock.B1[].a", []),
        ("CommonBlock.M0.MPANCore", []),
    ],
)
def test_a_path_finds_what_has_its_shape_and_nothing_else(text, found):
    assert values(MESSAGE, parse_path(text)) == found


def test_a_path_finds_nothing_in_what_is_no_message():
    assert [
        values(value, parse_path("CustomBlock.B1.a")) for value in (None, [], "x", {"payload": None})
    ] == [[]] * 4


def test_pointers_escape_as_the_rfc_says():
    assert pointer(("a/b", "c~d", 0)) == "/a~1b/c~0d/0"
    assert pointer(()) == ""


def test_text_is_written_for_every_pattern_of_the_tables():
    patterns = {item.pattern for item in load_items().values() if item.pattern}
    assert len(patterns) > 10
    for pattern in patterns:
        texts = {matching_text(pattern, Random(seed)) for seed in range(50)}
        assert all(re.fullmatch(pattern, text) for text in texts)
        assert len(texts) > 20


@pytest.mark.parametrize("pattern", ["abc", "^a*$", "^a.c$", "^(a$", "^a)$", r"^\d$x"])
def test_a_pattern_it_does_not_know_is_refused(pattern):
    with pytest.raises(PatternUnknown):
        matching_text(pattern, Random(1))


@pytest.mark.parametrize(
    "raw",
    [b'{"a":1}', b'{ "a" : 1 }', b'{"a":{"b":1},"b":1}', b"[]", b"1e2", b"123456789012345678901234567890"],
)
def test_plain_json_is_read(raw):
    assert read_json(raw) == Parsed(orjson.loads(raw))


@pytest.mark.parametrize(
    "raw",
    [b"", b"nope", b'{"a":1,"a":2}', b'{"x":[{"a":1, "\\u0061":1}]}', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":1}x',
     b'{"a":"\\ud800"}', b"[" * 100_000, b'{"a":' * 900 + b" 1" + b"}" * 900 + b","],
)  # fmt: skip
def test_what_has_no_single_meaning_is_refused_with_a_reason(raw):
    outcome = read_json(raw)
    assert isinstance(outcome, Unreadable)
    assert outcome.reason


def test_a_number_with_five_thousand_digits_does_no_harm():
    assert isinstance(read_json(b'{"a": ' + b"9" * 5000 + b"}"), Parsed | Unreadable)


def test_mpans_have_the_published_check_digit():
    weights = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)
    for mpan in (
        "2000056535971",
        "1900012374324",
        "1312345678907",
        *(sample_mpan(Random(n)) for n in range(50)),
    ):
        assert sum(int(d) * w for d, w in zip(mpan, weights, strict=False)) % 11 % 10 == int(mpan[12])


def test_an_appointment_takes_effect_only_where_its_condition_holds():
    [effect] = CATALOGUE.effects("IF-035", "DCC-MDROutcome")
    for code, applies in (("A", True), ("R", False), ("L", False), ("W", False), ("x", False)):
        message = sample(
            CATALOGUE,
            "IF-035",
            "DCC-MDROutcome",
            Random(1),
            overrides={"CustomBlock.B066.responseCode": code},
        )
        assert effect.applies(message) is applies
    assert (effect.action, effect.slot) == (Action.FROM, Slot.DATA_RETRIEVER)


def test_an_effect_of_an_absent_optional_block_does_not_happen():
    bare = sample(CATALOGUE, "IF-036", "DSAppActive", Random(1), optional_share=0)
    full = sample(CATALOGUE, "IF-036", "DSAppActive", Random(1), optional_share=1)
    effects = CATALOGUE.effects("IF-036", "DSAppActive")
    assert [(effect.action, effect.slot) for effect in effects if effect.applies(bare)] == [
        (Action.FROM, Slot.DATA_SERVICE)
    ]
    assert [(effect.action, effect.slot) for effect in effects if effect.applies(full)] == [
        (Action.FROM, Slot.DATA_SERVICE),
        (Action.CONFIRM, Slot.METERING_SERVICE),
        (Action.FROM, Slot.DATA_RETRIEVER),
    ]


def test_the_headline_channels_route_as_published_text_says():
    now = datetime(2026, 1, 5, tzinfo=UTC)
    consumption = CATALOGUE.channels["IF-021"].routing("ActivePower", now)
    assert {(rule.slot, rule.need) for rule in consumption.secondary} == {
        (Slot.SUPPLIER, Need.REQUIRED), (Slot.DISTRIBUTOR, Need.REQUIRED)
    }  # fmt: skip
    assert consumption.always == {"MDS", "LSS"}
    assert CATALOGUE.channels["IF-047"].routing("ISD", now).everyone
    active = CATALOGUE.channels["IF-036"].routing("MSAppActive", now)
    assert {rule.slot: rule.need for rule in active.secondary} == {
        Slot.SUPPLIER: Need.OPTIONAL, Slot.DISTRIBUTOR: Need.OPTIONAL
    }  # fmt: skip


def test_the_edition_in_force_at_the_instant_routes():
    channel = _channel(
        CHANNEL, [ROUTE, ROUTE | {"edition": "2", "effective_from": "2026-06-01", "role": "MDS"}]
    )
    before = channel.routing("E", datetime(2026, 5, 31, 23, 59, tzinfo=UTC))
    after = channel.routing("E", datetime(2026, 6, 1, tzinfo=UTC))
    assert (before.edition, before.primary) == ("1", {"SUP"})
    assert (after.edition, after.primary) == ("2", {"MDS"})


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"role": "DCC"}],
        [{"kind": "secondary", "role": "MDS", "need": "required", "holders": "current"}],
        [{"edition": "2"}, {"effective_from": "1999-01-01", "edition": "3"}],
    ],
)
def test_a_routing_table_that_contradicts_the_channel_is_refused_at_load(rows):
    with pytest.raises(FactsInvalid):
        _channel(CHANNEL, [ROUTE | row for row in rows])


CHANNEL = {
    "interface": "IF-900", "publication": "PUB-900", "short_name": "", "sender_roles": "REGS",
    "receiver_roles": "SUP,MDS", "m_block": "M0", "events": "E",
}  # fmt: skip
ROUTE = {
    "edition": "1", "effective_from": "2000-01-01", "interface": "IF-900", "events": "*", "kind": "primary",
    "role": "SUP", "need": "", "holders": "", "inferred": "y",
}  # fmt: skip


def test_an_invented_channel_needs_rows_and_no_code():
    channel = _channel(CHANNEL, [ROUTE, ROUTE | {"kind": "always", "role": "MDS"}])
    assert channel.routing("E", datetime(2026, 1, 1, tzinfo=UTC)).always == {"MDS"}
    assert channel.mpan_name == "MPANCore"


def test_slots_are_the_published_roles_per_mpan():
    assert {role for role, slot in SLOT_OF_ROLE.items() if slot is Slot.DATA_SERVICE} == {
        "SDS",
        "ADS",
        "UMSDS",
    }


def test_a_consumption_sample_is_one_day_of_48_periods_in_four_and_a_half_kilobytes():
    message = sample(CATALOGUE, "IF-021", "ActivePower", Random(5))
    assert 4_200 < len(orjson.dumps(message)) < 4_800
    [day] = message["payload"]["CustomBlock"]["B900"]["settlementDayConsumptionPeriods"]
    ends = [period["sp"] for period in day["consumptionPeriods"]]
    assert len(ends) == 48
    assert (ends[0], ends[-1]) == ("2026-01-04T00:30:00+00:00", "2026-01-05T00:00:00+00:00")


def test_a_sample_takes_days_and_fields_from_its_caller():
    message = sample(
        CATALOGUE, "IF-021", "ActivePower", Random(5), days=[date(2025, 12, 1), date(2025, 12, 2)],
        overrides={"CommonBlock.S1.senderDIPID": "1400000001", "CommonBlock.A0.primaryRecipients": ["2300000001"],
                   "CommonBlock.S1.senderRoleID": "SDS", "CommonBlock.M0.MPANCore": "2000056535971"},
    )  # fmt: skip
    common = message["payload"]["CommonBlock"]
    assert common["A0"] == {"primaryRecipients": ["2300000001"], "secondaryRecipients": [], "always": []}
    assert common["S1"]["senderUniqueReference"].startswith("S-IF-021-1400000001-SDS-20260105-")
    assert common["M0"]["MPANCore"] == "2000056535971"
    assert CATALOGUE.check(message).valid


def test_a_sample_refuses_a_field_that_its_pair_does_not_have():
    with pytest.raises(KeyError, match="B999"):
        sample(CATALOGUE, "IF-021", "ActivePower", Random(1), overrides={"CustomBlock.B999.x": 1})
