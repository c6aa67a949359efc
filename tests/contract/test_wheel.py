"""What is shipped is the wheel, so the wheel is what has to work: facts, schemas and commands are in it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from random import Random

import pytest

from pipeline.catalogue import load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.domain.identifiers import EventCode, InterfaceId

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout and unpack it far away from it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
        check=True,
    )
    (wheel,) = folder.glob("open_dip-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_what_the_code_reads(unpacked: Path) -> None:
    """A fact table that is not packaged is missed at the first start in production, and not before."""
    for table in (ROOT / "pipeline" / "catalogue").glob("*.tsv"):
        assert (unpacked / "pipeline" / "catalogue" / table.name).read_bytes() == table.read_bytes()
    for schema in (ROOT / "avro").rglob("*.avsc"):
        assert (unpacked / "pipeline" / "_avro" / schema.relative_to(ROOT / "avro")).is_file()
    pages = ROOT / "pipeline" / "console"
    for page in (*pages.rglob("*.html"), *pages.rglob("*.css")):
        assert (unpacked / page.relative_to(ROOT)).is_file()
    for lock in (ROOT / "pipeline" / "localstack").glob("*.lock"):
        assert (unpacked / "pipeline" / "localstack" / lock.name).is_file()
    assert not (unpacked / "tests").exists()


def test_the_wheel_validates_a_message_away_from_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """Nothing may be found only because the source tree is near."""
    body = sample(load_catalogue(), InterfaceId("IF-021"), EventCode("ActivePower"), Random(5))
    line = json.dumps({"interface": "IF-021", "event": "ActivePower", "message": body})
    found = subprocess.run(
        [sys.executable, "-P", "-m", "pipeline.operate.main", "validate", "-"],
        input=line,
        text=True,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        check=False,
    )
    assert json.loads(found.stdout)["valid"] is True, found.stderr
    assert found.returncode == 0
