"""Keep the Avro schemas of a release: `python tools/release_schemas.py VERSION`, once, when it is released.

tests/contract/test_schema_evolution.py holds the schemas of all later releases against them (docs/SCHEMAS.md).
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
RELEASED: Final = ROOT / "tests" / "contract" / "released_schemas"


def keep(version: str) -> list[Path]:
    """Copy the schemas; return the copies."""
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        sys.exit(f"release_schemas: {version} is no version; expected one as 0.2.0")
    folder = RELEASED / version
    if folder.exists():
        sys.exit(f"release_schemas: {version} is released; its schemas do not change any more")
    copies = []
    for source in sorted((ROOT / "avro").rglob("*.avsc")):
        copy = folder / source.relative_to(ROOT / "avro")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copyfile(source, copy)))
    return copies


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004  # the program and the version
        sys.exit(f"usage: python {sys.argv[0]} VERSION")
    for one in keep(sys.argv[1]):
        print(one.relative_to(ROOT))
