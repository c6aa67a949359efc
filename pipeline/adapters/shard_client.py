"""Asks the worker that owns a partition, and takes no other's word for it.

One question costs one POST between processes of the router. Question and answer are proved by a secret that both
sides have, the answer over its question: a stranger on a port that was ours yesterday can neither ask nor answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from pipeline import limits
from pipeline.domain.shards import Book, Owner, partition_of, prove, proved
from pipeline.ports import Clock, OwnerSource

log = logging.getLogger(__name__)

PATH: Final = "/questions/"
PROOF_HEADER: Final = "X-DIP-Proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came back over the network."""

    status: int
    proof: str | None
    body: bytes


Post = Callable[[str, bytes, str], Awaitable[Sent | None]]
"""Send a body with its proof to a URL; None: nobody answered there in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The owner's answer, as JSON values."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Nobody can answer now; asking again later is right. `reason` is for the log."""

    reason: str
    retry_after_s: int = limits.UNAVAILABLE_RETRY_AFTER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class TooBusy:
    """The owner has as many such questions as it takes at a time."""

    retry_after_s: int = limits.BUSY_RETRY_AFTER_S


Answer = Answered | Unanswered | TooBusy


class ShardClient:
    """Implements `pipeline.ingress.outside.Shards`. `partitions` is the count of every keyed topic."""

    def __init__(
        self,
        owners: OwnerSource,
        *,
        secret: str,
        partitions: int,
        clock: Clock,
        post: Post | None = None,
        move_s_max: float = limits.SHARD_MOVE_S_MAX,
    ) -> None:
        self._owners = owners
        self._secret = secret.encode()
        self._clock = clock
        self._network = Network()
        self._post = post or self._network.post
        self._move_s_max = move_s_max
        self.partitions = partitions

    async def ask(self, book: Book, key: bytes, question: Mapping[str, Any]) -> Answer:
        """Ask the owner of a key's partition."""
        return await self.ask_partition(book, partition_of(key, self.partitions), question)

    async def ask_all(self, book: Book, question: Mapping[str, Any]) -> list[Any] | Unanswered | TooBusy:
        """Ask the owners of all partitions; their answers in order, or why one is missing: a part is no answer."""
        found = await asyncio.gather(
            *(self.ask_partition(book, number, question) for number in range(self.partitions))
        )
        values = []
        for one in found:
            if not isinstance(one, Answered):
                return one
            values.append(one.value)
        return values

    async def ask_partition(self, book: Book, partition: int, question: Mapping[str, Any]) -> Answer:
        """Ask who was announced last, and once more where it has moved meanwhile."""
        owner = self._owners.current().find(book, partition)
        why = "nobody was announced"
        for _ in range(limits.SHARD_TRIES_MAX):
            if owner is None:
                break
            answer = await self._ask_owner(owner, question)
            if not isinstance(answer, str):
                return answer
            why, owner = f"{owner.address}: {answer}", await self._successor(owner)
        reason = f"{book}[{partition}]: {why}"
        log.info("a question is unanswered: %s", reason)
        return Unanswered(reason=reason)

    async def close(self) -> None:
        """Let connections go."""
        await self._network.close()

    async def _ask_owner(self, owner: Owner, question: Mapping[str, Any]) -> Answer | str:
        """Return the answer, or in words why this is not the owner (any more)."""
        body = orjson.dumps(
            {
                "book": owner.book,
                "partition": owner.partition,
                "token": owner.token,
                "at_s": self._clock.now().timestamp(),
                "question": question,
            }
        )
        proof = prove(self._secret, b"question", body)
        sent = await self._post(owner.address + PATH, body, proof)
        if sent is None:
            return "no answer in time"
        if not proved(self._secret, sent.proof, b"answer", proof.encode(), b"%d" % sent.status, sent.body):
            return (
                f"status {sent.status} without proof of the secret; is DIP_SHARD_SECRET the same everywhere?"
            )
        match sent.status:
            case HTTPStatus.OK:
                return Answered(value=orjson.loads(sent.body))
            case HTTPStatus.TOO_MANY_REQUESTS:
                return TooBusy()
            case HTTPStatus.MISDIRECTED_REQUEST:
                return "the partition is no longer there"
            case status:
                return Unanswered(
                    reason=f"{owner.address}: status {status}: {sent.body[:200].decode(errors='replace')}"
                )

    async def _successor(self, owner: Owner) -> Owner | None:
        """Return who took a partition over from an owner; None where that is not known soon."""
        for _ in range(int(self._move_s_max / limits.SHARD_LOOK_S)):
            found = self._owners.current().find(owner.book, owner.partition)
            if found != owner:
                return found
            await asyncio.sleep(limits.SHARD_LOOK_S)
        return None


class Network:
    """POSTs over HTTP, on connections that are kept. Made before the loop runs, so the session comes with the first."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, proof: str) -> Sent | None:
        """Send a body; None for whatever is no answer."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=limits.SHARD_ANSWER_S_MAX, connect=limits.SHARD_CONNECT_S_MAX
            )
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        headers = {PROOF_HEADER: proof, "Content-Type": "application/json"}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                content = await response.content.read(limits.SHARD_ANSWER_BYTES_MAX + 1)
                while len(content) <= limits.SHARD_ANSWER_BYTES_MAX and (
                    more := await response.content.read(limits.SHARD_ANSWER_BYTES_MAX)
                ):
                    content += more
                if len(content) > limits.SHARD_ANSWER_BYTES_MAX:
                    return None
                return Sent(status=response.status, proof=response.headers.get(PROOF_HEADER), body=content)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def close(self) -> None:
        """Close the session, if there is one."""
        if self._session is not None:
            await self._session.close()
