"""The table of checks: complete, public, and moved only as far as the table allows."""

import pytest

from pipeline.catalogue.checks import load_checks
from pipeline.domain.checks import OF_THE_MESSAGE, Level, Terms
from pipeline.domain.header_rules import RULES
from pipeline.domain.rejections import CheckId, Code
from pipeline.errors import SettingsInvalid


def test_every_code_of_a_refusal_belongs_to_a_check() -> None:
    """A code that no check gives would be documented and never seen."""
    assert {one.code for one in load_checks().values() if one.code} == set(Code) - {Code.ACCEPTED}


def test_checks_of_the_request_have_a_status_and_the_others_a_code() -> None:
    assert all((one.code is None) != (one.status is None) for one in load_checks().values())


def test_every_check_runs_at_exactly_one_level() -> None:
    checks = load_checks()
    assert checks.at(Level.L1) | checks.at(Level.L2) == set(CheckId)
    assert not checks.at(Level.L1) & checks.at(Level.L2)


def test_every_check_that_moves_has_a_rule_at_both_levels() -> None:
    """Moved to a level that nobody judges it at, a check would be made nowhere."""
    movable = {one.id for one in load_checks().values() if one.movable}
    primary = {CheckId.PRIMARY_RECIPIENT, CheckId.PRIMARY_RECIPIENT_ROLE}
    assert movable == OF_THE_MESSAGE | primary
    assert {check for check, _ in RULES} | {CheckId.DECIDING_DATE} >= OF_THE_MESSAGE


def test_a_movable_check_moves() -> None:
    checks = load_checks(" environment-tag=L2, primary-recipient=L1 ,")
    assert checks[CheckId.ENVIRONMENT_TAG].level is Level.L2
    assert checks[CheckId.PRIMARY_RECIPIENT].level is Level.L1
    assert checks[CheckId.PRIMARY_RECIPIENT_ROLE].level is Level.L2


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        ("enviroment-tag=L2", "'enviroment-tag' is no check"),
        ("schema=L2", "'schema' cannot be moved"),
        ("reference-used=L1", "'reference-used' cannot be moved"),
        ("connection-provider=L2", "'connection-provider' cannot be moved"),
        ("environment-tag=L3", "expected environment-tag=L1 or environment-tag=L2"),
        ("environment-tag", "expected environment-tag=L1"),
        ("environment-tag=L2,environment-tag=L1", "named twice"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(moves: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match="DIP_CHECK_LEVELS") as refused:
        load_checks(moves)
    assert said in str(refused.value)


def test_terms_are_known_by_their_content() -> None:
    """The stage must not trust a bridge that asked for less than the stage would."""
    usual = Terms(checks=load_checks())
    others = [
        Terms(checks=load_checks("environment-tag=L2")),
        Terms(checks=load_checks(), environment_tag="PRD"),
        Terms(checks=load_checks(), reference_parts=True),
    ]
    assert usual.fingerprint == Terms(checks=load_checks()).fingerprint
    assert len({usual.fingerprint, *(one.fingerprint for one in others)}) == 4
    assert not usual.later
    assert others[0].later
    assert not Terms(checks=load_checks("primary-recipient=L1")).later
