"""Puts the document together: channels and pairs from the catalogue, calls from the route table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pipeline.catalogue import Catalogue
from pipeline.catalogue.catalogue import Pair
from pipeline.catalogue.examples import example
from pipeline.domain.identifiers import InterfaceId
from pipeline.openapi.bodies import add_bodies, example_bodies
from pipeline.openapi.operations import Content, Operation, Parameter
from pipeline.openapi.schemas import Components, Schema, reference
from pipeline.openapi.texts import (
    ABOUT,
    ANSWER_TEXTS,
    RESPONSE_HEADERS,
    SECURITY_SCHEMES,
    SIGNATURE_HEADERS,
    TAGS,
)

_JSON: Final = "application/json"
_PROBLEM_JSON: Final = "application/problem+json"
_SHARED: Final = frozenset({Content.PROBLEM, Content.NOTHING, Content.STANDARD_RESPONSE, Content.TEXT})


def build_document(
    catalogue: Catalogue,
    operations: Sequence[Operation],
    webhooks: Mapping[str, Operation],
    *,
    version: str,
    server: str = "",
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; the same for the same arguments.

    A call whose path names a channel (`{id}`) or a pair and whose body is messages appears once per channel or
    pair, with the schemas and the examples of just that one.
    """
    writer = _Writer(catalogue)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        for one in writer.spelled_out(operation):
            paths.setdefault(one.path, {})[one.method.lower()] = writer.operation(one)
    hooks = {name: {"post": writer.operation(operation)} for name, operation in webhooks.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Open DIP",
            "version": version,
            "summary": "The open event router for half-hourly electricity settlement in Great Britain.",
            "description": f"{ABOUT}\n\nInterface facts: `{catalogue.fingerprint}`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server or "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": hooks,
        "components": {
            "schemas": dict(sorted(writer.components.schemas.items())),
            "parameters": {name: _parameter(one) for name, one in SIGNATURE_HEADERS.items()},
            "headers": RESPONSE_HEADERS,
            "responses": dict(sorted(writer.responses.items())),
            "examples": writer.examples,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelled:
    """A call with its path as the document lists it, and the pairs that its body may hold."""

    operation: Operation
    path: str
    pairs: tuple[Pair, ...] = ()
    interface: InterfaceId | None = None

    @property
    def method(self) -> str:
        return self.operation.method


class _Writer:
    """Writes operations and remembers the schemas and examples that they refer to."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.components = Components()
        self.responses: dict[str, Any] = {}
        self._messages = {pair: self.components.message(one.shape) for pair, one in catalogue.pairs.items()}
        add_bodies(self.components)
        self.examples: dict[str, Any] = {
            **{_example_name(pair): self._example(pair) for pair in catalogue.pairs},
            **{name: {"value": value} for name, value in example_bodies().items()},
        }

    def _example(self, pair: Pair) -> dict[str, Any]:
        interface, event = pair
        title = self._catalogue.channels[interface].short_name
        return {"summary": f"{title} [{event}]", "value": [example(self._catalogue, interface, event)]}

    def spelled_out(self, operation: Operation) -> Iterable[Spelled]:
        """Yield the call once per channel or pair where that says more, else as it is."""
        pairs = tuple(self._catalogue.pairs)
        match operation.body:
            case Content.MESSAGES if "{id}" in operation.path:
                for interface in self._catalogue.channels:
                    own = tuple(pair for pair in pairs if pair[0] == interface)
                    path = operation.path.replace("{id}", interface)
                    yield Spelled(operation=operation, path=path, pairs=own, interface=interface)
            case Content.PAYLOADS:
                for pair in pairs:
                    path = operation.path.replace("{interface}", pair[0]).replace("{event}", pair[1])
                    yield Spelled(operation=operation, path=path, pairs=(pair,), interface=pair[0])
            case _:
                yield Spelled(operation=operation, path=operation.path, pairs=pairs)

    def operation(self, one: Spelled | Operation) -> dict[str, Any]:
        """Write a call."""
        if isinstance(one, Operation):
            one = Spelled(operation=one, path="", pairs=tuple(self._catalogue.pairs))
        call = one.operation
        left = [parameter for parameter in call.parameters if _appears(parameter, one)]
        written: dict[str, Any] = {
            "operationId": _operation_id(one),
            "tags": [call.tag],
            "summary": self._summary(one),
            "parameters": [
                *map(_parameter, left),
                *(
                    [{"$ref": f"#/components/parameters/{n}"} for n in SIGNATURE_HEADERS]
                    if call.signed
                    else []
                ),
            ],
            "responses": {
                str(int(status)): self._answer(one, status, content)
                for status, content in sorted(call.answers.items())
            },
            "security": _security(call),
        }
        if call.text:
            written["description"] = call.text
        if call.body is not Content.NOTHING:
            written["requestBody"] = self._request_body(one)
        return written

    def _summary(self, one: Spelled) -> str:
        if one.interface is None:
            return one.operation.summary
        channel = self._catalogue.channels[one.interface]
        events = f" [{one.pairs[0][1]}]" if one.operation.body is Content.PAYLOADS else ""
        return f"{one.operation.summary}: {one.interface}{events} {channel.short_name}"

    def _request_body(self, one: Spelled) -> dict[str, Any]:
        call = one.operation
        media: dict[str, Any] = {"schema": self._schema(one, call.body, count_min=1)}
        if one.interface is not None:
            media["examples"] = {
                event: {"$ref": f"#/components/examples/{_example_name((interface, event))}"}
                for interface, event in one.pairs
            }
        elif call.body in self.examples:
            media["examples"] = {"one": {"$ref": f"#/components/examples/{call.body}"}}
        return {"required": call.body_required, "content": {_JSON: media}}

    def _answer(self, one: Spelled, status: int, content: Content) -> dict[str, Any]:
        names = list(one.operation.response_headers.get(status, ()))
        if status >= HTTPStatus.BAD_REQUEST and one.path:
            allow = ["Allow"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []
            names = list(dict.fromkeys([*names, "X-DIP-Help", *allow]))
        written: dict[str, Any] = {"description": _text(status, content)}
        if names:
            written["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        body = self._answer_body(one, status, content)
        written |= {"content": body} if body else {}
        if content not in _SHARED:
            return written
        # Every call has the same dozen refusals: written once, a fifth of the document is left.
        return self._shared(f"{int(status)}-{content.value}{'' if one.path else '-webhook'}", written)

    def _shared(self, name: str, answer: dict[str, Any]) -> dict[str, Any]:
        for candidate in (name, *(f"{name}-{number}" for number in range(2, 100))):
            if self.responses.setdefault(candidate, answer) == answer:
                return {"$ref": f"#/components/responses/{candidate}"}
        raise AssertionError(f"a hundred meanings of {name}")

    def _answer_body(self, one: Spelled, status: int, content: Content) -> dict[str, Any]:
        problem = {_PROBLEM_JSON: {"schema": reference("Problem")}}
        match content:
            case Content.NOTHING:
                return {}
            case Content.PROBLEM:
                return problem
            case Content.DOCUMENT:
                return {_JSON: {}, "application/yaml": {}, "text/html": {}}
            case _:
                own = {_JSON: {"schema": self._schema(one, content)}}
                return own | (problem if status >= HTTPStatus.BAD_REQUEST else {})

    def _schema(self, one: Spelled, content: Content, *, count_min: int = 0) -> Schema:
        """Write what a body holds. `count_min`: senders send something, an answer may find nothing."""
        bound = {"minItems": count_min} if count_min else {}
        match content:
            case Content.MESSAGES | Content.PAYLOADS:
                kinds = list(
                    {str(kind): kind for kind in map(self._messages.__getitem__, one.pairs)}.values()
                )
                return {"type": "array", **bound, "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}
            case Content.STATUSES:
                return {"type": "array", **bound, "items": reference("StandardResponseBodyType")}
            case Content.REQUEUE_STATUSES:
                return {"type": "array", "items": reference("RequeueStatus")}
            case Content.COMPANIES:
                return {"type": "array", "items": reference("CompanyRecord")}
            case Content.TEXT:
                return {"type": "string"}
            case _:
                return reference(content.value)


def _text(status: int, content: Content) -> str:
    if status == HTTPStatus.BAD_REQUEST and content is Content.STANDARD_RESPONSE:
        return "Refused: each message's Body has a code, and `help` says where and what."
    return ANSWER_TEXTS.get(status, HTTPStatus(status).phrase)


def _appears(parameter: Parameter, one: Spelled) -> bool:
    """Tell whether a parameter is left once the path is spelled out."""
    return parameter.place != "path" or not one.path or f"{{{parameter.name}}}" in one.path


def _parameter(one: Parameter) -> dict[str, Any]:
    required = {"required": True} if one.required or one.place == "path" else {}
    return {
        "name": one.name,
        "in": one.place,
        **required,
        "description": one.text,
        "schema": dict(one.schema),
    }


def _security(call: Operation) -> list[dict[str, list[str]]]:
    if not call.keyed:
        return []
    return [{"apiKey": [], "mutualTLS": []}] if call.signed else [{"apiKey": []}]


def _operation_id(one: Spelled) -> str:
    pair = one.pairs[0] if one.operation.body is Content.PAYLOADS else ()
    return ".".join([one.operation.name, *(pair or ([one.interface] if one.interface else []))])


def _example_name(pair: Pair) -> str:
    return "-".join(pair)
