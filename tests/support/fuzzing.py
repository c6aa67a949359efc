"""Asks a bridge what its document allows, and much that it does not, and notes every answer that it does not name.

Schemathesis makes the requests and judges the answers; here they are signed, and message bodies come also from
the examples, damaged: random text never gets past the first field.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from pipeline.catalogue.sample_values import dip_id
from pipeline.domain.identifiers import ParticipantId, Role
from tests.support.bridge import Party, catalogue, certificate_of
from tests.support.message_defects import defects, places

CASES_AT_A_TIME = 8
ANSWER_S_MAX = 60
BY_DESIGN = {501, 503}  # calls that ask workers, where none can be asked; a moment that is too busy
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND")
OF_THE_HEAD = [checks.status_code_conformance, checks.response_headers_conformance]
CHECKS = [*OF_THE_HEAD, checks.response_schema_conformance, checks.content_type_conformance]

load_all_checks()


def parties() -> list[Party]:
    """Return a sender for every example: one of each role that sends."""
    roles = sorted({role for channel in catalogue().channels.values() for role in channel.sender_roles})
    return [Party(id=ParticipantId(dip_id(role)), role=Role(role)) for role in roles]


def row_of(party: Party) -> dict[str, str]:
    """Return what a bridge has to know of a party."""
    return {
        "id": party.id,
        "role": str(party.role),
        "api_key": party.api_key,
        "fingerprint": certificate_of(party.id).fingerprint,
    }


class Signing(AuthBase):
    """Signs what is about to be sent; now and then it leaves what the fuzzer made, or spoils one header."""

    def __init__(self, party: Party, chance: random.Random) -> None:
        self._party = party
        self._chance = chance

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        headers = self._party.headers(
            str(request.url), body, now=datetime.now(UTC), method=str(request.method)
        )
        if not body or "Content-Type" in request.headers:
            del headers["Content-Type"]
        if self._chance.random() < 0.05:
            del headers[self._chance.choice(sorted(headers))]
        if self._chance.random() < 0.05:
            headers[self._chance.choice(sorted(headers))] = "x"
        request.headers.update(headers)
        return request


@dataclass
class Findings:
    """What a campaign saw: how often each status of each call, and every answer that is wrong."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def note(self, call: str, status: int) -> None:
        self.statuses.setdefault(call, Counter())[status] += 1

    @property
    def requests(self) -> int:
        return sum(counter.total() for counter in self.statuses.values())

    @property
    def all_statuses(self) -> set[int]:
        return {status for counter in self.statuses.values() for status in counter}


