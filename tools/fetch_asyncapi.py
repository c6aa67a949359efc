"""Fetch the JSON schema of AsyncAPI 3.0.0 out of the npm package `@asyncapi/specs` (Apache-2.0); needs npm, installs nothing."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from fetch_helm import Unavailable, cache

PACKAGE: Final = "@asyncapi/specs@6.11.1"
SHA256: Final = "abe96881dbfaad495ccbb6bd8d3fb43ca18a13b9d7564849ccb66f39d5e5b20f"
_MEMBER: Final = "package/schemas/3.0.0-without-$id.json"


def fetch() -> Path:
    """Return the schema's file, fetched if it is not there yet. Raises Unavailable."""
    kept = cache() / "tools" / "asyncapi-3.0.0.json"
    if not (kept.exists() and hashlib.sha256(kept.read_bytes()).hexdigest() == SHA256):
        content = _download()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise Unavailable(f"the schema of {PACKAGE} is not the one that was approved")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)
    return kept


def _download() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("there is no npm to fetch the schema of AsyncAPI with")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable(f"npm pack {PACKAGE}: {done.stderr.strip()[-300:]}")
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            member = packed.extractfile(_MEMBER)
            assert member is not None, "the layout of this pinned package is known"
            return member.read()


if __name__ == "__main__":
    try:
        print(fetch())
    except Unavailable as reason:
        sys.exit(f"fetch_asyncapi: {reason}")
