"""What a refusal says, for single faults in every interface and event: by which check, where, what, what instead."""

from itertools import islice

import pytest

from pipeline.catalogue.checks import load_checks
from pipeline.domain.envelope import Message
from pipeline.domain.rejections import CheckId, Rejection
from pipeline.domain.responses import help_of
from pipeline.limits import HELP_CHARS_MAX, VALUE_CHARS_SHOWN_MAX
from tests.property.test_generated_messages import judged
from tests.support.fact_interpreter import all_pairs
from tests.support.generator import pair
from tests.support.generator_faults import faulty

CHECKS = load_checks()
OF_EACH = 12
SEED = 4711


def complete(one: Rejection) -> bool:
    """Tell whether a person could act on a refusal alone."""
    return (
        CHECKS[one.check].code is one.code
        and one.pointer is not None
        and bool(one.expected)
        and bool(one.help)
        and (one.value is None or 0 < len(one.value) <= VALUE_CHARS_SHOWN_MAX + 40)
    )


@pytest.mark.parametrize(("interface", "event"), all_pairs())
def test_every_single_fault_is_told_with_check_place_and_expectation(interface: str, event: str) -> None:
    for one in islice(faulty(pair(interface, event, SEED)), OF_EACH):
        outcome = judged(one.body, interface)
        assert not isinstance(outcome, Message), one
        assert all(complete(rejection) for rejection in outcome), (one.kind, outcome)
        text = help_of(outcome, pointers_under="/17")
        assert 0 < len(text) <= HELP_CHARS_MAX
        first = outcome[0]
        assert all(
            str(one.expected) in one.help or "unknown field" in one.help or "named twice" in one.help
            for one in outcome
            if one.check is CheckId.SCHEMA
        ), outcome
        if first.check in {CheckId.SCHEMA, CheckId.SCHEMA_VERSION, CheckId.EVENT}:
            assert text.startswith(f"/17{first.pointer}: ")
