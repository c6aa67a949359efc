"""Recipients: slow, failing and lying, and what arrived at them whatever they answered."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, NamedTuple

import orjson

from pipeline.delivery.ports import Post
from pipeline.domain.delivery import Answered, ErrorClass, Failed, Result
from pipeline.domain.identifiers import ParticipantId
from tests.simulation.engine.world import Process, World

CALL_S: Final = 10.0
"""How long the real client waits for an answer (`webhook_timeout_s`)."""
Conduct = Callable[[Post, Random], Result]


class Arrival(NamedTuple):
    """One copy as it came to an endpoint."""

    url: str
    delivery_id: str
    body: bytes


def _well(_post: Post, _dice: Random) -> Result:
    return Answered(status=201, allowed_rate="*")


def _failing(_post: Post, dice: Random) -> Result:
    return dice.choice(
        [
            Answered(status=429, retry_after="3"),
            Answered(status=503),
            Answered(status=410),
            Failed(error=ErrorClass.TIMEOUT, text="timeout"),
            Failed(error=ErrorClass.RESET, text="reset"),
            Failed(error=ErrorClass.CONNECT, text="nobody listens"),
        ]
    )


def _refusing(_post: Post, dice: Random) -> Result:
    return dice.choice([Answered(status=201), Answered(status=400), Answered(status=404)])


def _lying(post: Post, dice: Random) -> Result:
    """Say of each message something else than of the next: of some nothing, of some twice, of strangers, in any order."""
    names = [one.partition(">")[0] for one in post.delivery_ids]
    about = [
        *dice.choices(names, k=dice.randrange(len(names) + 2)),
        *dice.sample(["T-stranger"], dice.randrange(2)),
    ]
    said = [
        {
            "transactionID": dice.choice([name, name, None]),
            "senderUniqueReference": None,
            "message": dice.choice(["RCP0000 - taken", "RCP1022 - a finding", "RCP1021 - refused", "?"]),
            "help": None,
        }
        for name in about
    ]
    body = dice.choice([orjson.dumps({"messageArray": said}), b"<html>", b""])
    return Answered(status=dice.choice([201, 207, 207, 400]), body=body)


CONDUCTS: Final[Sequence[Conduct]] = (_well, _well, _failing, _refusing, _lying)


class Endpoints:
    """The endpoints of all recipients. They have dice of their own, so that a call more does not change the world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.arrived: list[Arrival] = []
        self.calls = 0
        self._dice = Random(f"endpoints {seed}")
        self._conduct: dict[ParticipantId, Conduct] = {}
        self._slow: set[ParticipantId] = set()

    def change(self, recipients: Sequence[ParticipantId], dice: Random) -> None:
        """Let every recipient behave some way from now on."""
        for one in recipients:
            self._conduct[one] = dice.choice(CONDUCTS)
        self._slow = {one for one in recipients if dice.random() < 0.2}

    def recover(self) -> None:
        """Let every recipient be well."""
        self._conduct.clear()
        self._slow.clear()

    def answer(self, post: Post) -> tuple[Result, bool, float]:
        """Decide what a call is answered, whether its copies arrive, and how long it takes."""
        self.calls += 1
        dice = self._dice
        result = self._conduct.get(post.recipient, _well)(post, dice)
        taken = isinstance(result, Answered) and 200 <= result.status < 300
        took_s = dice.random() * (8.0 if post.recipient in self._slow else 0.05)
        if isinstance(result, Failed) and result.error is ErrorClass.TIMEOUT:
            took_s = CALL_S
        lost = isinstance(result, Failed) and result.error is ErrorClass.CONNECT
        return result, taken or (not lost and dice.random() < 0.3), took_s

    def take(self, post: Post) -> None:
        """Note what arrived."""
        self.arrived += map(partial(Arrival, post.url), post.delivery_ids, post.bodies)


class SimWebhooks:
    """The calls of one process (implements `pipeline.delivery.ports.Webhooks`): a request that is out arrives without it."""

    def __init__(self, process: Process, endpoints: Endpoints) -> None:
        self._process = process
        self._endpoints = endpoints

    async def post(self, post: Post) -> Result:
        self._process.effect()
        result, arrives, took_s = self._endpoints.answer(post)
        if arrives:
            self._process.world.after(took_s / 2, partial(self._endpoints.take, post))
        await asyncio.sleep(took_s)
        self._process.effect()
        return result
