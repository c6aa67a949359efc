"""JSON Pointers (RFC 6901) from the parts of a place."""

from collections.abc import Iterable


def pointer(place: Iterable[str | int]) -> str:
    """Write a place as a JSON Pointer: `/payload/CommonBlock`; the whole message is the empty text."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)
