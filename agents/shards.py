"""A worker's answers to questions of the bridge: about partitions that it owns and has restored, and no others."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

import orjson

from pipeline import limits, topics
from pipeline.adapters.shard_client import PATH, PROOF_HEADER, Sent
from pipeline.codec import Codec
from pipeline.domain.shards import Book, Owner, prove, proved
from pipeline.engine import App, Claim, Output, Settlement
from pipeline.ports import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where bridges find this worker. `token` is of this process alone; `secret` is what bridges have, too."""

    address: str
    token: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """An answer that has to wait: too many such questions are being worked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """No answer now, for a reason that passes: asking again is right."""

    text: str


Reply = Callable[[int, Mapping[str, Any]], Awaitable[Any]]
"""Answers a question about a partition with JSON values, Busy or Later. KeyError, TypeError and ValueError mean that the
question is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBook:
    """A book that this worker answers from, and the topic by whose partitions it is kept."""

    name: Book
    topic: str
    reply: Reply


class Claims(Protocol):
    """The part of the engine's app that is asked who owns what."""

    def claims(self) -> set[Claim]: ...


class Answering:
    """Judges and answers questions. Whatever is not known to be right at the end is not said."""

    def __init__(self, app: Claims, desk: Desk, clock: Clock, *books: OpenBook) -> None:
        self._app = app
        self._desk = desk
        self._clock = clock
        self._secret = desk.secret.encode()
        self._books = {one.name: one for one in books}

    def token(self, claim: Claim) -> str:
        """Return what a question must name to be about this claim."""
        return f"{self._desk.token}-{claim.epoch}"

    def owners(self, claim: Claim, now: datetime) -> list[Owner]:
        """Return what is to be announced of a claim."""
        return [
            Owner(
                book=book.name,
                partition=claim.partition,
                address=self._desk.address,
                token=self.token(claim),
                at=now,
            )
            for book in self._books.values()
            if _covers(claim, book)
        ]

    async def handle(self, body: bytes, proof: str | None) -> Sent:
        """Answer a request as it came."""
        if not proved(self._secret, proof, b"question", body):
            return Sent(status=HTTPStatus.UNAUTHORIZED, proof=None, body=b"")
        status, said = await self._judged(orjson.loads(body))
        sealed = prove(self._secret, b"answer", (proof or "").encode(), b"%d" % status, said)
        return Sent(status=status, proof=sealed, body=said)

    async def _judged(self, asked: Mapping[str, Any]) -> tuple[int, bytes]:
        age_s = self._clock.now().timestamp() - asked["at_s"]
        if abs(age_s) > limits.SHARD_QUESTION_AGE_S_MAX:
            return HTTPStatus.BAD_REQUEST, b"the question is old; are the clocks right?"
        book = self._books.get(asked["book"])
        claim = None if book is None else self._claim(book, asked)
        if book is None or claim is None:
            return HTTPStatus.MISDIRECTED_REQUEST, b""
        try:
            value = await book.reply(claim.partition, asked["question"])
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a question that makes no sense here: %r", error)
            return HTTPStatus.BAD_REQUEST, b"not a question of this version"
        return _written(value, held=claim in self._app.claims())

    def _claim(self, book: OpenBook, asked: Mapping[str, Any]) -> Claim | None:
        """Return the claim that a question is about, if it is held: then its tables are restored."""
        for claim in self._app.claims():
            if (
                claim.partition == asked["partition"]
                and _covers(claim, book)
                and self.token(claim) == asked["token"]
            ):
                return claim
        return None


def _written(value: Any, *, held: bool) -> tuple[int, bytes]:
    if not held:  # it went while the answer was looked up
        return HTTPStatus.MISDIRECTED_REQUEST, b""
    if isinstance(value, Busy):
        return HTTPStatus.TOO_MANY_REQUESTS, b""
    if isinstance(value, Later):
        return HTTPStatus.SERVICE_UNAVAILABLE, value.text.encode()
    return HTTPStatus.OK, orjson.dumps(value)


def _covers(claim: Claim, book: OpenBook) -> bool:
    return book.topic in claim.group.split(_GROUP_SEPARATOR)


_GROUP_SEPARATOR: Final = "+"  # of engine.assignment.group_topics


def answer_questions(
    app: App, desk: Desk | None, *, codec: Codec, clock: Clock, books: tuple[OpenBook, ...]
) -> None:
    """Announce every claim of the app and answer questions about it; without a desk nobody can ask.

    The announcement is part of a transaction of the claim's owner, so a worker that lost the partition cannot
    announce it over its successor's.
    """
    if desk is None:
        return
    answering = Answering(app, desk, clock, *books)

    async def announce(claim: Claim) -> None:
        outputs = [
            Output(topic=topics.SHARDS, key=one.key, value=codec.encode_shard_owner(one))
            for one in answering.owners(claim, clock.now())
        ]
        if outputs:
            app.settle(Settlement(claim=claim, outputs=outputs))  # durable with the next round

    app.on_claimed(announce)

    @app.post_page(PATH)
    async def questions(web: Any, request: Any) -> Any:
        sent = await answering.handle(await request.read(), request.headers.get(PROOF_HEADER))
        headers = {PROOF_HEADER: sent.proof} if sent.proof else {}
        return web.bytes(sent.body, content_type="application/json", status=sent.status, headers=headers)
