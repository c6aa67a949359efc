"""Questions between bridge and workers: the owner answers, nobody else does, and a doubt is no answer."""

import asyncio
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.shards import Answering, Busy, Desk, OpenBook
from pipeline import limits
from pipeline.adapters.shard_client import (
    PATH,
    Answer,
    Answered,
    Sent,
    ShardClient,
    TooBusy,
    Unanswered,
)
from pipeline.domain.shards import APPOINTMENTS, JOURNAL, Owner, Owners, partition_of, prove, proved
from pipeline.engine import Claim

NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
SECRET = "a secret of the tests, long enough"
TOPIC, GROUP = "dip.validated", "dip.registration+dip.validated"


@dataclass
class Clock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class Picture:
    """What the bridge knows of `dip.shards`; a test brings it up to date."""

    owners: dict[int, Owner] = field(default_factory=dict)

    def current(self) -> Owners:
        return Owners(self.owners.values())


@dataclass
class Worker:
    """A worker with claims that come and go; it answers with its name and the epoch of the claim it looked at."""

    name: str
    held: dict[int, Claim] = field(default_factory=dict)
    secret: str = SECRET
    clock: Clock = field(default_factory=Clock)
    pauses: int = 0
    busy: bool = False
    asked: int = 0

    def __post_init__(self) -> None:
        desk = Desk(address=f"http://{self.name}", token=self.name, secret=self.secret)
        book = OpenBook(name=APPOINTMENTS, topic=TOPIC, reply=self._reply)
        self.answering = Answering(self, desk, self.clock, book)

    def claims(self) -> set[Claim]:
        return set(self.held.values())

    def claim(self, partition: int, epoch: int) -> Owner:
        """Take a partition over; return what is announced of it."""
        self.held[partition] = Claim(group=GROUP, partition=partition, epoch=epoch)
        (owner,) = self.answering.owners(self.held[partition], NOW)
        return owner

    async def _reply(self, partition: int, question: Any) -> Any:
        self.asked += 1
        if self.busy:
            return Busy()
        epoch = self.held[partition].epoch
        for _ in range(self.pauses):
            await asyncio.sleep(0)
        return {"by": self.name, "epoch": epoch, "said": question["say"]}


@dataclass
class Net:
    """Carries questions to workers by their addresses, perhaps not at all."""

    workers: dict[str, Worker]
    down: set[str] = field(default_factory=set)
    forge: Sent | None = None

    async def post(self, url: str, body: bytes, proof: str) -> Sent | None:
        name = url.removeprefix("http://").removesuffix(PATH)
        await asyncio.sleep(0)
        if name in self.down or name not in self.workers:
            return None
        if self.forge is not None:
            return self.forge
        return await self.workers[name].answering.handle(body, proof)


def client(picture: Picture, net: Net, *, secret: str = SECRET, clock: Clock | None = None) -> ShardClient:
    return ShardClient(
        picture, secret=secret, partitions=4, clock=clock or Clock(), post=net.post, move_s_max=0.2
    )


def world(*names: str) -> tuple[Picture, Net]:
    return Picture(), Net({name: Worker(name) for name in names})


async def ask(one: ShardClient, partition: int = 0) -> Answer:
    return await one.ask_partition(APPOINTMENTS, partition, {"say": "hello"})


async def test_the_owner_of_the_keys_partition_answers():
    picture, net = world("a", "b")
    for number in range(4):
        picture.owners[number] = net.workers["ab"[number % 2]].claim(number, epoch=number + 1)
    for key in (b"2000056535971", b"1900012374324", b"1312345678907"):
        answer = await client(picture, net).ask(APPOINTMENTS, key, {"say": "x"})
        place = partition_of(key, 4)
        assert answer == Answered(value={"by": "ab"[place % 2], "epoch": place + 1, "said": "x"})


async def test_a_partition_that_moved_is_asked_of_its_new_owner_once_that_is_known():
    picture, net = world("a", "b")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    del net.workers["a"].held[0]
    successor = net.workers["b"].claim(0, epoch=1)
    asked = asyncio.create_task(ask(client(picture, net)))
    await asyncio.sleep(0.05)
    picture.owners[0] = successor
    assert await asked == Answered(value={"by": "b", "epoch": 1, "said": "hello"})


@pytest.mark.parametrize("gone", [True, False])
async def test_while_nobody_has_taken_over_there_is_no_answer(*, gone: bool):
    """Both a worker that is away and one that says "not mine" end in "ask again"."""
    picture, net = world("a")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    net.workers["a"].held.clear()
    net.down = {"a"} if gone else set()
    assert isinstance(await ask(client(picture, net)), Unanswered)


async def test_a_partition_that_is_being_restored_again_is_not_answered_for():
    """Same worker, same address, a new claim: what was announced of the old one does not count."""
    picture, net = world("a")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    net.workers["a"].claim(0, epoch=2)
    assert isinstance(await ask(client(picture, net)), Unanswered)
    assert net.workers["a"].asked == 0


async def test_an_answer_that_was_looked_up_while_the_claim_went_is_not_given():
    picture, net = world("a")
    net.workers["a"].pauses = 5
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    asked = asyncio.create_task(ask(client(picture, net)))
    while not net.workers["a"].asked:
        await asyncio.sleep(0)
    net.workers["a"].held.clear()
    assert isinstance(await asked, Unanswered)


async def test_a_busy_owner_is_not_asked_again():
    picture, net = world("a")
    net.workers["a"].busy = True
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    assert isinstance(await ask(client(picture, net)), TooBusy)
    assert net.workers["a"].asked == 1


