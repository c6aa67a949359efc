"""A run without a broker is a failure in CI and a loud skip elsewhere; never a quiet success."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS_STACK = (
    "tests/integration/localstack/test_registry_contract.py::test_every_version_must_read_every_other"
)


@pytest.fixture
def run(tmp_path, free_port):
    def run(ci):
        nowhere = f"http://127.0.0.1:{free_port()}"
        empty = {
            "DIP_CACHE_DIR": str(tmp_path / "cache"),
            "DIP_MAVEN_MIRROR": nowhere,
            "DIP_STACK_RUNG": "process",
        }
        kept = {k: v for k, v in os.environ.items() if k not in {"KAFKA_BOOTSTRAP", "SCHEMA_REGISTRY_URL"}}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", NEEDS_STACK]
        return subprocess.run(
            command,
            env={**kept, **empty, "CI": ci},
            capture_output=True,
            text=True,
            check=False,
            cwd=Path.cwd(),
            timeout=200,
        )

    return run


def test_in_ci_a_test_without_its_broker_fails(run):
    answer = run("true")
    assert answer.returncode == 1
    assert "CI=true makes that a failure" in answer.stdout
    assert "local stack: NONE" in answer.stdout


def test_elsewhere_it_is_skipped_with_the_reason(run):
    answer = run("")
    assert answer.returncode == 0
    assert "1 skipped" in answer.stdout
    assert "NO KAFKA" in answer.stdout
    assert "Check the network" in answer.stdout
