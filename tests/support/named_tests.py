"""Which tests a file has, for pages that name some."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def found_in(path: str) -> frozenset[str]:
    """Return the names of a file's tests, without importing it: some need a broker."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(one.name for one in functions if one.name.startswith("test_"))
