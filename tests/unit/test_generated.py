"""Functions that the program writes can be read as any others."""

import inspect
import traceback

import pytest

from pipeline.codec import HOT, hot_reader, hot_writer
from pipeline.generated import Source


def made(title):
    source = Source({"LIMIT": 3})
    with source.block("def checked(value):"):
        with source.block("if value > LIMIT:"):
            source.add("raise ValueError(value)")
        source.add("return value")
    return source.function("checked", title)


def test_a_function_is_made_of_its_lines() -> None:
    assert made("a check")(3) == 3


def test_its_lines_can_be_looked_at_and_are_in_tracebacks() -> None:
    """Two of one title keep their own."""
    checked, _ = made("a check"), made("a check")
    assert inspect.getsource(checked).startswith("def checked(value):\n    if value > LIMIT:\n")
    with pytest.raises(ValueError, match="4") as caught:
        checked(4)
    assert "raise ValueError(value)" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", HOT)
def test_the_codecs_functions_can_be_shown(kind: type) -> None:
    """`tools/show_codec.py` prints them."""
    assert inspect.getsource(hot_reader(kind)).startswith("def read(data, at):\n")
    assert inspect.getsource(hot_writer(HOT[kind])).startswith("def write(value, start=b''):\n")
