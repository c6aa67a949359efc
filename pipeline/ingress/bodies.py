"""Reads the small JSON bodies of calls by the published tables; field names in any letter case."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pipeline.catalogue.casing import canonical
from pipeline.catalogue.explanation import explain
from pipeline.catalogue.facts import load_items
from pipeline.catalogue.json_text import Unreadable
from pipeline.catalogue.shapes import Record, load_blocks
from pipeline.domain.rejections import Rejection
from pipeline.ingress.slicing import read_message_text
from pipeline.intake import rejection_of, unreadable
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX


@cache
def shape_of(block: str) -> Record:
    """Return the shape of a block of the published document, as `api:WebhookConfig`."""
    return load_blocks(load_items())[block]


def read_object(content: bytes, block: str) -> Mapping[str, Any] | tuple[Rejection, ...]:
    """Return the object with the published names, or everything that is wrong with it."""
    text = read_message_text(content)
    if isinstance(text, Unreadable):
        return (unreadable(text),)
    return fitted(text.value, block)


def fitted(value: object, block: str) -> Mapping[str, Any] | tuple[Rejection, ...]:
    """Return a value with the published names, or everything that is wrong with it."""
    shape = shape_of(block)
    named = canonical(value, shape)
    problems = named.clashes or tuple(explain(named.message, shape))
    if problems or not isinstance(named.message, Mapping):
        return tuple(map(rejection_of, problems[:PROBLEMS_PER_MESSAGE_MAX]))
    return named.message
