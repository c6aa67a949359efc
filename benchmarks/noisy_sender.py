"""What a noisy sender costs the quiet ones: their p90 alone, next to it with turns, and next to it without.

    .venv/bin/python -m benchmarks.noisy_sender [--seconds 10] [--json]

Ten quiet participants send one message four times a second each. The noisy one sends arrays of ten over eighty
connections as fast as they are answered, hundreds of times what a quiet one sends. The bridge is a process of its own with
everything real but Kafka, which is a wait of 10 ms. "Without turns" is first come, first served: what asyncio does by
itself. Limits are off, so that only the turns are measured.
"""

import argparse
import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp
import uvloop

from pipeline.adapters.producer import Outgoing, Publication, Published
from pipeline.domain.api_keys import kept
from pipeline.domain.identifiers import ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.domain.signing import Policy, Signer
from pipeline.ingress.app import Bridge
from pipeline.ingress.entrance import Entrance
from pipeline.ingress.outside import Outside
from pipeline.ingress.server import listen
from pipeline.ingress.trust import FixedTrust, Trust
from pipeline.settings import Settings
from tests.support.bridge import (
    FixedClock,
    FixedParticipants,
    Party,
    array,
    catalogue,
    certificate_of,
    codec,
    reading,
    signer_of,
)

QUIET = 10
QUIET_PER_S = 4.0
NOISY_CONNECTIONS = 80
NOISY_ARRAY = 10
ACK_S = 0.01
PATH = "/dip-channel/IF-021"
SIGNER = "1400000100"
"""One certificate for all: keys take long to make, and who signed is not what is measured."""


class OneCertificate(Party):
    """A participant that signs with the benchmark's certificate."""

    @property
    def signer(self) -> Signer:
        return signer_of(SIGNER)

    @property
    def row(self) -> Participant:
        return Participant(
            id=self.id,
            name=f"Party {self.id}",
            roles=(RoleGrant(role=Role("SDS"), valid_from=datetime(2020, 1, 1, tzinfo=UTC)),),
            api_keys=(kept(self.api_key, b"salt of the benchmark"),),
        )


def party(number: int) -> Party:
    """Return the quiet participants from 0 on, and the noisy one as QUIET."""
    return OneCertificate(id=ParticipantId(f"14{number + 1:08}"), role=Role("SDS"))


class Acknowledging:
    """A broker that answers after a while."""

    async def publish(self, _records: Sequence[Outgoing]) -> Publication:
        await asyncio.sleep(ACK_S)
        return Published()

    def answers(self) -> bool:
        return True


class FirstCome:
    """No turns: whoever asks goes on."""

    async def take(self, _owner: str, _cost: int) -> None:
        return None

    def give_back(self) -> None:
        pass


async def serve(fingerprint: str, *, turns: bool) -> None:
    """Be the bridge: print the port, run until the parent says stop, then print what it did since it began to listen."""
    off = dict.fromkeys(
        (
            "participant_requests_per_s",
            "participant_messages_per_s",
            "participant_bytes_per_s",
            "total_requests_per_s",
            "total_messages_per_s",
            "total_bytes_per_s",
        ),
        0.0,
    )
    settings = Settings(**off)
    entrance = Entrance(settings)
    if not turns:
        entrance.loop_turns = entrance.threads = entrance.kafka = FirstCome()
    everybody = Participants(
        [replace(party(number).row, certificates=frozenset({fingerprint})) for number in range(QUIET + 1)]
    )
    bridge = Bridge(
        Outside(
            settings=settings,
            clock=FixedClock(),
            participants=FixedParticipants(everybody),
            publisher=Acknowledging(),
            encoder=codec(),
            catalogue=catalogue(),
            trust=FixedTrust(trust=Trust(signing=Policy(skew_s=300))),
        ),
        entrance=entrance,
    )
    listening = await listen(bridge.handle, host="127.0.0.1", port=0, counters=entrance.counters)
    print(listening.port, flush=True)
    began_s = time.process_time()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    counters = entrance.counters
    took_s = time.process_time() - began_s
    print(
        json.dumps(
            {
                "cpu_us_a_message": took_s * 1e6 / max(1, counters.accepted),
                "refused": sum(counters.refused.values()) / max(1, sum(counters.answered.values())),
            }
        ),
        flush=True,
    )
    await listening.stop()


