"""Whatever the message: the compiled verdict, its explanation and the fact tables agree."""

from random import Random

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.casing import canonical
from pipeline.catalogue.samples import sample
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX
from tests.support.fact_interpreter import all_pairs, failing_pointers
from tests.support.message_defects import defects, places

CATALOGUE = load_catalogue()
PAIRS = st.sampled_from(all_pairs())
SEEDS = st.integers(0, 2**32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def damage(message, chance):
    place = chance.choice(list(places(message)))
    options = [damaged for _, damaged in defects(message, place)]
    return chance.choice(options) if options else message


@settings(max_examples=300, deadline=None)
@given(pair=PAIRS, seed=SEEDS, count=st.integers(0, 4))
def test_messages_with_any_number_of_defects_are_judged_as_the_tables_do(pair, seed, count):
    """Several defects at once: none hides another, and each is found at its own place."""
    chance = Random(seed)
    message = sample(CATALOGUE, *pair, chance, optional_share=chance.random())
    for _ in range(count):
        if isinstance(message, dict):
            message = damage(message, chance)
    validator = CATALOGUE.pair(*pair)
    expected = failing_pointers(*pair, message)
    assert sorted(problem.pointer for problem in validator.problems(message, 100_000)) == sorted(expected)
    assert validator.is_valid(message) == (not expected)
    assert len(validator.problems(message)) <= PROBLEMS_PER_MESSAGE_MAX


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_any_json_gets_a_verdict_and_an_invalid_one_a_reason(value):
    verdict = CATALOGUE.check(value)
    assert not verdict.valid
    assert verdict.code is not None


@settings(max_examples=200, deadline=None)
@given(pair=PAIRS, value=JSON, seed=SEEDS)
def test_any_json_in_any_place_is_judged_as_the_tables_do(pair, value, seed):
    chance = Random(seed)
    message = sample(CATALOGUE, *pair, chance)
    place = chance.choice([place for place in places(message) if place])
    target = message
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    found = [problem.pointer for problem in CATALOGUE.pair(*pair).problems(message, 100_000)]
    assert sorted(found) == sorted(failing_pointers(*pair, message))


@settings(max_examples=150, deadline=None)
@given(pair=PAIRS, seed=SEEDS)
def test_canonical_form_undoes_any_change_of_letter_case(pair, seed):
    chance = Random(seed)
    message = sample(CATALOGUE, *pair, chance)
    shape = CATALOGUE.pair(*pair).shape.root
    renamed = canonical(shuffled(message, chance), shape)
    assert renamed.message == message
    assert renamed.clashes == ()
    assert canonical(message, shape).renamed is False


@settings(max_examples=100, deadline=None)
@given(pair=PAIRS, seed=SEEDS)
def test_a_sample_is_the_same_for_the_same_seed_and_survives_json(pair, seed):
    first = sample(CATALOGUE, *pair, Random(seed))
    assert first == sample(CATALOGUE, *pair, Random(seed))
    assert orjson.loads(orjson.dumps(first)) == first


def shuffled(value, chance):
    if isinstance(value, dict):
        return {
            "".join(chance.choice((char.lower(), char.upper())) for char in name): shuffled(part, chance)
            for name, part in value.items()
        }
    return [shuffled(part, chance) for part in value] if isinstance(value, list) else value