async def test_nobody_was_ever_announced():
    picture, net = world()
    assert isinstance(await ask(client(picture, net)), Unanswered)


async def test_all_or_nothing_of_a_question_to_everybody():
    picture, net = world("a", "b")
    for number in range(4):
        picture.owners[number] = net.workers["ab"[number % 2]].claim(number, epoch=1)
    asking = client(picture, net)
    answers = await asking.ask_all(APPOINTMENTS, {"say": "x"})
    assert isinstance(answers, list)
    assert [one["by"] for one in answers] == ["a", "b", "a", "b"]
    net.down = {"b"}
    assert isinstance(await asking.ask_all(APPOINTMENTS, {"say": "x"}), Unanswered)


# --- strangers ---


async def test_who_has_another_secret_is_not_answered():
    picture, net = world("a")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    assert isinstance(await ask(client(picture, net, secret="another secret altogether")), Unanswered)
    assert net.workers["a"].asked == 0


async def test_a_stranger_on_a_port_that_was_ours_is_not_believed():
    picture, net = world("a")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    net.forge = Sent(status=200, proof=prove(b"guessed", b"answer"), body=b'{"by":"stranger"}')
    assert isinstance(await ask(client(picture, net)), Unanswered)


async def test_an_answer_to_another_question_is_not_believed():
    """A proof is over question and answer: an old answer, caught on the way, is none to this question."""
    picture, net = world("a")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    asking = client(picture, net)
    kept: list[Sent] = []

    async def tap(url: str, body: bytes, proof: str) -> Sent | None:
        sent = await net.workers["a"].answering.handle(body, proof)
        kept.append(sent)
        return kept[0]

    asking._post = tap
    assert isinstance(await asking.ask_partition(APPOINTMENTS, 0, {"say": "first"}), Answered)
    assert isinstance(await asking.ask_partition(APPOINTMENTS, 0, {"say": "second"}), Unanswered)


@pytest.mark.parametrize(
    "late_s", [-limits.SHARD_QUESTION_AGE_S_MAX - 1, limits.SHARD_QUESTION_AGE_S_MAX + 1]
)
async def test_a_question_of_another_time_is_not_answered(late_s: float):
    picture, net = world("a")
    picture.owners[0] = net.workers["a"].claim(0, epoch=1)
    clock = Clock(NOW + timedelta(seconds=late_s))
    assert isinstance(await ask(client(picture, net, clock=clock)), Unanswered)
    assert net.workers["a"].asked == 0


@pytest.mark.parametrize("proof", [None, "", "0" * 64, "ä"])
async def test_without_proof_nothing_is_even_parsed(proof: str | None):
    sent = await Worker("a").answering.handle(b"not json", proof)
    assert (sent.status, sent.body) == (HTTPStatus.UNAUTHORIZED, b"")


async def test_a_question_that_makes_no_sense_ends_neither_worker_nor_bridge():
    """Bridge and worker of different versions meet in every rolling upgrade."""
    worker = Worker("a")
    owner = worker.claim(0, epoch=1)
    body = orjson.dumps(
        {"book": owner.book, "partition": 0, "token": owner.token, "at_s": NOW.timestamp(), "question": {}}
    )
    sent = await worker.answering.handle(body, prove(SECRET.encode(), b"question", body))
    assert sent.status == HTTPStatus.BAD_REQUEST
    picture = Picture({0: replace(owner, book=JOURNAL)})
    assert isinstance(
        await client(picture, Net({"a": worker})).ask_partition(JOURNAL, 0, {"say": "x"}), Unanswered
    )


# --- all of it together ---


@given(seed=st.integers(0, 2**32))
def test_whatever_moves_when_an_answer_is_that_of_an_owner_at_the_time(seed: int):
    """Partitions move, pictures lag, workers answer slowly: each answer is by who held the partition meanwhile."""
    asyncio.run(_rebalancing(random.Random(seed)))


async def _rebalancing(rng: random.Random) -> None:
    picture, net = world("a", "b", "c")
    for worker in net.workers.values():
        worker.pauses = rng.randrange(4)
    held: list[tuple[str, int]] = []  # who held partition 0, one after the other
    asking = client(picture, net)

    async def move() -> None:
        for epoch in range(1, 8):
            for worker in net.workers.values():
                worker.held.pop(0, None)
            name = rng.choice("abc")
            held.append((name, epoch))
            announced = net.workers[name].claim(0, epoch)
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(0)
            if rng.random() < 0.8:
                picture.owners[0] = announced
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(0)

    moving = asyncio.create_task(move())
    while not moving.done():
        first = max(len(held) - 1, 0)
        answer = await asking._ask_owner(owner, {"say": "x"}) if (owner := picture.owners.get(0)) else None
        if isinstance(answer, Answered):
            assert (answer.value["by"], answer.value["epoch"]) in held[first:]
        await asyncio.sleep(0)
    await moving


# --- the pure parts ---


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_those_of_javas_producer(key: bytes, hashed: int):
    """The published known answers of Kafka's own test of murmur2."""
    assert partition_of(key, 2**31) == hashed & 0x7FFFFFFF


@given(parts=st.lists(st.binary(max_size=5), max_size=4), cut=st.integers(0, 5))
def test_a_proof_is_of_these_parts_and_no_others(parts: list[bytes], cut: int):
    proof = prove(b"secret", *parts)
    assert proved(b"secret", proof, *parts)
    assert not proved(b"other", proof, *parts)
    assert not proved(b"secret", proof, *parts, b"")
    joined = b"".join(parts)
    other = [joined[:cut], joined[cut:]]
    assert proved(b"secret", proof, *other) == (other == parts)