class Campaign:
    """One run against one bridge, from a seed; `seconds` bound what is repeated, not the first round."""

    def __init__(
        self,
        origin: str,
        document: dict[str, Any],
        *,
        number: int = 1,
        verify: str | bool = True,
        senders: Sequence[Party],
    ) -> None:
        self._origin = origin
        self._chance = random.Random(number)
        self._schema = schemathesis.openapi.from_dict(document)
        self._examples = {name: one["value"] for name, one in document["components"]["examples"].items()}
        self._senders = {party.id: party for party in senders}
        self._session = requests.Session()
        self._session.verify = verify
        self._session.trust_env = False
        self._session.mount(origin, HTTPAdapter(max_retries=2))  # an idle connection may be closed meanwhile
        self.findings = Findings()
        self._operations = [result.ok() for result in self._schema.get_all_operations()]

    def run(self, seconds: float) -> Findings:
        """Ask every call once with its example, then everything in turn until the time is over."""
        for operation in self._operations:
            self._examples_of(operation, damaged=False)
        deadline = time.monotonic() + seconds
        for work in cycle(self._works()):
            if time.monotonic() >= deadline or len(self.findings.wrong) > 20:
                return self.findings
            work()
        return self.findings

    def _works(self) -> list[Callable[[], None]]:
        """Return the turns: small calls by Schemathesis often, messages mostly damaged, odd requests between."""
        small = [one for one in self._operations if not _about_messages(one)]
        large = [one for one in self._operations if _about_messages(one)]
        self._chance.shuffle(large)
        works: list[Callable[[], None]] = []
        for index, one in enumerate(large):
            works.append(lambda one=one: self._examples_of(one, damaged=True))  # type: ignore[misc] # bound now
            if index % 4 == 0:
                other = small[(index // 4) % len(small)]
                works.append(lambda other=other: self._generated(other, CASES_AT_A_TIME))  # type: ignore[misc] # as above
            if index % 40 == 20:
                works.append(lambda one=one: self._generated(one, 1))  # type: ignore[misc] # as above
            if index % 8 == 5:
                works.append(self._odd)
        return works

    def _generated(self, operation: Any, count: int) -> None:
        """Let Schemathesis make requests that fit the document, and some that do not."""
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(self._chance.getrandbits(32))
            @settings(
                max_examples=count,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
                verbosity=Verbosity.quiet,
            )
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                self._ask(case)

            with suppress(Unsatisfiable):  # a call without parameters cannot be asked wrongly
                ask()

    def _examples_of(self, operation: Any, *, damaged: bool) -> None:
        for name, message in self._messages_of(operation):
            for body in self._damaged(message) if damaged else [[message]]:
                self._ask(operation.Case(body=body, media_type="application/json"), sender=message)
            if damaged and self._chance.random() < 0.9:
                return  # one event a turn
            assert name
        if not _about_messages(operation):
            self._generated(operation, 1)

    def _messages_of(self, operation: Any) -> list[tuple[str, Any]]:
        if not _about_messages(operation):
            return []
        parts = operation.path.split("/")[2:]
        found = [
            (name, value[0])
            for name, value in self._examples.items()
            if name == "-".join(parts)
            or (len(parts) == 1 and name.rpartition("-")[0] and name.startswith(parts[0] + "-"))
        ]
        self._chance.shuffle(found)
        return found

    def _damaged(self, message: Any) -> Iterator[Any]:
        place = self._chance.choice(list(places(message)))
        some = list(defects(message, place, self._chance))
        for _, body in self._chance.sample(some, min(3, len(some))):
            yield [body]
        yield [message, *(body for _, body in self._chance.sample(some, min(2, len(some))))]

    def _ask(self, case: Any, sender: Any = None) -> None:
        """Send a request as a participant does, and judge the answer by the document."""
        headers = (
            {} if self._chance.random() < 0.5 else {"Accept": "application/problem+json, application/json"}
        )
        party = self._party(sender)
        if "recipient-id" in (case.path_parameters or {}) and self._chance.random() < 0.6:
            case.path_parameters["recipient-id"] = party.id  # random ones are all somebody else's
        signing = Signing(party, self._chance)
        call = f"{case.operation.method.upper()} {case.operation.path}"
        try:
            response = case.call(
                base_url=self._origin,
                session=self._session,
                headers=headers,
                auth=signing,
                timeout=ANSWER_S_MAX,
                verify=self._session.verify,
            )
        except requests.exceptions.InvalidHeader:
            return  # a header that no client can send
        self.findings.note(call, response.status_code)
        self._judge_status(call, response.status_code)
        bare = response.status_code >= 400 and not response.content
        if bare and headers:
            self.findings.wrong.append(
                f"{call} -> {response.status_code}: no problem, though it was asked for"
            )
        # The wire protocol has no body there, and a document cannot say "only for who asks for it".
        wanted = OF_THE_HEAD if bare else CHECKS
        try:
            case.validate_response(response, checks=wanted)
        except (Failure, FailureGroup) as failure:
            causes = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
            for cause in causes:
                self.findings.wrong.append(
                    f"{call} -> {response.status_code}: {cause} {response.content[:300]!r}"
                )

    def _odd(self) -> None:
        """Send what no document describes: methods, paths and headers at random. Nothing may fail inside."""
        template = self._chance.choice(self._operations).path
        path = "".join(
            self._chance.choice("/%{}.;~?#é\u00000aA")
            if self._chance.random() < 0.1
            else char.swapcase()
            if self._chance.random() < 0.2
            else char
            for char in template
        )
        method = self._chance.choice(METHODS)
        headers = {
            name: self._chance.choice(
                ["", "x", "gzip", "*/*", "text/html", "0", "1e9", "\xff" * 10, "a" * 4_000]
            )
            for name in self._chance.sample(
                [
                    "Accept",
                    "Content-Type",
                    "Content-Encoding",
                    "X-API-Key",
                    "X-DIP-Signature",
                    "X-Odd",
                    "Range",
                    "Cookie",
                ],
                3,
            )
        }
        body = self._chance.choice([b"", b"[", b"{}", b"[{}]", b"null", b"\x00\xff" * 40, b"[" * 2_000])
        call = f"{method} (odd)"
        try:
            response = self._session.request(
                method,
                self._origin + path.encode("ascii", "ignore").decode().replace("\x00", ""),
                headers=headers,
                data=body,
                auth=Signing(self._party(None), self._chance),
                timeout=ANSWER_S_MAX,
                allow_redirects=False,
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader):
            return
        self.findings.note(call, response.status_code)
        self._judge_status(f"{call} {path}", response.status_code)

    def _judge_status(self, call: str, status: int) -> None:
        if status >= 500 and status not in BY_DESIGN:
            self.findings.wrong.append(f"{call} -> {status}: a server error")

    def _party(self, message: Any) -> Party:
        try:
            named = message["payload"]["CommonBlock"]["S1"]["senderDIPID"]
        except (KeyError, TypeError):
            named = ""
        return self._senders.get(named) or self._chance.choice(list(self._senders.values()))


def _about_messages(operation: Any) -> bool:
    parts = operation.path.split("/")
    return parts[1] == "validate" or (parts[1] == "dip-channel" and len(parts) == 3)
