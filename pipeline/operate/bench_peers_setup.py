"""What the peers of `dip bench peers` need beyond `make setup`: packages in a venv of their own, jars, a class file."""

import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import limits
from pipeline.errors import RouterError
from pipeline.localstack import Cache
from pipeline.localstack.java import JAVA_ENVIRONMENT, java_binary, streams_class_path

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / "benchmarks" / "peers"
GROUP: Final = "peers"
"""The dependency group of pyproject.toml. Its packages want other versions of ours, hence the venv."""
_JAVA_LEVEL: Final = "21"


class PeerMissing(RouterError):
    """What a peer needs could not be fetched or compiled. The text ends with what the tool said; `--only` leaves it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One contender. `share` is the part of the messages that it gets, where it is much slower than the others."""

    name: str
    guarantee: str
    program: str
    share: float = 1.0

    @property
    def exactly_once(self) -> bool:
        return self.guarantee == ONCE


ONCE: Final = "exactly once"
LEAST: Final = "at least once"
PEERS: Final = (
    Peer(name="loop", guarantee=LEAST, program="run_loop.py"),
    Peer(name="loop-tx", guarantee=ONCE, program="run_loop.py"),
    Peer(name="engine", guarantee=ONCE, program="run_engine.py"),
    Peer(name="faust", guarantee=LEAST, program="run_stock.py", share=0.2),
    Peer(name="quix", guarantee=LEAST, program="run_quix.py", share=0.5),
    Peer(name="quix-tx", guarantee=ONCE, program="run_quix.py", share=0.5),
    Peer(name="streams", guarantee=LEAST, program="Peers.java"),
    Peer(name="streams-tx", guarantee=ONCE, program="Peers.java"),
)
YARDSTICK: Final = {LEAST: "loop", ONCE: "loop-tx"}

Command = Callable[[str], list[str]]
"""From a job in JSON to what is run."""


def commands(programs: frozenset[str], cache: Cache, *, say: Callable[[str], None]) -> Mapping[str, Command]:
    """Return how each program is run, with everything it needs in place. Raises PeerMissing or FetchFailed."""
    made: dict[str, Command] = {}
    for program in sorted(programs):
        if program == "Peers.java":
            made[program] = _java(cache, say)
        else:
            python = _quix_python(cache, say) if program == "run_quix.py" else Path(sys.executable)
            made[program] = _python(python, PROGRAMS / program)
    return made


def _python(python: Path, program: Path) -> Command:
    return lambda job: [str(python), str(program), job]


def _quix_python(cache: Cache, say: Callable[[str], None]) -> Path:
    """Return the Python of a venv that has the group's packages in these versions, made when it is first asked for."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"][GROUP]
    home = cache.directory / "peers" / "-".join(one.replace("==", "-") for one in wanted)
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        say(f"installing {', '.join(wanted)} into a venv of its own (once)")
        venv.create(home, clear=True)
        _tool([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet",
               "--disable-pip-version-check", "--group", f"{ROOT / 'pyproject.toml'}:{GROUP}"], None)  # fmt: skip
        ready.touch()
    return python


def _java(cache: Cache, say: Callable[[str], None]) -> Command:
    """Return how the Java program is run; it is compiled each time, which takes two seconds."""
    say("Kafka Streams: fetching (once) and compiling")
    path, classes = streams_class_path(cache), cache.directory / "peers" / "classes"
    java = str(java_binary())
    _tool([java, "-cp", path, "org.eclipse.jdt.internal.compiler.batch.Main", "-source", _JAVA_LEVEL, "-target",
           _JAVA_LEVEL, "-proc:none", "-d", str(classes), str(PROGRAMS / "Peers.java")], JAVA_ENVIRONMENT)  # fmt: skip
    logs = f"-Dlog4j2.configurationFile={PROGRAMS / 'log4j2.properties'}"
    return lambda job: [java, "-Xmx512m", logs, "-cp", f"{classes}:{path}", "Peers", job]


def _tool(command: list[str], environment: Mapping[str, str] | None) -> None:
    done = subprocess.run(  # noqa: S603  # our own command
        command, env=environment, capture_output=True, text=True, timeout=limits.PEERS_SETUP_S_MAX, check=False
    )  # fmt: skip
    if done.returncode:
        raise PeerMissing(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-2000:]}")
