"""Fetch a headless Chromium out of the npm package `@sparticuz/chromium` (MIT; Chromium is BSD), with what it needs to run.

`python tools/fetch_browser.py` prints where it is. Needs npm, and the node that the Python package `playwright` carries to
unpack Brotli; nothing is installed. Playwright's own browsers come from elsewhere than a package registry.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fetch_helm import Unavailable, cache

PACKAGE: Final = "@sparticuz/chromium@153.0.0"
SHA256: Final = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"
AXE: Final = "axe-core@4.14.1"
AXE_SHA256: Final = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
_PARTS: Final = ("chromium", "al2023.tar", "swiftshader.tar", "fonts.tar")
_UNPACK: Final = (
    "const z=require('zlib'),f=require('fs');"
    "f.writeFileSync(process.argv[2],z.brotliDecompressSync(f.readFileSync(process.argv[1])))"
)
_FETCH_S_MAX: Final = 600
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Browser:
    """The program, and the environment that lets it find its libraries and fonts."""

    program: Path
    environment: dict[str, str]


def fetch() -> Browser:
    """Return the browser, fetched if it is not there yet. Raises Unavailable."""
    folder = cache() / "tools" / f"chromium-{SHA256[:12]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as work:
            _unpack(_packed(PACKAGE, SHA256, Path(work)), folder, Path(work))
        # The package's own configuration names directories of its platform; without a font Chromium ends.
        (folder / "fonts.conf").write_text(
            _FONTS.format(fonts=folder / "fonts", cache=folder / "fonts-cache")
        )
        (folder / "complete").touch()
    environment = {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_FILE": str(folder / "fonts.conf")}
    return Browser(folder / "chromium", environment)


def axe() -> str:
    """Return the text of axe-core, which judges a page's accessibility. Raises Unavailable."""
    kept = cache() / "tools" / f"axe-{AXE_SHA256[:12]}.js"
    if not kept.exists():
        with (
            tempfile.TemporaryDirectory() as work,
            tarfile.open(_packed(AXE, AXE_SHA256, Path(work))) as packed,
        ):
            member = packed.extractfile("package/axe.min.js")
            assert member is not None, "the layout of this pinned package is known"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(member.read())
    return kept.read_text(encoding="utf-8")


def _packed(package: str, sha256: str, work: Path) -> Path:
    """Return the registry's archive of a package, held against its checksum."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable(f"there is no npm to fetch {package} with")
    _run([npm, "pack", "--silent", "--pack-destination", str(work), package], f"npm pack {package}")
    (archive,) = (
        one for one in work.glob("*.tgz") if package.rsplit("@", 1)[0].rpartition("/")[2] in one.name
    )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise Unavailable(f"{package} is not the one that was approved: {found}")
    return archive


def _unpack(archive: Path, folder: Path, work: Path) -> None:
    node = _node()
    with tarfile.open(archive) as packed:
        for part in _PARTS:
            packed.extract(f"package/bin/{part}.br", work, filter="data")
            _run(
                [node, "-e", _UNPACK, str(work / f"package/bin/{part}.br"), str(work / part)],
                f"unpacking {part}",
            )
    shutil.move(work / "chromium", folder / "chromium")
    (folder / "chromium").chmod(0o755)
    for part, into in (("al2023.tar", "."), ("swiftshader.tar", "."), ("fonts.tar", "fonts")):
        with tarfile.open(work / part) as packed:
            packed.extractall(folder / into, filter="data")


def _node() -> str:
    try:
        import playwright
    except ImportError:
        raise Unavailable(
            "the Python package playwright is not installed: `make browser` installs it"
        ) from None
    return str(Path(playwright.__file__).parent / "driver" / "node")


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FETCH_S_MAX)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what} did not end within {_FETCH_S_MAX} s") from None
    if done.returncode:
        raise Unavailable(f"{what}: {(done.stderr or done.stdout).strip()[-300:]}")


if __name__ == "__main__":
    try:
        print(fetch().program)
    except Unavailable as reason:
        sys.exit(f"fetch_browser: {reason}")
