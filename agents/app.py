"""Composition of the two workers: which step reads which topic, with which tables. Reads as the pipeline.

Nothing is made at import; `agents.worker_router` and `agents.worker_delivery` hold the apps that Faust's command
line finds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

from agents.addressing import Addressing, Loading
from agents.explaining import Explaining
from agents.health import add_health_pages, add_metrics_page
from agents.loop import Step, drive
from agents.quarantine import Quarantine
from agents.reporting import Reporting
from agents.shards import Desk, answer_questions
from agents.sweep import Sweep
from agents.tracing import Traced, traced_by, untraced
from agents.validation import Validation
from pipeline import limits, topics
from pipeline.adapters.identity import identity
from pipeline.adapters.logs import log_config
from pipeline.catalogue import Catalogue
from pipeline.codec import Codec
from pipeline.engine import App, EngineSettings
from pipeline.engine.outside import OUTSIDE
from pipeline.engine.outside import Outside as EngineOutside
from pipeline.errors import SettingsInvalid
from pipeline.intake import terms_of
from pipeline.metrics import Sample
from pipeline.ports import Clock, ParticipantSource, Traces
from pipeline.settings import Settings
from tables import appointments as appointments_table
from tables import quarantine as quarantine_table
from tables import seen as seen_table

ROUTER = "dip-router"
DELIVERY = "dip-delivery"

DEAD_LETTERS: Mapping[str, str] = {
    topics.INBOUND: topics.DEAD_LETTER_VALIDATION,
    topics.VALIDATED: topics.DEAD_LETTER_ADDRESSING,
    topics.REGISTRATION: topics.DEAD_LETTER_ADDRESSING,
    topics.DEAD_LETTER_VALIDATION: topics.DEAD_LETTER_REPORTING,
    topics.DEAD_LETTER_ADDRESSING: topics.DEAD_LETTER_REPORTING,
    topics.DEAD_LETTER_DELIVERY: topics.DEAD_LETTER_REPORTING,
    topics.OUTBOUND: topics.DEAD_LETTER_DELIVERY,
    topics.STATUS: topics.DEAD_LETTER_DELIVERY,
}
"""Where the engine puts a record that its stage fails on. What reporting fails on is reported no further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a worker is given: everything that is not its own rules."""

    settings: Settings
    codec: Codec
    participants: ParticipantSource
    clock: Clock
    web_port: int
    hook: Callable[[str], None]
    desk: Desk | None = None
    """Where bridges ask this worker; None: they cannot."""
    traces: Traces | None = None
    """Where spans go; None: nothing is traced."""
    engine: EngineOutside = OUTSIDE
    """The engine's clock, threads, Kafka clients and disk; a simulation passes its own."""


def create_app(
    name: str,
    outside: Outside,
    *,
    dead_letters: Mapping[str, str] = DEAD_LETTERS,
    linger_s: float | None = None,
) -> App:
    """Make an app on the engine: without agents, tables or pages yet. `linger_s`: not the routers' and deliveries'."""
    settings = outside.settings
    engine = EngineSettings(
        bootstrap=settings.kafka_bootstrap,
        instance=settings.instance,
        dead_letters=dead_letters,
        partitions={
            one.name: one.partitions for one in topics.topic_specs(partitions=settings.topic_partitions)
        },
        max_records=settings.round_records_max,
        linger_s=settings.round_linger_s if linger_s is None else linger_s,
        settle_linger_s=settings.settle_linger_s,
        transaction_timeout_s=settings.transaction_timeout_s,
        start_wait_s=settings.start_wait_s,
        kafka=settings.kafka(),
        static_membership=settings.static_membership,
        now_s=lambda: outside.clock.now().timestamp(),
        hook=outside.hook,
        outside=outside.engine,
    )
    state_dir = Path(settings.state_dir).resolve()
    state_dir.mkdir(parents=True, exist_ok=True)  # Faust makes its own folder, not the one above it
    app = App(
        name,
        engine=engine,
        datadir=str(state_dir / f"{name}-{settings.instance}"),
        web_host=settings.worker_host,
        web_bind=settings.worker_host,
        web_port=outside.web_port,
        logging_config=log_config(settings, name.removeprefix("dip-")),  # else Faust would set up its own
    )
    add_health_pages(app)
    return app