async def post(client: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> None:
    """Send one array and take the answer."""
    async with client.post(url, data=body, headers=headers) as response:
        await response.read()
        assert response.status == 201, (response.status, response.headers)


async def quiet_load(url: str, seconds: float) -> list[float]:
    """Send as the quiet ones for a while; return their latencies in milliseconds, sorted."""
    latencies: list[float] = []
    end_s = time.perf_counter() + seconds

    async def quiet(client: aiohttp.ClientSession, number: int) -> None:
        sender = party(number)
        body = array(reading(1, sender=sender))
        headers = sender.headers(url, body)
        due_s = time.perf_counter() + number / QUIET / QUIET_PER_S
        while due_s < end_s:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            started_s = time.perf_counter()
            await post(client, url, body, headers)
            latencies.append((time.perf_counter() - started_s) * 1_000)
            due_s += 1 / QUIET_PER_S

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        await asyncio.gather(*(quiet(client, number) for number in range(QUIET)))
    return sorted(latencies)


def noisy_body() -> bytes:
    """Return what the noisy sender sends, again and again."""
    return array(*(reading(number, sender=party(QUIET)) for number in range(NOISY_ARRAY)))


async def noise(url: str, headers: dict[str, str]) -> None:
    """Be the noisy sender until the parent says stop; then print how many messages a second were taken."""
    body, sent = noisy_body(), 0

    async def loud(client: aiohttp.ClientSession) -> None:
        nonlocal sent
        while True:
            async with client.post(url, data=body, headers=headers) as response:
                await response.read()
            if response.status == HTTPStatus.CREATED:
                sent += NOISY_ARRAY
            else:  # it waited too long behind itself
                await asyncio.sleep(int(response.headers["Retry-After"]))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        senders = [asyncio.create_task(loud(client)) for _ in range(NOISY_CONNECTIONS)]
        print("begun", flush=True)
        began_s = time.perf_counter()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(sent / (time.perf_counter() - began_s), flush=True)
        for one in senders:
            one.cancel()
        await asyncio.gather(*senders, return_exceptions=True)


@contextmanager
def child(*arguments: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """Run this module as another process; yield its first line, and how to end it and get its last."""
    command = [sys.executable, "-m", "benchmarks.noisy_sender", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def end() -> str:
            stdin.close()
            return stdout.readline()

        yield stdout.readline().strip(), end


def measure(seconds: float, *, turns: bool, noisy: bool) -> dict[str, float]:
    """Run one variant against a bridge of its own."""
    with child("--serve", "turns" if turns else "none", certificate_of(SIGNER).fingerprint) as (port, stop):
        url = f"http://127.0.0.1:{port}{PATH}"
        asyncio.run(quiet_load(url, 1.0))  # warm
        rate = 0.0
        if noisy:
            with child("--noise", url, json.dumps(party(QUIET).headers(url, noisy_body()))) as (_, quieten):
                latencies = asyncio.run(quiet_load(url, seconds))
                rate = float(quieten())
        else:
            latencies = asyncio.run(quiet_load(url, seconds))
        bridge: dict[str, float] = json.loads(stop())
    return bridge | {
        "quiet_p50_ms": statistics.median(latencies),
        "quiet_p90_ms": latencies[math.ceil(len(latencies) * 0.9) - 1],
        "quiet_max_ms": latencies[-1],
        "quiet_messages_per_s": len(latencies) / seconds,
        "noisy_messages_per_s": rate,
    }


def main() -> None:
    """Be one of the processes, or the one that starts the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--noise", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.serve:
            runner.run(serve(options.serve[1], turns=options.serve[0] == "turns"))
        elif options.noise:
            runner.run(noise(options.noise[0], json.loads(options.noise[1])))
        else:
            compare(options.seconds, as_json=options.json)


def compare(seconds: float, *, as_json: bool) -> None:
    """Measure the three variants, print a table or JSON."""
    figures = {
        "alone": measure(seconds, turns=True, noisy=False),
        "with turns": measure(seconds, turns=True, noisy=True),
        "without turns": measure(seconds, turns=False, noisy=True),
    }
    if as_json:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        print(
            f"{name:>14}: quiet p50 {row['quiet_p50_ms']:7.1f} ms, p90 {row['quiet_p90_ms']:7.1f} ms, max"
            f" {row['quiet_max_ms']:7.1f} ms; quiet {row['quiet_messages_per_s']:.0f}/s, noisy"
            f" {row['noisy_messages_per_s']:.0f}/s; CPU {row['cpu_us_a_message']:.0f} us a message,"
            f" {row['refused']:.0%} refused"
        )
    ratio = figures["without turns"]["quiet_p90_ms"] / figures["with turns"]["quiet_p90_ms"]
    print(f"p90 without turns is {ratio:.1f} times that with turns")


if __name__ == "__main__":
    main()
