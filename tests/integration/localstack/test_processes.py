"""Real children: none outlives us, however we end; crashes are told and bounded."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline import limits
from pipeline.localstack.errors import StartFailed
from pipeline.localstack.processes import Child, ProcessGroup, ProcessSpec, describe_exit
from pipeline.localstack.waiting import wait_until

# Deaf to every polite request, so that only the kernel's SIGKILL can have ended it.
DEAF = """
import signal, sys, time
from pathlib import Path
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
Path(sys.argv[1]).touch()
time.sleep(600)
"""

PARENT = """
import sys, time
from pathlib import Path
from pipeline.localstack.processes import Child, ProcessSpec
deaf, mark, log = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
child = Child(ProcessSpec(name="deaf", command=(sys.executable, "-c", deaf, str(mark)), log=log, ready=mark.exists))
child.wait_ready()
print(child.pid, flush=True)
time.sleep(600)
"""


def spec(tmp_path, code, name="child", **changes):
    command = (sys.executable, "-c", code)
    return replace(ProcessSpec(name=name, command=command, log=tmp_path / f"{name}.log"), **changes)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


SLEEP = "import time; time.sleep(600)"


def parent_with_child(tmp_path):
    command = [sys.executable, "-c", PARENT, DEAF, str(tmp_path / "mark"), str(tmp_path / "log")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    with parent.stdout:
        return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_child_dies_with_a_killed_parent(tmp_path, number, frozen):
    """However `dip up` is ended, no broker is left behind; a frozen one neither."""
    parent, child = parent_with_child(tmp_path)
    if frozen:
        os.kill(child, signal.SIGSTOP)
    parent.send_signal(number)
    parent.wait(30)
    assert wait_until(lambda: gone(child), timeout_s_max=30)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path):
    """The kernel's parent-death signal follows the starting thread; ours lives as long as the process."""
    up, question, answer = (tmp_path / name for name in ("up", "question", "answer"))
    code = (
        f"import time; from pathlib import Path; Path({str(up)!r}).touch()\n"
        f"while not Path({str(question)!r}).exists(): time.sleep(0.02)\n"
        f"Path({str(answer)!r}).touch(); {SLEEP}"
    )
    children, threads = [], []

    def start():
        threads.append(threading.get_native_id())
        children.append(Child(spec(tmp_path, code, ready=up.exists)))
        children[0].wait_ready()  # past the tether: the signal is armed when this thread ends

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert wait_until(lambda: not Path(f"/proc/self/task/{threads[0]}").exists(), timeout_s_max=30)
    question.touch()  # a killed child runs no more code, however late we look
    assert wait_until(lambda: answer.exists() or children[0].exit_code is not None, timeout_s_max=30)
    assert children[0].exit_code is None
    children[0].kill()


def test_a_command_whose_parent_is_another_is_not_run(tmp_path):
    """The parent may die between fork and the request for the signal."""
    from pipeline.localstack import processes

    mark = tmp_path / "mark"
    command = [sys.executable, "-I", "-S", str(processes._TETHER), "1", "/usr/bin/touch", str(mark)]
    assert subprocess.run(command, check=False).returncode == 1
    assert not mark.exists()


def test_killing_a_child_takes_its_own_children_along(tmp_path):
    note = tmp_path / "pid"
    code = (
        f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
        f"open({str(note)!r}, 'w').write(str(p.pid)); time.sleep(600)"
    )
    child = Child(spec(tmp_path, code))
    assert wait_until(lambda: note.exists() and note.read_text() != "", timeout_s_max=30)
    child.kill()
    assert wait_until(lambda: gone(int(note.read_text())), timeout_s_max=30)


def test_a_child_that_ignores_a_request_to_end_is_killed(tmp_path):
    mark = tmp_path / "mark"
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(mark)!r}, 'w').close(); {SLEEP}"
    child = Child(spec(tmp_path, code, ready=mark.exists, stop_s_max=0.2))
    child.wait_ready()
    assert child.stop() == -signal.SIGKILL


def test_a_frozen_child_still_ends_in_order(tmp_path):
    mark = tmp_path / "mark"
    code = (
        f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
        f"open({str(mark)!r}, 'w').close(); {SLEEP}"
    )
    child = Child(spec(tmp_path, code, ready=mark.exists))
    child.wait_ready()
    child.freeze()
    assert child.stop() == 7


def test_a_child_that_ends_at_its_start_is_told_with_its_last_words(tmp_path):
    group = ProcessGroup(
        [spec(tmp_path, "print('no such setting'); raise SystemExit(3)", ready=lambda: False)]
    )
    with pytest.raises(StartFailed, match=r"(?s)exit code 3.*no such setting"):
        group.start()


def test_when_one_cannot_start_none_is_left(tmp_path):
    pids = tmp_path / "pid"
    first = spec(
        tmp_path,
        f"import os; open({str(pids)!r}, 'w').write(str(os.getpid())); {SLEEP}",
        name="first",
        ready=pids.exists,
    )
    broken = spec(tmp_path, "raise SystemExit(1)", name="broken", ready=lambda: False)
    with pytest.raises(StartFailed, match="broken"):
        ProcessGroup([first, broken]).start()
    assert gone(int(pids.read_text()))  # the first was up before the second was looked at


def test_a_crash_is_told_and_the_process_started_again(tmp_path):
    with ProcessGroup([spec(tmp_path, SLEEP, restarts_max=1)]) as group:
        first = group.child("child").pid
        os.kill(first, signal.SIGKILL)
        crashes = []

        def again():
            crashes.extend(group.check())
            return group.pids().get("child", first) != first

        assert wait_until(again, timeout_s_max=30)
        assert [(one.name, one.how, one.restart_in_s) for one in crashes] == [
            ("child", "signal SIGKILL", limits.CHILD_RESTART_DELAYS_S[0])
        ]


def test_restarts_are_bounded(tmp_path):
    with ProcessGroup([spec(tmp_path, "raise SystemExit(9)", restarts_max=2)]) as group:
        crashes = []
        assert wait_until(lambda: crashes.extend(group.check()) or len(crashes) == 3, timeout_s_max=60)
        assert [one.restart_in_s for one in crashes] == [*limits.CHILD_RESTART_DELAYS_S[:2], None]
        assert group.pids() == {}


def test_a_group_stops_the_last_started_first(tmp_path):
    note = tmp_path / "order"

    def member(name):
        mark = tmp_path / f"{name}.up"
        code = (
            f"import signal, sys\n"
            f"def end(*_):\n    open({str(note)!r}, 'a').write({name!r}); sys.exit(0)\n"
            f"signal.signal(signal.SIGTERM, end)\nopen({str(mark)!r}, 'w').close()\n{SLEEP}"
        )
        return spec(tmp_path, code, name=name, ready=mark.exists)

    with ProcessGroup([member("a"), member("b"), member("c")]):
        pass
    assert note.read_text() == "cba"


def test_exits_are_described_in_words():
    assert (describe_exit(3), describe_exit(-9)) == ("exit code 3", "signal SIGKILL")
