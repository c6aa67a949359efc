"""Composition of the delivery worker: lanes, webhooks and the table `parked` on an app of the engine."""

from functools import partial, update_wrapper
from math import inf

from agents.app import DELIVERY, Outside, add_metrics, create_app
from agents.crash_points import CrashingWebhooks
from agents.delivery import Engine, beside_the_rounds, take_in
from agents.health import add_lane_page
from agents.mailroom import Mailroom
from agents.reach import Certificates, Reach
from agents.shards import answer_questions
from agents.tracing import Origins, TracedWebhooks
from pipeline import topics
from pipeline.catalogue.delivery import load_delivery_rules
from pipeline.catalogue.notices import load_notice_words
from pipeline.delivery.dispatch import Dispatcher
from pipeline.delivery.noticing import Telling
from pipeline.delivery.outside import Outside as DeliveryOutside
from pipeline.delivery.outside import Policy
from pipeline.delivery.ports import Webhooks
from pipeline.delivery.settling import Topics
from pipeline.domain.delivery import Schedule
from pipeline.domain.fanout import outbound_partitions
from pipeline.domain.lane_limits import Rates
from pipeline.engine import App
from pipeline.errors import SettingsInvalid
from pipeline.ports import Dice, EndpointHealthSource, LaneOrderSource, NoticeSource
from pipeline.settings import Settings
from tables import parked as parked_table


def create_delivery(
    outside: Outside,
    *,
    orders: LaneOrderSource,
    health: EndpointHealthSource,
    notices: NoticeSource,
    dice: Dice,
    reach: Reach,
) -> App:
    """Make the delivery worker: `dip.outbound` and `dip.status` to webhooks, the table `parked` beside them."""
    settings = outside.settings
    app = create_app(DELIVERY, outside)
    sources = tuple(app.topic(name) for name in (topics.OUTBOUND, topics.STATUS))
    rows = parked_table.declare(app, *sources)
    origins = None if outside.traces is None else Origins()
    dispatcher = Dispatcher(
        DeliveryOutside(
            engine=Engine(app),
            rows=rows,
            payloads=reach.records,
            webhooks=_watched(outside, reach.webhooks, origins),
            codec=outside.codec,
            participants=outside.participants,
            orders=orders,
            health=health,
            clock=outside.clock,
            dice=dice,
            topics=_topics(settings),
            busy=reach.busy,
        ),
        _policy(settings),
        _telling(outside, notices, reach.certificates),
    )
    for topic in sources:
        agent = partial(take_in, dispatcher=dispatcher, codec=outside.codec, origins=origins)
        app.agent(topic, name=f"delivery-{topic.get_topic_name().rsplit('.', 1)[-1]}")(
            update_wrapper(agent, take_in)
        )
    add_lane_page(app, dispatcher)
    mailroom = Mailroom(mailbox=dispatcher.mailbox(reach.collected), lane=dispatcher.own_lane)
    answer_questions(app, outside.desk, codec=outside.codec, clock=outside.clock, books=(mailroom.book(),))
    add_metrics(app, settings, dispatcher.samples)
    app.on_claimed(dispatcher.claimed)
    app.on_revoked(dispatcher.revoked)
    for beside in reach.beside:
        app.task(beside)
    app.task(beside_the_rounds(app, dispatcher, closing=reach.closing))
    return app


def _rates_of(settings: Settings) -> Rates:
    """Return the rates of lanes without an order of their own. Raises SettingsInvalid for what is no rate."""
    for name in ("lane_calls_per_min", "lane_catch_up_per_s"):
        if not 0 <= getattr(settings, name) < inf:
            raise SettingsInvalid(f"DIP_{name.upper()}={getattr(settings, name)}: expected 0 or more; 0: any")
    return Rates(
        calls_per_min=settings.lane_calls_per_min or None,
        catch_up_per_s=settings.lane_catch_up_per_s or None,
    )


def _topics(settings: Settings) -> Topics:
    return Topics(
        audit=topics.AUDIT,
        dead_letters=topics.DEAD_LETTER_DELIVERY,
        status=topics.STATUS if settings.relay_answers else None,
        health=topics.ENDPOINT_HEALTH,
    )


def _policy(settings: Settings) -> Policy:
    return Policy(
        schedule=Schedule(delays_s=settings.retry_delays(), hold_s=settings.hold_s),
        lane_in_flight_max=settings.lane_in_flight_max,
        in_flight_max=settings.delivery_in_flight_max,
        rules=load_delivery_rules(settings.delivery_order, settings.delivery_gather_s),
        rates=_rates_of(settings),
        worker=settings.instance,
        partitions_of=lambda lane: outbound_partitions(lane.recipient, partitions=settings.topic_partitions),
    )


def _telling(outside: Outside, notices: NoticeSource, certificates: Certificates) -> Telling:
    return Telling(
        notices=notices,
        codec=outside.codec,
        words=load_notice_words(),
        threshold_s=outside.settings.notice_after_s,
        topic=topics.NOTICES,
        status_topic=topics.STATUS,
        audit_topic=topics.AUDIT,
        certificates=certificates,
    )


def _watched(outside: Outside, webhooks: Webhooks, origins: Origins | None) -> Webhooks:
    """Return the webhooks with what the settings add to each call: a point to crash at, a span."""
    if outside.settings.crash_at:
        webhooks = CrashingWebhooks(webhooks, outside.hook)
    if outside.traces is not None and origins is not None:
        webhooks = TracedWebhooks(webhooks, outside.traces, origins)
    return webhooks
