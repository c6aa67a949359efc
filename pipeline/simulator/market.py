"""A market made ready: cast, meters, model, plan, and the files by which a router gets to know it."""

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pipeline.catalogue import Catalogue
from pipeline.catalogue.samples import sample
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.simulator.cast import Cast, Conduct, assemble
from pipeline.simulator.channels import Channel, read_channels
from pipeline.simulator.day import DayPlanner
from pipeline.simulator.meters import Meter, appoint_all, appointment_rows, make_meters
from pipeline.simulator.model import Model
from pipeline.simulator.plan import Again, BadPost, Draft, Parcel, Plan
from pipeline.simulator.profile import Profile
from pipeline.simulator.sandbox import Sandbox
from pipeline.simulator.stories import Author
from pipeline.simulator.writing import Sampler, Writer

ENVIRONMENT: Final = "SIT"
_UK: Final = ZoneInfo("Europe/London")
_NEW_METERS_SHARE: Final = 0.002  # of the messages: enough for the stories of new connections
_RUN_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_RUN_CHARS: Final = 7  # base 36 seconds since 1970 until the year 4453
_WITH_OPTIONAL_BLOCKS: Final = frozenset({"IF-041"})
"""Interfaces whose optional blocks hold what their message is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Everything a run needs to know before it starts."""

    run: str
    cast: Cast
    channels: Mapping[str, Channel]
    days: tuple[Plan, ...]
    writer: Writer
    drafts: Mapping[str, Draft]
    canary: Draft
    appointments: Path

    @property
    def plan(self) -> Plan:
        """Return the first day's plan, which most markets have only."""
        return self.days[0]


def open_market(
    profile: Profile, *, sandbox: Sandbox, catalogue: Catalogue, now: datetime, days: int = 1
) -> Market:
    """Plan each day, with supply points of its own, and write the bulk file of all appointments.

    References and MPANs contain the second of `now`, so that runs against one router stay apart; the rest
    follows from the profile's seed.
    """
    rng = random.Random(profile.seed)  # noqa: S311  # a reproducible market, not a secret
    channels = read_channels()
    cast = assemble(channels, misconduct=profile.misconduct)
    model = Model(channels, cast.roles())
    today, second = now.astimezone(_UK).date(), int(now.timestamp())
    count_new = max(1, int(profile.messages * _NEW_METERS_SHARE))
    meters = make_meters(cast, days * (profile.meters + count_new), run_number=second, rng=rng)
    served, unserved = meters[: days * profile.meters], meters[days * profile.meters :]
    appoint_all(model, cast, served, today=today, rng=rng)
    appointments = sandbox.write_appointments(appointment_rows(model, served))
    sampler = _sampler(catalogue, profile.seed, now)
    author = Author.create(cast=cast, model=model, rng=rng, run=run_tag(second), today=today, sampler=sampler)
    plans = tuple(
        DayPlanner(author, profile, served=served[day::days], unserved=unserved[day::days]).plan()
        for day in range(days)
    )
    return Market(
        run=author.run,
        cast=cast,
        channels=channels,
        days=plans,
        writer=Writer(sampler, environment_tag=ENVIRONMENT, sent_at=now),
        drafts={draft.reference: draft for plan in plans for draft in _drafts(plan)},
        canary=_canary(author, served[0]),
        appointments=appointments,
    )


def run_tag(second: int) -> str:
    """Return what the references of a run begin their last part with: always as long, letters and digits."""
    tag = ""
    for _ in range(_RUN_CHARS):
        second, digit = divmod(second, len(_RUN_DIGITS))
        tag = _RUN_DIGITS[digit] + tag
    return tag


def _canary(author: Author, meter: Meter) -> Draft:
    """Return a message to the healthy participant that is loaded last; its reference belongs to no run."""
    last = [player for player in author.cast.playing("SUP") if player.conduct is Conduct.HEALTHY][-1]
    draft = author.draft("IF-002", "GainMPANInfo", author.registration, meter=meter, primary=(last.id,))
    stem, _, _ = draft.reference.rpartition("-")
    return dataclasses.replace(draft, reference=f"{stem}-canary{author.run}")


def _drafts(plan: Plan) -> list[Draft]:
    found: list[Draft] = []
    for item in (*plan.flows, *plan.stream):
        match item:
            case Parcel():
                found += item.drafts
            case BadPost() | Again():
                found.append(item.draft)
            case _:
                pass
    return found


def _sampler(catalogue: Catalogue, seed: int, now: datetime) -> Sampler:
    """Return samples without optional blocks: what a story does not say must not be there by chance."""

    def draw(interface: str, event: str, day: date) -> dict[str, Any]:
        return sample(
            catalogue,
            InterfaceId(interface),
            EventCode(event),
            random.Random(f"{seed} {interface} {event} {day}"),  # noqa: S311  # reproducible
            sent_at=now,
            days=(day,),
            optional_share=1.0 if interface in _WITH_OPTIONAL_BLOCKS else 0.0,
        )

    return draw
