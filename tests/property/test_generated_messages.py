"""For every pair, messages of a generator that knows only the tables: no wrong verdict, and the fault is named."""

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import pytest

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.json_text import Parsed, read_json
from pipeline.domain.envelope import Message
from pipeline.domain.identifiers import InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.intake import Gate, take_bytes
from tests.support.fact_interpreter import all_pairs, failing_pointers, table
from tests.support.generator import SENDER, pair
from tests.support.generator_faults import KINDS, Faulty, faulty

CATALOGUE = load_catalogue()
NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
SINCE = datetime(2000, 1, 1, tzinfo=UTC)
ROLES = {role for row in table("channels.tsv") for role in row["sender_roles"].split(",")}
EVERYBODY = Participants(
    [
        Participant(
            id=ParticipantId(SENDER),
            name="sends everything",
            roles=tuple(RoleGrant(role=Role(role), valid_from=SINCE) for role in sorted(ROLES)),
        )
    ]
)
SEED = 20260105
OF_EACH = 50


def judged(body: bytes, interface: str):
    return take_bytes(
        CATALOGUE, body, channel=InterfaceId(interface), received_at=NOW, gate=Gate(participants=EVERYBODY)
    )


def written(message) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def wrong_valid(interface, event, seed, count):
    """Return the valid messages that were refused, with why."""
    source = pair(interface, event, seed)
    found = []
    for _ in range(count):
        message = source.valid()
        outcome = judged(written(message), interface)
        if not isinstance(outcome, Message):
            found.append((outcome, message))
        elif not CATALOGUE.pair(interface, event).is_valid(message):
            found.append(("taken, but not valid", message))
    return found


def wrong_faulty(interface, event, seed, count):
    """Return the faulty messages that were taken, or whose refusal names another place, with why."""
    source = pair(interface, event, seed)
    return [
        (one.kind, one.place, outcome, one.body.decode())
        for one in islice(faulty(source), count)
        if not is_named(one, outcome := judged(one.body, interface))
    ]


def is_named(one: Faulty, outcome) -> bool:
    """Tell whether a refusal names the fault and nothing else."""
    if isinstance(outcome, Message) or not outcome:
        return False
    named = all(json.dumps(one.word) in rejection.help for rejection in outcome) if one.word else True
    return named and all(one.named_by(rejection.pointer) for rejection in outcome)


@pytest.mark.parametrize(("interface", "event"), all_pairs())
def test_no_message_gets_a_wrong_verdict_and_every_fault_is_named(interface, event):
    """50 valid and 50 with a single fault; a failing one is printed whole."""
    assert not wrong_valid(interface, event, SEED, OF_EACH)[:1]
    assert not wrong_faulty(interface, event, SEED, OF_EACH)[:1]


@pytest.mark.soak
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("seed", range(1, 21))
def test_other_seeds_give_the_same_verdicts(seed):
    """`make soak`: twenty times as many messages, none of them seen before."""
    for interface, event in all_pairs():
        assert not wrong_valid(interface, event, seed, OF_EACH)[:1]
        assert not wrong_faulty(interface, event, seed, OF_EACH)[:1]


def test_every_kind_of_fault_is_made_and_the_same_seed_makes_the_same_messages():
    """A generator that had quietly stopped to make a kind would let it through."""
    made = Counter(
        one.kind for names in all_pairs() for one in islice(faulty(pair(*names, SEED)), 2 * len(KINDS))
    )
    assert made.keys() == KINDS.keys()
    assert min(made.values()) > 30, made
    first, again = (list(islice(faulty(pair("IF-021", "ActivePower", 7)), 30)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("interface", "event"), all_pairs()[::7])
def test_the_generator_and_the_interpreter_read_the_tables_alike(interface, event):
    """Three readings of one table: what the generator calls faulty, the plain walk over the rows refuses too."""
    source = pair(interface, event, SEED)
    for one in islice(faulty(source), len(KINDS)):
        text = read_json(one.body)
        if isinstance(text, Parsed) and one.kind != "name twice in two letter cases":
            assert failing_pointers(interface, event, text.value), (one.kind, one.place)
    for _ in range(5):
        assert failing_pointers(interface, event, source.valid()) == []
