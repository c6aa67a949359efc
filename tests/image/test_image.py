"""The image, built and run as hardened as in Kubernetes, by `make image`. Takes some minutes, and a container engine.

The base image comes from DIP_TEST_PYTHON_IMAGE where the engine cannot pull the one of the Dockerfile.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.localstack.ports import free_ports
from pipeline.localstack.registry import responds
from pipeline.localstack.waiting import wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(1_200)]

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/open-dip:tested"
HARD = (
    "--read-only", "--user", "10001:10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--tmpfs", "/tmp:mode=1777", "--network", "host",
)  # fmt: skip


def engine() -> str:
    found = shutil.which("podman") or shutil.which("docker")
    if found is None:
        pytest.skip("no container engine: the image was neither built nor run")
    return found


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([engine(), *command], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def image() -> str:
    base = os.environ.get("DIP_TEST_PYTHON_IMAGE")
    options = ["--build-arg", f"PYTHON_IMAGE={base}"] if base else []
    bundle = os.environ.get("PIP_CERT")
    options += ["--secret", f"id=ca,src={bundle}"] if bundle else []
    run("build", "--network", "host", *options, "--tag", IMAGE, str(ROOT))
    return IMAGE


@pytest.fixture
def started(image: str, stack: Any) -> Iterator[Any]:
    names: list[str] = []

    def start(*command: str, **environment: str) -> str:
        given = {"KAFKA_BOOTSTRAP": stack.bootstrap, "SCHEMA_REGISTRY_URL": stack.registry_url, **environment}
        options = [part for name, value in given.items() for part in ("--env", f"{name}={value}")]
        name = run("run", "--detach", *HARD, *options, image, *command).stdout.strip()
        names.append(name)
        return name

    yield start
    for name in names:
        run("rm", "--force", name, check=False)


def test_it_starts_as_nobody_on_a_file_system_it_cannot_write(image: str) -> None:
    assert run("run", "--rm", *HARD, image, "--version").stdout.startswith("dip, version ")
    shown = run("run", "--rm", *HARD, "--entrypoint", "id", image, "-u").stdout.strip()
    assert shown == "10001"
    refused = run("run", "--rm", *HARD, "--entrypoint", "touch", image, "/opt/dip/x", check=False)
    assert "Read-only file system" in refused.stderr


def test_it_holds_the_product_and_not_its_sources(image: str) -> None:
    found = run(
        "run",
        "--rm",
        *HARD,
        "--entrypoint",
        "sh",
        image,
        "-c",
        "ls -d /src /wheels /opt/dip/bin/pip*; command -v gcc; ls -A /var/lib/dip",
    ).stdout
    assert found == ""
    facts = json.loads(run("image", "inspect", image).stdout)[0]
    assert facts["Config"]["User"] == "10001:10001"
    assert facts["Size"] < 600_000_000


def test_bridge_and_router_become_ready_and_end_in_order(started: Any, prefix: str) -> None:
    bridge_port, bridge_health, router_health = free_ports(3)
    tool = started("topics", "create")
    assert run("wait", tool).stdout.strip() == "0"
    bridge = started(
        "bridge",
        DIP_BRIDGE_HOST="127.0.0.1",
        DIP_BRIDGE_PORT=str(bridge_port),
        DIP_BRIDGE_HEALTH_PORT=str(bridge_health),
        DIP_TRACES="true",  # the extra is in the image, and a collector that is away holds nothing up
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )
    router = started(
        *("worker", "router"),
        DIP_WORKER_HOST="127.0.0.1",
        DIP_WORKER_PORT=str(router_health),
        DIP_STATE_DIR="/tmp/dip",
        DIP_INSTANCE=prefix,
    )
    for name, port in ((bridge, bridge_health), (router, router_health)):
        url = f"http://127.0.0.1:{port}/readyz"
        assert wait_until(partial(responds, url), timeout_s_max=90), run("logs", name).stderr
    for name in (bridge, router):
        run("stop", "--time", "40", name)
        assert json.loads(run("inspect", name).stdout)[0]["State"]["ExitCode"] == 0


def test_a_wrong_setting_is_one_line(image: str) -> None:
    done = run("run", "--rm", *HARD, "--env", "DIP_BRIDGE_PORT=many", image, "bridge", check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "dip: DIP_BRIDGE_PORT='many': expected int"
