"""A participants file that is loaded again: what is known of a key stays, what the file says of it holds."""

from datetime import UTC, datetime

from pipeline.domain.api_keys import kept, proves
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import Participant
from pipeline.operate.participants import _with_known_keys

KEY = "a-key-of-some-length-0123456789"
END = datetime(2026, 3, 1, tzinfo=UTC)


def _one(*keys: object) -> Participant:
    return Participant(id=ParticipantId("2300000001"), name="x", api_keys=keys)  # type: ignore[arg-type] # API keys


def test_the_same_key_with_another_salt_is_no_change() -> None:
    known = _one(kept(KEY, b"first salt"))
    assert _with_known_keys(_one(kept(KEY, b"second salt")), known) == known


def test_an_end_given_to_a_known_key_is_a_change_and_the_key_still_proves() -> None:
    """This is how an old key is phased out; a load that ignored it would leave it valid for ever."""
    known = _one(kept(KEY, b"first salt"))
    merged = _with_known_keys(_one(kept(KEY, b"second salt", valid_to=END)), known)
    assert merged != known
    (key,) = merged.api_keys
    assert (key.valid_to, key.salt) == (END, b"first salt".hex())
    assert proves(KEY, key)


def test_an_end_taken_away_again_is_a_change_too() -> None:
    known = _one(kept(KEY, b"first salt", valid_to=END))
    assert _with_known_keys(_one(kept(KEY, b"x")), known) == _one(kept(KEY, b"first salt"))
