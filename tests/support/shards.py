"""A worker that holds every partition, behind the bridge's real client: all of the way but the network and the engine."""

from dataclasses import dataclass, field

from agents.shards import Answering, Desk, OpenBook
from pipeline.adapters.shard_client import PATH, Sent, ShardClient
from pipeline.domain.shards import Owners
from pipeline.engine import Claim
from tests.support.bridge import FixedClock

SECRET = "a secret of the tests, long enough"
PARTITIONS = 4


@dataclass
class OneWorker:
    """Owns everything; `held` can be emptied, as at a rebalance."""

    books: tuple[OpenBook, ...]
    clock: FixedClock = field(default_factory=FixedClock)
    held: set[Claim] = field(default_factory=set)

    def __post_init__(self) -> None:
        desk = Desk(address="http://worker", token="one", secret=SECRET)
        self.answering = Answering(self, desk, self.clock, *self.books)
        groups = sorted({book.topic for book in self.books})
        self.held = {
            Claim(group=group, partition=number, epoch=1) for group in groups for number in range(PARTITIONS)
        }
        self._owners = Owners(
            owner for claim in self.held for owner in self.answering.owners(claim, self.clock.now())
        )

    def claims(self) -> set[Claim]:
        return self.held

    def current(self) -> Owners:
        return self._owners

    async def post(self, url: str, body: bytes, proof: str) -> Sent | None:
        assert url == f"http://worker{PATH}"
        return await self.answering.handle(body, proof)

    def client(self) -> ShardClient:
        return ShardClient(
            self, secret=SECRET, partitions=PARTITIONS, clock=self.clock, post=self.post, move_s_max=0.1
        )
