"""Cutting an array into its messages: the bytes stay as they were, whatever they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.catalogue.json_text import Parsed, Unreadable
from pipeline.ingress.slicing import NoArray, Sliced, Slicer, TooMuch, read_message_text

SLICER = Slicer(50)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
SPACES = st.text(" \t\r\n", max_size=3)


@given(
    items=st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=20),
    before=SPACES,
    after=SPACES,
)
def test_the_pieces_are_the_bytes_between_the_commas(
    items: list[tuple[Any, bool]], before: str, after: str
) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only, indent=1) for value, ascii_only in items]
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError:  # a lone surrogate cannot be sent as UTF-8 at all
        return
    body = f"{before}[{after}".encode() + f"{before},{after}".encode().join(encoded) + f"{after}]".encode()
    sliced = SLICER(body)
    assert isinstance(sliced, Sliced | NoArray)
    if isinstance(sliced, NoArray):
        assert any("\\ud" in text.lower() for text in texts)  # an escaped lone surrogate
    else:
        assert list(sliced.messages) == encoded


@given(body=st.binary(max_size=200) | st.text('[]{},:"\\ 1tfn', max_size=60).map(str.encode))
def test_any_bytes_are_cut_or_refused_but_never_crash(body: bytes) -> None:
    outcome = SLICER(body)
    if not isinstance(outcome, Sliced):
        assert outcome.reason
        return
    for raw in outcome.messages:
        assert isinstance(read_message_text(raw), Parsed | Unreadable)


def test_both_ways_to_cut_agree_on_the_bound() -> None:
    few = Slicer(3)
    long = b'"' + b"," * (limits.SLICE_COMMAS_MAX + 1) + b'"'  # commas enough for the bounded way
    for filler in (b"1", long):
        assert isinstance(few(b"[" + b",".join([filler] * 3) + b"]"), Sliced)
        assert isinstance(few(b"[" + b",".join([filler] * 4) + b"]"), TooMuch)
        assert isinstance(few(b"[]"), NoArray)


def test_a_message_at_its_bound_is_taken_and_one_byte_more_is_not() -> None:
    text = b'"' + b"x" * (limits.MESSAGE_BYTES_MAX - 2) + b'"'
    assert isinstance(SLICER(b"[" + text + b"]"), Sliced)
    assert isinstance(SLICER(b"[" + text[:-1] + b'x"]'), TooMuch)


@pytest.mark.parametrize("depth", [limits.JSON_DEPTH_MAX, limits.JSON_DEPTH_MAX + 1])
@pytest.mark.parametrize("text", ['"x"', '"]["', '"\\"{"'])
def test_nesting_is_counted_the_same_with_brackets_in_texts(depth: int, text: str) -> None:
    """The quick way only knows brackets; the exact way must take over where texts hold some."""
    raw = ('{"a":' * depth + text + "}" * depth).encode()
    assert isinstance(read_message_text(raw), Parsed) == (depth <= limits.JSON_DEPTH_MAX)


def test_open_brackets_around_bytes_that_are_no_text_are_unreadable() -> None:
    """Brackets that do not peel lead to the exact way, which must not stumble over what is no UTF-8."""
    assert isinstance(read_message_text(b'{"a":"]\xed"}'), Unreadable)
