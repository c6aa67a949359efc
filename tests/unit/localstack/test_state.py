"""One owner for a state directory, found by a lock that dies with it and not by a file that stays."""

import pytest

from pipeline.localstack.errors import AlreadyRunning
from pipeline.localstack.state import Ownership, Running, find_running

RUNNING = Running(
    pid=4711,
    bootstrap="127.0.0.1:21000",
    registry_url="http://127.0.0.1:21002/apis/ccompat/v7",
    rungs={"broker": "process"},
    ports={"broker": (21000, 21001)},
)


def test_what_the_owner_tells_is_found_while_it_owns(tmp_path):
    owner = Ownership(tmp_path)
    owner.tell(RUNNING)
    assert find_running(tmp_path) == RUNNING
    owner.release()
    assert find_running(tmp_path) is None


def test_a_second_owner_is_refused_and_told_who_is_there(tmp_path):
    owner = Ownership(tmp_path)
    owner.tell(RUNNING)
    with pytest.raises(AlreadyRunning, match=r"4711.*21000"):
        Ownership(tmp_path)
    owner.release()


def test_the_next_owner_learns_the_ports_of_the_last(tmp_path):
    first = Ownership(tmp_path)
    first.tell(RUNNING)
    first.release()
    second = Ownership(tmp_path)
    assert second.previous == RUNNING
    second.release()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', '{"ports": 3}'])
def test_a_damaged_state_file_is_as_good_as_none(tmp_path, text):
    (tmp_path / "stack.json").write_text(text)
    owner = Ownership(tmp_path)
    assert owner.previous is None
    owner.release()


def test_an_owner_that_has_not_told_yet_is_nothing_to_use(tmp_path):
    """The last owner's addresses must not be handed out while the next one is starting."""
    first = Ownership(tmp_path)
    first.tell(RUNNING)
    first.release()
    second = Ownership(tmp_path)
    assert find_running(tmp_path) is None
    second.release()
