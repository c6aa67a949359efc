"""How each published status is brought about, and why some cannot be."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.client import Received
from tests.integration.conformance.calls import ask, half_sent, signed_by_another, talking, with_wrong_key
from tests.integration.conformance.examples import COMBINATION, EXAMPLES, Example
from tests.integration.conformance.messages import array, reading
from tests.integration.conformance.published import CHANNEL
from tests.integration.conformance.site import HURRIED, OTHER_READER, READER, Process, Site

SUBMIT = f"POST {CHANNEL}"
JOURNAL = frozenset(
    name for name in EXAMPLES if any(word in name for word in ("replay", "requeue", "deliveryStatus"))
)
"""Calls that are answered 501 by a bridge that may not ask workers."""


@dataclass(frozen=True)
class Stage:
    """Bridges of several kinds, each started when it is first wanted."""

    site: Site

    @property
    def main(self) -> Process:
        return self.site.start("main", "bridge")

    @property
    def tight(self) -> Process:
        """Takes little, and one request at a time."""
        return self.site.start("tight", "bridge", DIP_BODY_BYTES_MAX="20000", DIP_REQUESTS_OPEN_MAX="1")

    @property
    def rated(self) -> Process:
        """Takes a request every ten seconds from each."""
        rate = {"DIP_PARTICIPANT_REQUESTS_PER_S": "0.1", "DIP_RATE_BURST_S": "10"}
        return self.site.start("rated", "bridge", **rate)

    @property
    def troubled(self) -> Process:
        return self.site.start("troubled", "bridge", module="tests.integration.conformance.troubled_bridge")


Way = Callable[[Stage, Example], Awaitable[Received]]


async def plainly(stage: Stage, example: Example) -> Received:
    return await ask(stage.site, stage.main, example.call(), example.party)


async def with_nothing_to_delete(stage: Stage, example: Example) -> Received:
    """Configure first: what is deleted then is there."""
    configuration = EXAMPLES[
        f"POST {example.path}".replace(READER.id, "{recipient-id}").replace("IF-021", "{id}")
    ]
    made = await ask(stage.site, stage.main, configuration.call(), configuration.party)
    assert made.status == 201
    return await plainly(stage, example)


async def in_part(stage: Stage, example: Example) -> Received:
    """One message that is right and one that is not, with the header that asks for 207."""
    body = array(reading(READER), {"payload": {}})
    call = example.call(body=body, headers={"X-DIP-Partial-Accept": "true"})
    return await ask(stage.site, stage.main, call, example.party)


async def wrongly(stage: Stage, example: Example) -> Received:
    wrong = {"body": example.bad_body} if example.bad_body is not None else {"path": example.bad_path}
    return await ask(stage.site, stage.main, example.call(**wrong), example.party)


async def with_a_key_of_nobody(stage: Stage, example: Example) -> Received:
    author = with_wrong_key(stage.site.identity(example.party))
    return await ask(stage.site, stage.main, example.call(), example.party, author=author)


async def signed_by_somebody_else(stage: Stage, example: Example) -> Received:
    """The signature is good and its certificate known, but it is not the key's owner's."""
    identity, other = stage.site.identity(example.party), stage.site.identity(OTHER_READER)
    author = signed_by_another(identity, other)
    return await ask(stage.site, stage.main, example.call(), example.party, author=author)


async def nowhere(stage: Stage, example: Example) -> Received:
    """A channel that does not exist; below /statusmessage, a path that does not."""
    path = "/dip-channel/IF-999" if "dip-channel" in example.path else "/statusmessage/nowhere"
    return await ask(stage.site, stage.main, example.call(path=path), example.party)


async def of_nobody(stage: Stage, example: Example) -> Received:
    """Ask for a company that is not there; declare a role that no channel knows."""
    query = "?X-company-number=99999999"
    if example.method == "POST":
        query = COMBINATION.replace("X-DIP-role=SUP", "X-DIP-role=NONE")
    call = example.call(path=f"/companyDetails{query}")
    return await ask(stage.site, stage.main, call, example.party)


async def by_another_method(stage: Stage, example: Example) -> Received:
    received = await ask(stage.site, stage.main, example.call(method="PATCH"), example.party)
    assert received.headers["Allow"] == example.method
    return received


async def for_another_kind_of_answer(stage: Stage, example: Example) -> Received:
    call = example.call(headers={"Accept": "text/html"})
    return await ask(stage.site, stage.main, call, example.party)


async def slowly(stage: Stage, example: Example) -> Received:
    """Send one byte of the body and wait for what the bridge says."""
    async with half_sent(stage.site, stage.main, example.call(), example.party) as reader:
        return await _answer(reader)


async def _answer(reader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(status=int(head[0].split()[1]), headers=headers, content=content, tries=1, at_s=0)


async def with_too_much(stage: Stage, example: Example) -> Received:
    body = b"[" + b" " * 30_000 + b"]"
    return await ask(stage.site, stage.tight, example.call(body=body), example.party)


async def too_often(stage: Stage, example: Example) -> Received:
    for _ in range(20):
        received = await ask(stage.site, stage.rated, example.call(), HURRIED)
        if received.status == 429:
            assert int(received.headers["Retry-After"]) > 0
            break
    return received


async def with_a_fault_inside(stage: Stage, example: Example) -> Received:
    return await ask(stage.site, stage.troubled, example.call(), example.party)


async def while_it_is_busy(stage: Stage, example: Example) -> Received:
    """One request is open, and no second is taken."""
    other = EXAMPLES[SUBMIT]
    async with half_sent(stage.site, stage.tight, other.call(), OTHER_READER):
        received = await ask(stage.site, stage.tight, example.call(), example.party)
    assert int(received.headers["Retry-After"]) > 0
    return received


async def by_another_version_of_http(stage: Stage, example: Example) -> Received:
    """Nothing is known of who sends this: the line alone is refused."""
    text = f"{example.method} {example.path} HTTP/2.7\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
    async with talking(stage.site, stage.main, text, example.party) as reader:
        return await _answer(reader)


WAYS: dict[int, Way] = {
    200: plainly,
    201: plainly,
    204: with_nothing_to_delete,
    207: in_part,
    400: wrongly,
    401: with_a_key_of_nobody,
    403: signed_by_somebody_else,
    404: nowhere,
    405: by_another_method,
    406: for_another_kind_of_answer,
    408: slowly,
    413: with_too_much,
    429: too_often,
    500: with_a_fault_inside,
    503: while_it_is_busy,
    505: by_another_version_of_http,
}


def way(name: str, status: int) -> Way:
    if status == 404 and "companyDetails" in name:
        return of_nobody
    return WAYS[status]


def reason_against(name: str, status: int) -> str | None:
    """Return why a published status cannot be brought about, None where it can."""
    if status in {502, 504}:
        return "said by a gateway in front of the router, which has no upstream of its own"
    if name in JOURNAL and status in {200, 202, 204, 206}:
        return "needs workers to ask; without them 501, which has a test of its own"
    if status == 500 and name in {*JOURNAL, "POST /validate/{interface}/{event}"}:
        return "the call does nothing that could be made to fail from outside"
    return None
