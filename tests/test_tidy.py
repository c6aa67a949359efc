"""Rules of the house that a linter cannot see (docs/STYLE.md). Each names what to do instead."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.domain.rejections import TEXTS, Code

ROOT = Path(__file__).parents[1]
ROOMS = ("pipeline", "agents", "tables")
MODULE_LINES_MAX = 360  # 300 is where we start to worry
TABLE_LINES_MAX = {"pipeline/limits.py": 600}  # every bound is in this one file: it is looked up, not read
FUNCTION_LINES_MAX = 60  # 50 is where we start to worry


def sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield every Python file of some folders with its syntax tree."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of a chain of names, else an empty text."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


CLOCKS = {"datetime.now", "datetime.datetime.now", "datetime.utcnow", "date.today", "time.time"}
CLOCK_PLACES = (
    "pipeline/adapters/",
    "pipeline/engine/",
    "pipeline/localstack/",
    "pipeline/simulator/",
    "pipeline/operate/",
)


def test_only_the_outer_rooms_read_the_clock() -> None:
    """Rules and stages get their time as an argument, or a test could not choose it."""
    found = [
        f"{path}:{node.lineno} {dotted(node.func)}()"
        for path, tree in sources(*ROOMS)
        if not str(path).startswith(CLOCK_PLACES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) in CLOCKS
    ]
    assert not found, "take a Clock instead (pipeline/ports.py)"


def test_only_the_settings_read_the_environment() -> None:
    """A process that reads its environment in two places cannot say how it is configured."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources(*ROOMS)
        if str(path) != "pipeline/settings.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and dotted(node) in {"os.environ", "os.getenv"}
    ]
    assert not found, "add a field to pipeline/settings.py instead"


def test_tests_use_fakes_and_never_patch() -> None:
    """A test that has to patch has found a hidden dependency: pass it in."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and dotted(node) in {"mock.patch", "monkeypatch.setattr", "mocker.patch", "unittest.mock.patch"}
    ]
    assert not found


def test_nobody_asks_an_admin_client_what_a_group_has_read() -> None:
    """librdkafka ends the process where the answer is an error (docs/adr/0363)."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in sources(*ROOMS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "list_consumer_group_offsets"
    ]
    assert not found, "ask a consumer with the group's name, as adapters/group_lags.py does"


def test_modules_and_functions_stay_small_enough_to_read() -> None:
    """What grows past this wants to become two rooms, not one with a longer corridor."""
    found = []
    for path, tree in sources(*ROOMS):
        lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
        if lines > TABLE_LINES_MAX.get(str(path), MODULE_LINES_MAX):
            found.append(f"{path}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    found.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    assert not found


def test_avro_is_no_package() -> None:
    """An `avro/__init__.py` would hide Apache's package of that name."""
    assert not list((ROOT / "avro").rglob("__init__.py"))


def test_no_package_below_tests() -> None:
    """`tests/agents/__init__.py` would make `agents` mean the tests."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_room_is_a_typed_package() -> None:
    """A namespace folder loses to any installed package of its name."""
    for room in ROOMS:
        assert (ROOT / room / "__init__.py").is_file()
        assert (ROOT / room / "py.typed").is_file()


def test_every_exception_to_a_rule_has_its_reason() -> None:
    """`# noqa: CODE` and `# type: ignore[code]` are followed by why."""
    found = []
    for path, _ in sources(*ROOMS):
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            for mark in ("# noqa", "# type: ignore"):
                if mark in line:
                    rest = line.split(mark, 1)[1]
                    if "#" not in rest and " - " not in rest:
                        found.append(f"{path}:{number}: {line.strip()}")
    assert not found


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_text_and_is_documented(code: Code) -> None:
    """Participants look codes up: the page and the enumeration say the same."""
    page = (ROOT / "docs" / "REJECTIONS.md").read_text(encoding="utf-8")
    assert f"| {code.value} | {TEXTS[code]} |" in page


def test_nothing_committed_names_this_machine() -> None:
    """A path or a host of one machine means nothing on another."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    found = []
    for name in filter(None, tracked):
        if Path(name) == Path("tests/test_tidy.py") or not (ROOT / name).is_file():
            continue
        text = (ROOT / name).read_text(encoding="utf-8", errors="ignore")
        found += [
            f"{name}: {needle}" for needle in ("/work/main", "/work/shared", "/root/") if needle in text
        ]
    assert not found
