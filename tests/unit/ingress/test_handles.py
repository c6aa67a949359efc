"""A thousand slow clients must not take the last file handle of a process that never asked for more."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import logging, resource, sys
from pipeline.adapters.handles import allow_handles
logging.basicConfig(level="WARNING")
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow_handles(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed", "warned"),
    [(128, 512, 256, 256, False), (128, 512, 1_000, 512, True), (300, 512, 256, 300, False)],
)
def test_the_soft_limit_is_raised_as_far_as_the_hard_one_lets_it(
    soft: int,
    hard: int,
    wanted: int,
    allowed: int,
    warned: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= hard
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(wanted)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert run.stdout.split() == [str(allowed), str(allowed), str(hard)]
    assert ("raise its hard limit to 1000" in run.stderr) is warned
