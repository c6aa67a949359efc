"""Fetch promtool, which judges and tests alert rules, or Prometheus itself, without root: from PATH, or out of the distribution's package.

`python tools/fetch_promtool.py` prints where it is. On Debian and Ubuntu `apt-get` downloads the package `prometheus` with
lists and cache in a folder of our own, and the program is taken out of it; nothing is installed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from fetch_helm import Unavailable, cache

_FETCH_S_MAX = 300


def fetch(name: str = "promtool") -> Path:
    """Return the program: promtool or prometheus. Raises Unavailable."""
    found = shutil.which(name)
    if found:
        return Path(found)
    folder = cache() / "tools"
    program = folder / name
    if not program.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise Unavailable(f"{name} is not on the PATH, and there is no apt-get to fetch it with")
        folder.mkdir(parents=True, exist_ok=True)
        _download(folder / "apt")
        _take_out(folder / "apt", program)
        shutil.rmtree(folder / "apt", ignore_errors=True)
    return program


def _download(folder: Path) -> None:
    for one in ("lists/partial", "cache/archives/partial", "state"):
        (folder / one).mkdir(parents=True, exist_ok=True)
    where = (
        f"Dir::State={folder / 'state'}",
        f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache={folder / 'cache'}",
        "APT::Sandbox::User=",  # no other user may read the folder
    )
    options = [part for one in where for part in ("-o", one)]
    _run(["apt-get", "-qq", *options, "update"], folder)
    (folder / "state" / "status").touch()
    _run(["apt-get", "-qq", *options, "download", "prometheus"], folder)


def _take_out(folder: Path, program: Path) -> None:
    (package,) = folder.glob("prometheus_*.deb")
    _run(["dpkg-deb", "--extract", str(package), str(folder / "unpacked")], folder)
    (folder / "unpacked" / "usr" / "bin" / program.name).replace(program)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_FETCH_S_MAX,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} did not end within {_FETCH_S_MAX} s") from None
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:2])}: {(done.stderr or done.stdout).strip()[-300:]}")


if __name__ == "__main__":
    try:
        print(fetch())
    except Unavailable as reason:
        sys.exit(f"fetch_promtool: {reason}")
