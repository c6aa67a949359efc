"""The console on real Kafka, beside workers with work: its six pages say what is, and an order reaches a lane."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from html import unescape

import pytest

from pipeline import topics
from pipeline.adapters import histories
from pipeline.domain.envelope import Copy
from pipeline.domain.routing import Slot
from tests.integration.delivery.rig import DIP, Rig
from tests.support.builders import history, holds
from tests.support.console_rig import PASSWORD, Person, Seen
from tests.support.webhooks import WebhookServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

SECRET = "a secret of this test's workers and console"
MPAN = "2000000000019"
HOLDER = "2300000042"


@pytest.fixture
def console(rig: Rig, served: list[Copy], free_port: Callable[[], int]) -> Iterator[str]:
    """Start `dip console` as an operator does, beside workers with work; give its address."""
    assert served
    port = free_port()
    environment = rig.environment(shard_secret=SECRET, console_port=str(port))
    made = subprocess.run(
        [DIP, "console", "user", "add", "ann", "--role", "operator", "--password-stdin"],
        env=environment,
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    with (rig.folder / "worker-console.log").open("wb") as log:
        process = subprocess.Popen([DIP, "console"], env=environment, stdout=log, stderr=log)
    rig.wait_for(lambda: "the console is at" in rig.log() or process.poll() is not None, "the console serves")
    assert process.poll() is None, rig.log()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    assert process.wait(30) == 0, "it ends in order"


@pytest.fixture
async def ann(console: str) -> AsyncIterator[Person]:
    """Log an operator in."""
    person = Person(console, "dip-console")
    assert (await person.login("ann")).status == 303
    yield person
    await person.close()


@pytest.fixture
def served(rig: Rig, server: WebhookServer) -> list[Copy]:
    """Let workers deliver some copies, and meet a record that is none."""
    who, other = rig.names(2)
    rig.register(who, other)
    rig.start("journal", shard_secret=SECRET)
    rig.start(shard_secret=SECRET)
    copies = rig.send((who, other), 5)
    rig.send_raw(topics.OUTBOUND, key=who.encode(), value=b"not a copy")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    held = history(holds(Slot.SUPPLIER, HOLDER, since), recorded_at=since, source="load-of-a-test")
    rig.send_raw(topics.APPOINTMENTS_CHANGELOG, key=MPAN.encode(), value=histories.encode(held))
    rig.wait_for(lambda: len(server.taken(who)) == len(server.taken(other)) == 5, "both are served")
    return copies


async def shows(ann: Person, path: str, *words: str, within_s: float = 60) -> str:
    """Return a page once it says all of these words: what it tells of comes by Kafka, a little later."""
    page: list[Seen] = []

    async def told() -> bool:
        page[:] = [await ann.get(path)]
        return page[0].status == 200 and all(word in unescape(page[0].text) for word in words)

    await until(told, within_s, lambda: f"{path} does not say {words}:\n{page[0].status} {page[0].text}")
    return unescape(page[0].text)


async def until(true: Callable[[], Awaitable[bool]], within_s: float, otherwise: Callable[[], str]) -> None:
    end = asyncio.get_running_loop().time() + within_s
    while not await true():
        assert asyncio.get_running_loop().time() < end, otherwise()
        await asyncio.sleep(0.3)


async def test_its_pages_tell_what_is_on_kafka_and_an_order_reaches_the_lane(
    rig: Rig, server: WebhookServer, served: list[Copy], ann: Person
) -> None:
    who, other = served[0].recipient, served[1].recipient
    # Stages: both workers are found by what they announce on a topic, nobody named them.
    stages = await shows(
        ann, "/", *(f'<th scope="row">{kind}</th>' for kind in ("delivery", "journal")), ">ready<"
    )
    assert "no answer" not in stages
    await shows(ann, "/lanes", who, other, "healthy")
    # Messages: by participant from the audit, then one message from the journal's index.
    await shows(ann, f"/messages?participant={who}", served[0].transaction_id)
    message = await shows(ann, f"/messages/{served[0].transaction_id}", who, "Delivered")
    assert other not in message, "it went to one of the two"
    await shows(ann, "/letters", "no Confluent frame")
    await shows(ann, f"/meters?mpan={MPAN}", HOLDER, "load-of-a-test")
    await shows(ann, "/participants", who, other)
    await shows(ann, f"/participants/{who}", server.url(who))

    order = {"recipient": who, "channel": "IF-021", "reason": "their certificate changes"}
    assert (await ann.send("/lanes", "/lanes", order="pause", **order)).status == 303
    await shows(ann, "/lanes", "paused", "their certificate changes", "ann")
    rig.wait_for(lambda: "their certificate changes" in rig.log(), "the worker knows")
    rig.send((who, other), 3)
    rig.wait_for(lambda: len(server.taken(other)) == 8 and len(rig.parked()) == 3, "one is served, one waits")
    assert len(server.taken(who)) == 5
    assert (await ann.send("/lanes", "/lanes", order="resume", **order)).status == 303
    rig.wait_for(lambda: len(server.taken(who)) == 8 and not rig.unsettled(), "it goes on")
    rig.wait_for(lambda: not rig.parked(), "nothing is left for the next test")
    rig.check_ledger()
