"""A sandbox as an operator sets it up: certificates by `dip sandbox ca`, participants by `dip participants load`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.client import Identity
from tests.support.fact_interpreter import table

PARTITIONS = 3
START_S_MAX = 120


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Party:
    """A participant of the sandbox; `providers` may send for it."""

    id: str
    role: str | None
    providers: tuple[str, ...] = ()

    @property
    def api_key(self) -> str:
        return f"key-of-{self.id}-0123456789abcdef"


READER = Party("1400000011", "SDS", providers=("3900000011",))
OTHER_READER = Party("1400000012", "SDS")
HURRIED = Party("1400000013", "SDS")
"""Sends nothing else than what is to be refused for its rate."""
PROVIDER = Party("3900000011", None)
REGISTRAR = Party("2200000011", "REGS")
LIBRARIAN = Party("5500000011", "ISD")
SUPPLIERS = tuple(Party(f"23000000{number}", "SUP") for number in range(11, 46))
"""More than twice as many as there are statuses: one meets its status with messages or with status messages, not both."""
EVERYTHING = Party("2200000019", "*")
"""Holds every role that may send."""
SENDERS = (READER, OTHER_READER, HURRIED, PROVIDER, REGISTRAR, LIBRARIAN, EVERYTHING, SUPPLIERS[0])
EVERYBODY = (*SENDERS, *SUPPLIERS[1:])
"""Who sends nothing has no keys."""


@dataclass
class Process:
    """A `dip` process with its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def await_log(self, text: str) -> str:
        """Wait for a line with a text and return it."""
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            found = next((line for line in self.log.read_text().splitlines() if text in line), None)
            if found is not None:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} in the log:\n{self.log.read_text()[-4000:]}")

    @property
    def origin(self) -> str:
        return self.await_log("listening on ").rpartition("listening on ")[2].strip()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


@dataclass
class Site:
    """Addresses, keys, and how to start and call `dip`."""

    folder: Path
    bootstrap: str
    registry_url: str
    running: dict[str, Process] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        return self.folder / "ca"

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            **os.environ,
            "DIP_CONFIG": str(self.ca / "router.toml"),
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "SCHEMA_REGISTRY_URL": self.registry_url,
            "DIP_STATE_DIR": str(self.folder / "state"),
            "DIP_TOPIC_PARTITIONS": str(PARTITIONS),
            "DIP_BRIDGE_PORT": "0",
            "DIP_BRIDGE_HEALTH_PORT": "0",
            "DIP_WEBHOOK_NETWORKS_ALLOWED": "127.0.0.0/8",
            "DIP_RETRY_DELAYS_S": "0,0.2,0.3,0.5,1",
            **settings,
        }

    def dip(self, *arguments: str) -> str:
        """Run a command as an operator would, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.operate.main", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"dip {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def prepare(self) -> None:
        """Make the certificates of everybody who sends."""
        self.dip("sandbox", "ca", "init", str(self.ca), "--host", "127.0.0.1", "--host", "localhost")
        wanted = [(kind, party.id) for party in SENDERS for kind in ("signing", "tls-client")]
        wanted += [("tls-server", SUPPLIERS[0].id)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: self._issue(*one), wanted))

    def _issue(self, kind: str, owner: str) -> None:
        hosts = ("--host", "127.0.0.1") if kind == "tls-server" else ()
        self.dip("sandbox", "ca", "issue", str(self.ca), "--kind", kind, "--id", owner, *hosts)

    def load(self, webhooks: Callable[[Party], list[dict[str, object]]]) -> None:
        """Make everybody known to the router, each with the webhooks given."""
        rows = [
            {
                "id": party.id,
                "name": f"Party {party.id}",
                "roles": [{"role": role, "from": "2020-01-01"} for role in _roles(party)],
                "api_keys": [party.api_key],
                "certificates": self._certificates(party),
                "connection_providers": list(party.providers),
                "webhooks": webhooks(party),
            }
            for party in EVERYBODY
        ]
        file = self.folder / "participants.json"
        file.write_text(json.dumps(rows, indent=1))
        self.dip("participants", "load", str(file))

    def _certificates(self, party: Party) -> list[str]:
        path = self.ca / "participants" / party.id / "signing.pem"
        return [str(path)] if path.exists() else []

    def identity(self, party: Party, *, of: Party | None = None) -> Identity:
        """Return a party's identity; `of` is whose keys it shows, its own unless told."""
        shown = of or party
        return Identity.load(
            self.ca / "participants" / shown.id,
            authority=self.ca / "tls" / "ca.pem",
            dip_id=party.id,
            role=party.role or "SDS",
            api_key=shown.api_key,
            provider=None if of is None else of.id,
        )

    def start(
        self, name: str, *arguments: str, module: str = "pipeline.operate.main", **settings: str
    ) -> Process:
        """Start a process once; later calls return the one that runs."""
        known = self.running.get(name)
        if known is not None and known.process.poll() is None:
            return known
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment(**settings),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.running[name] = Process(process, log)
        return self.running[name]

    def close(self) -> None:
        for one in self.running.values():
            one.stop()


def _roles(party: Party) -> list[str]:
    if party.role == "*":
        return sorted({role for row in table("channels.tsv") for role in row["sender_roles"].split(",")})
    return [party.role] if party.role else []