def add_metrics(app: App, settings: Settings, *more: Callable[[], Iterable[Sample]]) -> None:
    """Serve the metrics of a worker."""
    kind = str(app.conf.id).removeprefix("dip-")
    add_metrics_page(app, *(lambda: identity(kind, settings), *more))


def create_router(outside: Outside, catalogue: Catalogue) -> App:
    """Make the router: header validation, addressing with fan-out, bulk load, and error reporting."""
    app = create_app(ROUTER, outside)
    codec, participants, clock = outside.codec, outside.participants, outside.clock
    inbound = app.topic(topics.INBOUND)
    validated = app.topic(topics.VALIDATED)
    registration = app.topic(topics.REGISTRATION)
    seen = seen_table.declare(app, inbound)
    appointments = appointments_table.declare(app, validated, registration)
    waiting = quarantine_table.declare(app, validated, registration)

    traced = traced_by(outside.traces)
    bind(
        app,
        inbound,
        "validation",
        Validation(
            codec=codec,
            catalogue=catalogue,
            participants=participants,
            clock=clock,
            seen=seen,
            sweep=Sweep(seen),
            terms=terms_of(outside.settings),
        ),
        traced=traced,
    )
    addressing = Addressing(
        codec=codec,
        catalogue=catalogue,
        participants=participants,
        clock=clock,
        appointments=appointments,
        quarantine=Quarantine(rows=waiting),
        sweep=Sweep(waiting),
        keep=_keep(outside.settings),
    )
    bind(app, validated, "addressing", addressing, traced=traced)
    loading = Loading(codec=codec, clock=clock, appointments=appointments, addressing=addressing)
    bind(app, registration, "loading", loading, traced=traced)
    _bind_reporting(app, outside, catalogue)
    add_metrics(app, outside.settings)
    explaining = Explaining(catalogue=catalogue, participants=participants, appointments=appointments)
    answer_questions(app, outside.desk, codec=codec, clock=clock, books=(explaining.book(),))
    return app


def _bind_reporting(app: App, outside: Outside, catalogue: Catalogue) -> None:
    """Make an agent on each topic of dead letters whose senders are told."""
    codec = outside.codec
    for topic, read in (
        (topics.DEAD_LETTER_VALIDATION, codec.decode_message),
        (topics.DEAD_LETTER_ADDRESSING, codec.decode_message),
        (topics.DEAD_LETTER_DELIVERY, codec.decode_copy),
    ):
        step = Reporting(
            codec=codec,
            catalogue=catalogue,
            clock=outside.clock,
            read=read,
            relay=outside.settings.relay_answers,
        )
        name = f"reporting-{topic.rsplit('.', 1)[-1]}"
        bind(app, app.topic(topic), name, step, traced=traced_by(outside.traces))


def _keep(settings: Settings) -> timedelta:
    """Return how long superseded appointments are kept. Raises SettingsInvalid for less than late data needs."""
    days, least = settings.appointments_keep_days, limits.APPOINTMENTS_KEEP_DAYS_MIN
    if days < least:
        raise SettingsInvalid(
            f"DIP_APPOINTMENTS_KEEP_DAYS={days}: expected at least {least}, late data asks for so old appointments"
        )
    return timedelta(days=days)


def bind(app: App, topic: Any, name: str, step: Step, *, traced: Traced = untraced) -> None:
    """Make an agent of a step; the step's docstring is what `faust agents` prints."""
    agent = partial(drive, step=traced(name, step))
    update_wrapper(agent, type(step).__call__)
    app.agent(topic, name=name)(agent)
