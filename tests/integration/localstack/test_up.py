"""`dip up` as a person uses it: two terminals, Ctrl-C, kill -9, and wrong addresses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.localstack.state import Ownership, find_running
from pipeline.localstack.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LEFT_OUT = ("KAFKA_BOOTSTRAP", "SCHEMA_REGISTRY_URL", "DIP_CONFIG", "DIP_STATE_DIR")


class Terminal:
    """A shell whose `dip` commands share one state directory."""

    def __init__(self, state_dir):
        self.state_dir = state_dir
        kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        changes = {"DIP_STATE_DIR": str(state_dir), "DIP_TOPIC_PARTITIONS": "2", "DIP_STACK_RUNG": "process"}
        self.environment = {**kept, **changes}
        self.started = []

    def command(self, *words):
        return [sys.executable, "-m", "pipeline.operate.main", *words]

    def run(self, *words, **environment):
        return subprocess.run(
            self.command(*words),
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def up(self, *words):
        with (self.state_dir.parent / "up.out").open("ab") as out:
            process = subprocess.Popen(
                self.command("up", "--stack-only", *words), env=self.environment, stdout=out, stderr=out
            )
        self.started.append(process)
        ready = lambda: find_running(self.state_dir) is not None or process.poll() is not None  # noqa: E731
        assert wait_until(ready, timeout_s_max=120)
        assert process.poll() is None, (self.state_dir.parent / "up.out").read_text()
        return process, find_running(self.state_dir)


@pytest.fixture
def terminal(tmp_path, stack):  # the shared stack first: it fills the cache, or gives up for all of us
    del stack
    made = Terminal(tmp_path / "var")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.wait()


def all_gone(pids):
    return all(
        not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in pids
    )


def test_a_second_up_says_what_runs_and_starts_nothing(terminal):
    _, running = terminal.up()
    second = terminal.run("up", "--stack-only")
    assert second.returncode == 0
    assert "already running" in second.stdout
    assert running.bootstrap in second.stdout
    refused = terminal.run("up", "--stack-only", "--fresh")
    assert refused.returncode == 1
    assert "dip stack down" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert find_running(terminal.state_dir) == running


def test_ctrl_c_stops_all_the_next_up_has_the_data_and_fresh_forgets_it(terminal):
    process, first = terminal.up()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert all_gone(first.pids.values())
    process, second = terminal.up()
    assert second.bootstrap == first.bootstrap
    identity = terminal.state_dir / "broker" / "data" / "meta.properties"
    kept = identity.read_text()
    assert terminal.run("stack", "down").returncode == 0
    assert process.wait(60) == 0
    assert all_gone(second.pids.values())
    terminal.up("--fresh")
    assert identity.read_text() != kept


def test_kill_9_of_up_leaves_no_process_and_the_directory_is_free(terminal):
    process, running = terminal.up()
    assert len(running.pids) == 2
    process.kill()
    process.wait()
    assert wait_until(lambda: all_gone(running.pids.values()), timeout_s_max=30)
    assert find_running(terminal.state_dir) is None
    Ownership(terminal.state_dir).release()  # the next one may have it


def test_a_broker_that_dies_ends_up_with_its_last_words_and_no_trace(terminal):
    process, running = terminal.up()
    os.kill(running.pids["broker"], signal.SIGKILL)
    assert process.wait(60) == 1
    said = (terminal.state_dir.parent / "up.out").read_text()
    assert "the broker ended" in said
    assert "broker.log ends with" in said
    assert "Traceback" not in said
    assert all_gone(running.pids.values())


def test_a_given_address_where_nobody_listens_is_told_and_nothing_is_started_instead(terminal, free_port):
    answer = terminal.run(
        "up", "--stack-only", KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}", DIP_START_WAIT_S="2"
    )
    assert answer.returncode == 1
    assert "no broker answered within 2 s" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert find_running(terminal.state_dir) is None
    assert not Path(terminal.state_dir, "broker").exists()


def test_a_given_broker_and_registry_are_used_and_left_alone(terminal, stack):
    answer = subprocess.Popen(
        terminal.command("up", "--stack-only"),
        env={
            **terminal.environment,
            "KAFKA_BOOTSTRAP": stack.bootstrap,
            "SCHEMA_REGISTRY_URL": stack.registry_url,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    terminal.started.append(answer)
    assert wait_until(lambda: find_running(terminal.state_dir) is not None, timeout_s_max=60)
    running = find_running(terminal.state_dir)
    assert (running.bootstrap, set(running.rungs.values()), running.pids) == (stack.bootstrap, {"given"}, {})
    answer.send_signal(signal.SIGTERM)
    assert answer.wait(60) == 0
    assert stack.failures() == ()


def test_an_impossible_rung_is_told_as_a_setting(terminal):
    answer = terminal.run("up", "--stack-only", DIP_STACK_RUNG="ladder")
    assert answer.returncode == 1
    assert "DIP_STACK_RUNG='ladder'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_without_a_network_the_first_start_says_what_to_do(terminal, free_port, tmp_path):
    nowhere = f"http://127.0.0.1:{free_port()}"
    answer = terminal.run(
        "up", "--stack-only", DIP_MAVEN_MIRROR=nowhere, DIP_CACHE_DIR=str(tmp_path / "empty")
    )
    assert answer.returncode == 1
    assert "Check the network" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_topics_without_any_kafka_say_how_to_get_one(terminal):
    answer = terminal.run("topics", "check")
    assert answer.returncode == 1
    assert "dip up" in answer.stderr
