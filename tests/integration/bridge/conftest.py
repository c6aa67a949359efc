"""`dip bridge` as a real process on the real stack, with participants loaded by the real command."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.adapters.topics import ensure_topics
from pipeline.localstack import LocalStack
from pipeline.topics import topic_specs
from tests.support.bridge import OTHER, PROVIDER, SENDER, SUPPLIER, Party, certificate_of

PARTITIONS = 3
START_S_MAX = 90


def entry(party: Party) -> dict[str, object]:
    """Return a party as the participants file has it."""
    return {
        "id": party.id,
        "name": f"Party {party.id}",
        "roles": [{"role": party.role, "from": "2020-01-01"}] if party.role else [],
        "api_keys": [party.api_key],
        "certificates": [certificate_of(party.id).certificate_pem.decode()],
        "connection_providers": list(party.providers),
        "webhooks": [{"channel": "*", "callbackURL": "https://127.0.0.1:1/x"}],
    }


@dataclass
class Site:
    """Where the processes run: addresses, TLS files, and how to start `dip`."""

    environment: Mapping[str, str]
    folder: Path
    bootstrap: str
    authority: CertificateAuthority

    def dip(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a `dip` command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline.operate.main", *arguments],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@dataclass
class BridgeProcess:
    """One `dip bridge`."""

    process: subprocess.Popen[bytes]
    log: Path
    started: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self.started = psutil.Process(self.process.pid)

    def await_log(self, text: str, seconds: float = START_S_MAX) -> str:
        """Wait for a line with a text and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if text in line:
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} in the log:\n{self.log.read_text()}")

    @property
    def origin(self) -> str:
        return self.await_log("listening on ").rpartition("listening on ")[2]

    @property
    def health(self) -> str:
        return (
            self.await_log("health pages on ").rpartition("health pages on ")[2].removesuffix("/health/ready")
        )


@pytest.fixture(scope="session")
def site(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Prepare the stack: topics, TLS files, participants."""
    folder = tmp_path_factory.mktemp("bridge")
    authority = CertificateAuthority.create("TLS CA of the tests")
    authority.save(folder)
    certificate, key = authority.issue("bridge", hosts=["127.0.0.1", "localhost"]).write(folder, "server")
    ensure_topics({"bootstrap.servers": stack.bootstrap}, topic_specs(partitions=PARTITIONS))
    made = Site(
        environment={
            **os.environ,
            "KAFKA_BOOTSTRAP": stack.bootstrap,
            "SCHEMA_REGISTRY_URL": stack.registry_url,
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
            "DIP_BRIDGE_PORT": "0",
            "DIP_BRIDGE_HEALTH_PORT": "0",
            "DIP_TLS_CERTIFICATE": str(certificate),
            "DIP_TLS_KEY": str(key),
        },
        folder=folder,
        bootstrap=stack.bootstrap,
        authority=authority,
    )
    file = folder / "participants.json"
    file.write_text(json.dumps([entry(one) for one in (SENDER, OTHER, PROVIDER, SUPPLIER)], indent=1))
    loaded = made.dip("participants", "load", str(file), "--json")
    assert loaded.returncode == 0, loaded.stderr
    return made


@pytest.fixture
def start_bridge(site: Site, tmp_path: Path) -> Iterator[Callable[..., BridgeProcess]]:
    """Start bridges: `start_bridge(DIP_BODY_BYTES_MAX="...")`; whatever is left of them is ended."""
    running: list[BridgeProcess] = []

    def start(
        module: str = "pipeline.operate.main",
        *,
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> BridgeProcess:
        log = tmp_path / f"bridge-{len(running)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "bridge"],
                env={**(site.environment if environment is None else environment), **settings},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        running.append(BridgeProcess(process, log))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(20)
