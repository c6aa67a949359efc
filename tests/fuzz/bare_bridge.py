"""A bridge as a process of its own, without Kafka: what it is given is confirmed and forgotten.

It reads its participants from standard input and prints its address; it ends when standard input does.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.adapters.producer import Outgoing, Publication, Published
from pipeline.domain.api_keys import kept
from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from tests.support.bridge import Recorder, open_world

RATES = {
    name: 1e9
    for of in ("participant", "total")
    for name in (f"{of}_requests_per_s", f"{of}_messages_per_s", f"{of}_bytes_per_s")
}
"""A fuzzer is a noisy sender: what the door does about those has its own tests."""


class Forgetful(Recorder):
    """Confirms everything and keeps nothing."""

    async def publish(self, records: Sequence[Outgoing]) -> Publication:
        return Published()


def participant(row: dict[str, str]) -> Participant:
    since = datetime(2020, 1, 1, tzinfo=UTC)
    return Participant(
        id=ParticipantId(row["id"]),
        name=f"Party {row['id']}",
        roles=(RoleGrant(role=Role(row["role"]), valid_from=since),),
        api_keys=(kept(row["api_key"], b"salt of the tests"),),
        certificates=frozenset({row["fingerprint"]}),
    )


async def main() -> None:
    rows = json.loads(sys.stdin.readline())
    world = await open_world(
        publisher=Forgetful(),
        participants=Participants([participant(row) for row in rows]),
        now=datetime.now(UTC),
        clock_skew_s=86_400.0,  # the clock of the tests stands still
        webhook_http_allowed=True,
        **RATES,
    )
    print(world.origin, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await world.close()


if __name__ == "__main__":
    asyncio.run(main())
