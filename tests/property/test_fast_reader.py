"""The checker that only says yes never says it to what the long way refuses, and nearly always where that accepts."""

import json
from itertools import islice
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.fast import FastReader
from pipeline.catalogue.json_text import Unreadable
from pipeline.catalogue.samples import sample
from pipeline.ingress.slicing import read_message_text
from tests.support.fact_interpreter import all_pairs
from tests.support.generator import pair
from tests.support.generator_faults import faulty
from tests.support.message_defects import defects, first_elements, places

CATALOGUE = load_catalogue()
READ = FastReader({pair: one.shape for pair, one in CATALOGUE.pairs.items()})
PAIRS = st.sampled_from(all_pairs())
SEEDS = st.integers(0, 2**32)
WRITERS = (
    orjson.dumps,
    lambda message: json.dumps(message).encode(),
    lambda message: json.dumps(message, indent=2, ensure_ascii=False).encode(),
    lambda message: orjson.dumps(message, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2),
)
BYTES = b'{}[]",:\\/0123456789.-+eEtrufalsn \t\r\n\x00\x1f\x7f\x80\xc3\xa9\xed\xa0\x80\xef\xbb\xbf\xf4\xffxX_'
SNIPPETS = (
    b"", b'"', b'\\"', b"\\n", b"\n", b"\\u000a", b"\\u0022", b"\\ud800", b"\\ud83d\\ude00", b"\xd9\xa0", b"\xc3\xa9",
    b"\xe2\x84\xaa", b"\xef\xbb\xbf", b"null", b"true", b"30.0", b"3e1", b"-0", b"030", b"1e400", b"NaN", b"-Infinity",
    b"18446744073709551616", b"{}", b"[]", b'"a":1,', b'"eventCode":"[ActivePower]",', b'"payload":{},',
    b"[" * 70, b'{"a":' * 70, b"/**/", b" ",
)  # fmt: skip


def long_way(raw, interface):
    """Return what the two other readers make of a text: the value, if it is valid and in exact case."""
    text = read_message_text(raw)
    if isinstance(text, Unreadable):
        return None
    verdict = CATALOGUE.check(text.value, channel=interface)
    return (verdict, text.value) if verdict.valid and verdict.exact_case else None


def agree(raw, interface):
    """Hold a yes of the fast reader to the other's verdict, pair and value; return both."""
    fast, slow = READ(raw, interface), long_way(raw, interface)
    if fast is not None:
        assert slow is not None, raw
        value = slow[1]
        assert fast.pair == pair_of(slow)
        assert repr(fast.value) == repr(value)  # equal, with the same types, in the same order
    return fast, slow


def pair_of(slow):
    verdict, _ = slow
    return verdict.interface, verdict.event


@settings(max_examples=200, deadline=None)
@given(pair=PAIRS, seed=SEEDS, share=st.floats(0, 1), write=st.sampled_from(WRITERS))
def test_every_valid_message_is_read_fast_unless_it_has_escapes(pair, seed, share, write):
    raw = write(sample(CATALOGUE, *pair, Random(seed), optional_share=share))
    fast, slow = agree(raw, pair[0])
    assert slow is not None
    assert fast is not None or b"\\" in raw


@settings(max_examples=120, deadline=None)
@given(pair=PAIRS, seed=SEEDS, write=st.sampled_from(WRITERS))
def test_no_message_with_a_defect_is_read_fast(pair, seed, write):
    chance = Random(seed)
    message = first_elements(sample(CATALOGUE, *pair, chance, optional_share=chance.random()))
    for place in places(message):
        for _, damaged in defects(message, place, chance):
            raw = write(damaged)
            fast, slow = agree(raw, pair[0])
            exact = slow is not None and CATALOGUE.pair(*pair_of(slow)).is_exact(slow[1])
            assert fast is not None or not exact or b"\\" in raw, raw


@settings(max_examples=800, deadline=None)
@given(pair=PAIRS, seed=SEEDS, write=st.sampled_from(WRITERS), edits=st.integers(1, 3))
def test_no_damaged_text_is_read_otherwise(pair, seed, write, edits):
    chance = Random(seed)
    raw = write(first_elements(sample(CATALOGUE, *pair, chance, optional_share=chance.random())))
    for _ in range(edits):
        raw = edited(raw, chance)
    agree(raw, pair[0])


