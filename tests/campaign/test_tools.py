"""The campaign's own tools: a judge that finds nothing, a cut that cuts nothing, would prove nothing."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.localstack.ports import LOOPBACK, free_ports
from pipeline.simulator.ledger import Account, Elsewhere, Ledger, Place, StatusKey
from pipeline.simulator.model import Reaches
from tests.campaign.faults import KINDS, script
from tests.campaign.network import Line, Network
from tests.campaign.release import GROWN, make_release
from tests.campaign.report import Report
from tests.campaign.scaling import table
from tests.campaign.stage import Outcome, Shape

NAMES = (*Shape(workers=2).names(), "broker-1", "registry")


def test_what_happens_in_a_round_follows_from_its_number() -> None:
    assert script(7, NAMES, load_s=6) == script(7, NAMES, load_s=6)
    assert script(7, NAMES, load_s=6) != script(8, NAMES, load_s=6)


def test_two_hundred_rounds_do_everything_to_everybody() -> None:
    faults = [fault for number in range(200) for fault in script(number, NAMES, load_s=6)]
    done = {(fault.kind, fault.target.partition("-")[0]) for fault in faults}
    assert done == {(kind, target) for kind, facts in KINDS.items() for target in facts.targets}
    assert {fault.target for fault in faults} == set(NAMES)


# --- the network ---


@pytest.fixture
def echo() -> Iterator[tuple[Network, int]]:
    """Give a network with one route to a server that says what it hears."""
    near, far = free_ports(2)
    server = socket.create_server((LOOPBACK, far))

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(one,), daemon=True).start()

    def answer(one: socket.socket) -> None:
        with one, suppress(ConnectionError):
            while data := one.recv(100):
                one.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    network = Network({near: far})
    yield network, near
    network.close()
    server.close()


def called(port: int, *, timeout_s: float = 10) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=timeout_s)


def said(one: socket.socket, text: bytes) -> bytes:
    one.sendall(text)
    return one.recv(100)


def test_a_cut_route_resets_connections_and_opens_none(echo: tuple[Network, int]) -> None:
    network, port = echo
    with called(port) as one:
        assert said(one, b"hello") == b"hello"
        network.set((port,), Line.CUT)
        with pytest.raises(ConnectionResetError):
            one.recv(100)
    with called(port) as other:
        assert other.recv(100) == b""
    network.set((port,), Line.WHOLE)
    with called(port) as again:
        assert said(again, b"hello again") == b"hello again"


def test_a_mute_route_keeps_its_connections_and_what_was_sent(echo: tuple[Network, int]) -> None:
    network, port = echo
    with called(port, timeout_s=0.3) as one:
        assert said(one, b"hello") == b"hello"
        network.set((port,), Line.MUTE)
        with pytest.raises(TimeoutError):
            said(one, b"are you there")
        network.set((port,), Line.WHOLE)
        one.settimeout(10)
        assert one.recv(100) == b"are you there"


# --- the account ---


def judged(write: Callable[[Ledger], None], *, repeats: bool = True) -> Account:
    ledger = Ledger(run="r", timed=(), place=lambda *_: Place.DELIVERED, repeats=repeats)
    ledger.announce("S-r1", Reaches(recipients=frozenset({"2300000001"})))
    ledger.accept("S-r1", "T-1", at_s=0)
    write(ledger)
    return ledger.close(Elsewhere())


def delivered(recipient: str, transaction_id: str = "T-1") -> Callable[[Ledger], None]:
    def write(ledger: Ledger) -> None:
        ledger.deliver(recipient, "S-r1", transaction_id, at_s=1)

    return write


def test_a_copy_that_does_not_come_is_lost() -> None:
    account = judged(lambda _: None)
    assert (account.lost, account.closes) == (1, False)


def test_a_copy_at_somebody_else_is_misrouted_and_one_of_no_message_is_a_phantom() -> None:
    elsewhere = judged(delivered("2300000002"))
    assert (elsewhere.lost, elsewhere.phantom, elsewhere.misrouted) == (1, 1, 1)
    nowhere = judged(delivered("2300000001", "T-2"))
    assert (nowhere.lost, nowhere.phantom, nowhere.misrouted) == (1, 1, 0)


@pytest.mark.parametrize(("repeats", "closes"), [(True, True), (False, False)])
def test_a_status_message_may_come_twice_only_where_workers_are_killed(repeats: bool, closes: bool) -> None:  # noqa: FBT001  # a parameter
    key = StatusKey("2300000001", "T-1", "MSG1006", "0000000000")

    def write(ledger: Ledger) -> None:
        delivered("2300000001")(ledger)
        ledger.expect_status(key)
        for _ in range(2):
            ledger.deliver_status(key, None)

    account = judged(write, repeats=repeats)
    assert (account.closes, account.status_again) == (closes, 1)


def test_a_status_message_that_nobody_expects_is_a_phantom_in_any_case() -> None:
    key = StatusKey("2300000001", "T-1", "MSG1006", "0000000000")

    def write(ledger: Ledger) -> None:
        delivered("2300000001")(ledger)
        ledger.deliver_status(key, None)

    account = judged(write)
    assert (account.closes, account.phantom) == (False, 1)


# --- the report ---


def test_a_report_knows_what_was_played_and_shows_what_did_not_close(tmp_path: Path) -> None:
    def add(report: Report, number: int, account: Account) -> None:
        outcome = Outcome(account=account, silence_s=3.0, seconds=20.0)
        faults = script(number, NAMES, load_s=6)
        report.add(number, Shape(), faults, outcome, exits={"router: exit code 70": 1}, before=None)

    path = tmp_path / "rounds.jsonl"
    add(Report(path), 0, judged(delivered("2300000001")))
    add(Report(path), 1, judged(lambda _: None))
    report = Report(path)
    assert [report.rounds[number].closes for number in (0, 1)] == [True, False]
    first = report.table().splitlines()[2]
    assert first == "| 2 | 1 | 2 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 0 | 2 |"
    assert "lost: S-r1 for 2300000001" in report.rounds[1].line()
    assert len(path.read_text().splitlines()) == 2
    assert json.loads(path.read_text().splitlines()[0])["lost"] == 0


def test_the_ledger_counts_a_copy_that_came_twice_once_for_each_extra() -> None:
    def twice(ledger: Ledger) -> None:
        for _ in range(3):
            ledger.deliver("2300000001", "S-r1", "T-1", at_s=1)

    account = judged(twice)
    assert (account.closes, account.delivered, account.delivered_again) == (True, 1, 2)


# --- scaling, releases ---


def played(step: str, oldest_s: float, *, closes: bool = True, **more: object) -> dict[str, object]:
    return {"step": step, "age_s": {"max": oldest_s}, "silence_s": oldest_s / 2, "closes": closes, **more}


def test_a_table_of_scaling_has_the_oldest_copy_of_each_step_and_forgives_nothing() -> None:
    rows = [
        played("kill", 7.0),
        played("kill", 9.0),
        played("kill", 8.0),
        played("leave", 1.0, closes=False),
        played("release", 1.0, both=False),
    ]
    assert table(rows).splitlines()[2:] == [
        "| kill | 3 | 7.0, 8.0, 9.0 | 4.5 | closed each time |",
        "| leave | 1 | 1.0, 1.0, 1.0 | 0.5 | NOT CLOSED |",
        "| release | 1 | 1.0, 1.0, 1.0 | 0.5 | NOT CLOSED |",
    ]


def test_the_next_release_writes_what_this_one_does_not_know(tmp_path: Path) -> None:
    """Its own process says so: the schemas that are registered from there, and the values that are written."""
    make_release(tmp_path / "next")
    asked = (
        "import json; from msgspec.structs import fields;"
        "from pipeline import schemas; from pipeline.domain.envelope import Copy;"
        f"names = {list(GROWN)};"
        "print(json.dumps([[one['name'] for one in json.loads(schemas.text(n))['fields']][-1] for n in names]"
        " + [next(f.default for f in fields(Copy) if f.name == 'release')]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=tmp_path / "next",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(told.stdout) == ["release", "release", "release", "next"]
