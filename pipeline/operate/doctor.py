"""`dip doctor`: find what keeps a worker waiting, and mend it where that is safe."""

import json
import time
from dataclasses import dataclass
from typing import Any

import click
from confluent_kafka import KafkaException

from pipeline.engine.hanging import Cluster
from pipeline.engine.protocol import WireError
from pipeline.engine.verdicts import Finding, Part, Verdict, judge
from pipeline.errors import BrokerUnavailable, RouterError
from pipeline.operate.stack import located
from pipeline.settings import Settings

_NOTHING, _OPEN, _ASK = 0, 1, 2


class CannotLook(RouterError):
    """The brokers' answers cannot be read. The text says why; TLS and SASL listeners need Kafka's own tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A finding, what to do with it, why, and whether it was done."""

    finding: Finding
    verdict: Verdict
    reason: str
    healed: bool

    def as_json(self) -> dict[str, Any]:
        """Return one line of the report."""
        one, owner = self.finding.transaction, self.finding.owner
        return {
            "topic": one.topic,
            "partition": one.partition,
            "last_stable_offset": self.finding.last_stable,
            "high_watermark": self.finding.high_watermark,
            "producer_id": one.producer_id,
            "epoch": one.epoch,
            "age_s": round(self.finding.age_s, 1),
            "transactional_id": owner.transactional_id if owner else None,
            "state": owner.state if owner else None,
            "hanging": self.finding.hanging,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "healed": self.healed,
        }


@click.group()
def doctor() -> None:
    """Find what keeps a worker waiting."""


@doctor.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each open transaction.")
@click.option("--heal", is_flag=True, help="Close our own hanging transactions, where the evidence is clear.")
@click.option(
    "--own", multiple=True, default=("dip-",), show_default=True, help="Prefix of our transactional ids."
)
@click.pass_context
def transactions(context: click.Context, *, as_json: bool, heal: bool, own: tuple[str, ...]) -> None:
    """Name partitions held back by open transactions, and whose they are.

    Stop the worker that owns a transaction before healing it. Exit code: 0 nothing is open (any more), 1 something is
    open, 2 a person has to decide.
    """
    found = diagnose(located(Settings.load()), own_ids=own, heal=heal)
    for one in found:
        click.echo(json.dumps(one.as_json()) if as_json else _text(one))
    if not found and not as_json:
        click.echo("no open transactions: every partition's last stable offset is its high watermark")
    remaining = [one for one in found if not one.healed]
    asked = any(one.verdict is Verdict.ASK for one in remaining)
    context.exit(_ASK if asked else _OPEN if remaining else _NOTHING)


def diagnose(settings: Settings, *, own_ids: tuple[str, ...], heal: bool) -> list[Diagnosis]:
    """Find open transactions, judge each, and close what may be closed. Raises CannotLook, BrokerUnavailable."""
    if not settings.kafka_bootstrap:
        raise BrokerUnavailable("KAFKA_BOOTSTRAP is not set: name the brokers to look at")
    try:
        cluster = Cluster(settings.kafka())
        return _diagnose(cluster, own_ids=own_ids, heal=heal)
    except KafkaException as error:
        raise BrokerUnavailable(
            f"no Kafka broker answered at {settings.kafka_bootstrap}: {error.args[0]}"
        ) from None
    except WireError as error:
        raise CannotLook(
            f"{error}. With TLS or SASL listeners use Kafka's own tool: kafka-transactions.sh find-hanging"
        ) from None


def _diagnose(cluster: Cluster, *, own_ids: tuple[str, ...], heal: bool) -> list[Diagnosis]:
    found = cluster.find(now_s=time.time())
    if not found:
        return []
    evidence: dict[tuple[int, int], dict[tuple[str, int], list[Part]]] = {}
    judged = []
    for one in found:  # all are judged before any is closed: closing changes the evidence
        key = (one.transaction.producer_id, one.transaction.epoch)
        if one.hanging and key not in evidence:
            evidence[key] = cluster.parts(one.transaction)
        judged.append((one, *judge(one, evidence.get(key, {}), own_ids=own_ids)))
    return [
        Diagnosis(finding=one, verdict=verdict, reason=reason, healed=heal and _heal(cluster, one, verdict))
        for one, verdict, reason in judged
    ]


def _heal(cluster: Cluster, finding: Finding, verdict: Verdict) -> bool:
    if verdict not in {Verdict.COMMIT, Verdict.ABORT}:
        return False
    cluster.close(finding, commit=verdict is Verdict.COMMIT)
    return True


def _text(one: Diagnosis) -> str:
    found = one.as_json()
    whose = f"{found['transactional_id'] or 'unknown'} ({found['state'] or 'no coordinator knows it'})"
    what = (
        "closed it"
        if one.healed
        else "heal with --heal"
        if one.verdict in {Verdict.COMMIT, Verdict.ABORT}
        else one.verdict
    )
    return (
        f"{found['topic']}[{found['partition']}] stable {found['last_stable_offset']} of {found['high_watermark']}, "
        f"producer {found['producer_id']} epoch {found['epoch']}, {found['age_s']} s old, {whose}\n"
        f"    {'hanging' if found['hanging'] else 'open'}: {one.verdict}, {one.reason} -> {what}"
    )
