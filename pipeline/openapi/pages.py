"""The document as pages for people: all calls and channels on one, each channel with its fields on its own."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from pipeline.catalogue import Catalogue, Channel
from pipeline.catalogue.catalogue import Pair
from pipeline.catalogue.examples import example
from pipeline.catalogue.explanation import kind
from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape
from pipeline.openapi.html_text import code, row, table, whole

_ELEMENTS_SHOWN_MAX: Final = 2  # of a list in an example: the third period looks like the second
_ABOUT_ALL: Final = (
    "Submit messages by POST to the channel's path. All of it is signed, except where a call says otherwise."
    " Names may have any letter case; values may not. A missing field and null are two things."
)


def index_page(document: Mapping[str, Any], catalogue: Catalogue) -> str:
    """Return the page of all channels and calls."""
    channels = "".join(_channel_row(channel, catalogue) for channel in catalogue.channels.values())
    heads = ("Interface", "Name", "Sent by", "Received by", "Events")
    body = (
        f"<header><h1>{escape(document['info']['title'])}</h1>"
        f'<p class="soft">{escape(document["info"]["summary"])} Version {escape(document["info"]["version"])}.</p>'
        '<p><a href="openapi.json">openapi.json</a> · <a href="openapi.yaml">openapi.yaml</a> (OpenAPI 3.1)</p></header>'
        f'<main id="main"><p>{_ABOUT_ALL}</p><h2>Interfaces</h2>'
        '<label for="find">Find by interface, name, event, role, block or field</label>'
        '<input id="find" type="search" autocomplete="off" aria-describedby="found">'
        '<p id="found" class="soft" role="status"></p>'
        f"{table('Channels and their events', heads, [channels])}"
        f"<h2>Calls</h2>{''.join(_calls(document))}"
        f"<h2>What the router sends to webhooks</h2>{''.join(_hooks(document))}</main>"
    )
    return whole("Open DIP: interfaces and calls", body, searched=True)


def channel_page(catalogue: Catalogue, channel: Channel) -> str:
    """Return the page of one channel: who, and for each event its fields and an example."""
    name = channel.interface
    facts = "".join(
        [
            row("Submit", code(f"POST /dip-channel/{name}")),
            row("Try without sending", code(f"POST /validate/{name}/{{event}}")),
            row("Delivered as", escape(channel.publication)),
            row("Sent by", escape(", ".join(sorted(channel.sender_roles)))),
            row("Received by", escape(", ".join(sorted(channel.receiver_roles)))),
            row("Meter point", escape(_meter_point(channel))),
        ]
    )
    contents = "".join(f'<li><a href="#{event}">{event}</a></li>' for event in channel.events)
    events = "".join(_event(catalogue, (name, event)) for event in channel.events)
    body = (
        f'<nav><a href="../docs">All interfaces</a></nav><main id="main">'
        f"<h1>{name} {escape(channel.short_name)}</h1>"
        f"{table('The channel', (), [facts])}<h2>Events</h2><ul>{contents}</ul>"
        f"<p>The router writes D0, and in A0 the secondary and the always recipients: senders leave them out"
        f" or empty.</p>{events}</main>"
    )
    return whole(f"{name} {channel.short_name}", body)


def _meter_point(channel: Channel) -> str:
    if channel.m_block is None:
        return "none: the channel is not addressed by meter point"
    return f"{channel.m_block}.{channel.mpan_name}"


def _channel_row(channel: Channel, catalogue: Catalogue) -> str:
    name = channel.interface
    words = {name, channel.short_name, channel.publication, *channel.sender_roles, *channel.receiver_roles}
    for event in channel.events:
        words |= {event, *_names(catalogue.pair(name, event).shape.root)}
    find = escape(" ".join(sorted({word.lower() for word in words})), quote=True)
    return row(
        f'<a href="docs/{name}">{name}</a>',
        escape(channel.short_name),
        escape(", ".join(sorted(channel.sender_roles))),
        escape(", ".join(sorted(channel.receiver_roles))),
        ", ".join(f'<a href="docs/{name}#{event}">{event}</a>' for event in channel.events),
        attributes=f' data-find="{find}"',
    )


def _names(shape: Shape) -> Iterator[str]:
    match shape:
        case Record():
            for name, member in shape.members.items():
                yield name
                yield from _names(member.shape)
        case Listing():
            yield from _names(shape.element)
        case Scalar():
            return


def _event(catalogue: Catalogue, pair: Pair) -> str:
    fields = _rows(catalogue.pair(*pair).shape.root.members["payload"].shape, "")
    shown = json.dumps([_shortened(example(catalogue, *pair))], indent=1, ensure_ascii=False)
    heads = ("Field", "Needed", "Content")
    return (
        f'<section id="{pair[1]}"><h2>[{pair[1]}]</h2>{table(f"Fields below payload of [{pair[1]}]", heads, fields)}'
        f"<h3>Example</h3><p>Made up. Lists show {_ELEMENTS_SHOWN_MAX} elements;"
        f" {code(f'dip example {pair[0]} {pair[1]}')} prints all of it.</p>"
        f'<pre tabindex="0">{escape(shown, quote=False)}</pre></section>'
    )


def _rows(shape: Shape, path: str) -> Iterator[str]:
    """Yield a row for every field, depth first; `[]` is every element of a list."""
    match shape:
        case Record():
            for name, member in shape.members.items():
                below = f"{path}.{name}" if path else name
                yield row(code(below), "yes" if member.required else "no", escape(kind(member.shape)))
                yield from _rows(member.shape, below)
        case Listing(element=Scalar() as element):
            yield row(code(f"{path}[]"), "", escape(kind(element)))
        case Listing():
            yield from _rows(shape.element, f"{path}[]")
        case Scalar():
            return


def _shortened(value: Any) -> Any:
    match value:
        case dict():
            return {name: _shortened(part) for name, part in value.items()}
        case list():
            return [_shortened(part) for part in value[:_ELEMENTS_SHOWN_MAX]]
        case _:
            return value


def _calls(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield each call once: of those that the document spells out per channel, the first stands for all."""
    seen = set()
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            name = call["operationId"].partition(".")[0]
            if name not in seen:
                seen.add(name)
                yield _call(document, method, _generic(path, call), call)


def _generic(path: str, call: Mapping[str, Any]) -> str:
    for part, stand_in in zip(call["operationId"].split(".")[1:], ("{interface}", "{event}"), strict=False):
        path = path.replace(part, stand_in)
    return path


def _hooks(document: Mapping[str, Any]) -> Iterator[str]:
    for hook in document["webhooks"].values():
        yield _call(document, "post", "{callbackURL}", hook["post"])


def _call(document: Mapping[str, Any], method: str, path: str, call: Mapping[str, Any]) -> str:
    parameters = [_resolved(document, one) for one in call["parameters"]]
    given = [
        row(code(one["name"]), one["in"], "yes" if one.get("required") else "no", escape(one["description"]))
        for one in parameters
    ]
    answers = [
        row(status, escape(_resolved(document, one)["description"]))
        for status, one in call["responses"].items()
    ]
    summary = call["summary"].partition(": ")[0]
    asked = table("What is given", ("Name", "In", "Needed", "Meaning"), given) if given else ""
    return (
        f'<details><summary><span class="verb">{method.upper()}</span> {code(path)} {escape(summary)}</summary><div>'
        f"<p>{escape(call.get('description', ''))}</p>{asked}"
        f"{table('What is answered', ('Status', 'Meaning'), answers)}</div></details>"
    )


def _resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = document
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    resolved: Mapping[str, Any] = found
    return resolved