@settings(max_examples=300, deadline=None)
@given(pair=PAIRS, seed=SEEDS, write=st.sampled_from(WRITERS), escaped=st.integers(0, 4))
def test_a_name_that_appears_twice_is_never_read_fast(pair, seed, write, escaped):
    """Also where escapes or spaces make up for the length and the quotation marks of the second one."""
    chance = Random(seed)
    message = first_elements(sample(CATALOGUE, *pair, chance))
    raw = write(message)
    name, value = chance.choice(
        [part for part in members(message) if isinstance(part[1], str | int | bool | None)]
    )
    at = raw.index(json.dumps(name).encode())
    twice = raw[:at] + json.dumps(name).encode() + b":" + orjson.dumps(value) + b"," + raw[at:]
    for _ in range(escaped):
        twice = twice.replace(b'"B', b'"\\u0042', 1)
    assert READ(twice, pair[0]) is None
    assert long_way(twice, pair[0]) is None


@pytest.mark.parametrize("pair_named", all_pairs(), ids="-".join)
def test_the_independent_generators_messages_get_one_verdict(pair_named):
    """Valid ones and single faults, from a generator that knows the tables and neither checker."""
    source = pair(*pair_named, 7)
    for message in (source.valid() for _ in range(3)):
        raw = orjson.dumps(message)
        fast, _ = agree(raw, pair_named[0])
        assert fast is not None or b"\\" in raw
    for one in islice(faulty(source), 15):
        assert agree(one.body, pair_named[0])[0] is None, one.kind


@pytest.mark.parametrize(
    "text",
    [b"0.123\\n", b"\xd9\xa0.\xd9\xa1\xd9\xa2\xd9\xa3", b"1.000,2.000", b"1.000\\n2.000", b"", b"1.0000"],
)
def test_values_that_only_look_like_numbers_are_not_read_fast(text):
    """The bulk check of the 48 values of a day has no hole at its seams."""
    raw = orjson.dumps(sample(CATALOGUE, "IF-021", "ActivePower", Random(1)))
    at = raw.index(b'"v":"') + 5
    damaged = raw[:at] + text + raw[raw.index(b'"', at) :]
    assert READ(raw, "IF-021") is not None
    assert READ(damaged, "IF-021") is None
    assert long_way(damaged, "IF-021") is None


def test_a_message_of_another_channel_is_not_read():
    raw = orjson.dumps(sample(CATALOGUE, "IF-021", "ActivePower", Random(1)))
    assert READ(raw, "IF-035") is None


def test_an_event_code_in_a_wrong_place_misleads_nobody():
    """The first one in the text only chooses the reader: with another order of blocks it may be any text."""
    message = sample(CATALOGUE, "IF-021", "ActivePower", Random(1))
    message["payload"]["CommonBlock"] = dict(reversed(message["payload"]["CommonBlock"].items()))
    message["payload"]["CommonBlock"]["S1"]["subText"] = "eventCode:[ReactivePower]"
    raw = orjson.dumps(message)
    fast, _ = agree(raw, "IF-021")
    assert fast is not None
    assert fast.pair == ("IF-021", "ActivePower")


def edited(raw, chance):
    """Change a text a little, anywhere."""
    at = chance.randrange(len(raw) + 1)
    match chance.randrange(4):
        case 0:
            return raw[:at] + bytes([chance.choice(BYTES)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + chance.choice(SNIPPETS) + raw[at:]
        case 2:
            return raw[:at] + raw[at + chance.randint(1, 8) :]
        case _:
            return raw.replace(*chance.choice(SWAPS), 1)


SWAPS = (
    (b'"', b"\\u0022"), (b":30", b":30.0"), (b":30", b":3e1"), (b":30", b":3E1"), (b":30", b":-30"), (b"-", b"\\u002d"),
    (b"null", b"\\u006eull"), (b"true", b"1"), (b"null", b"{}"), (b"[", b"[null,"), (b"]", b",]"), (b"}", b",}"),
    (b",", b",,"), (b"0", b"\xd9\xa0"), (b'"payload"', b'"Payload"'), (b'"payload"', b'"payload":{},"payload"'),
    (b'"S1"', b'"S1":{},"S1"'),
)  # fmt: skip


def members(value):
    """Yield every (name, value) of a message."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield name, part
            yield from members(part)
    elif isinstance(value, list):
        for part in value:
            yield from members(part)
