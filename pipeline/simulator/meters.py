"""The market's supply points and who serves each at the start of the day."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from pipeline.simulator.cast import GSP_GROUPS, Cast, Conduct, Player
from pipeline.simulator.model import Model

LONG_AGO_DAYS: Final = 400
_SMART_SHARE, _ADVANCED_SHARE = 0.85, 0.1  # the rest is unmetered; the market is mostly smart
_AREA_NUMBERS: Final = dict(zip(GSP_GROUPS, (10, 11, 12, 19), strict=True))
_WEIGHTS: Final = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)  # 11 is skipped
_SERIALS_PER_RUN: Final = 100_000
METERS_MAX: Final = _SERIALS_PER_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One MPAN. `services` are the roles of its metering and its data service."""

    mpan: str
    distributor: Player
    services: tuple[str, str]

    @property
    def gsp_group(self) -> str:
        """Return the GSP group of its distributor."""
        assert self.distributor.gsp_group is not None
        return self.distributor.gsp_group


def make_meters(cast: Cast, count: int, *, run_number: int, rng: random.Random) -> tuple[Meter, ...]:
    """Return `count` supply points; every run number has MPANs of its own."""
    first = (run_number % 99_999) * _SERIALS_PER_RUN
    return tuple(_meter(cast, first + index, rng) for index in range(count))


def _meter(cast: Cast, serial: int, rng: random.Random) -> Meter:
    distributor = rng.choice(cast.playing("LDSO"))
    assert distributor.gsp_group is not None
    dice = rng.random()
    services = ("MSS", "SDS")
    if dice > _SMART_SHARE:
        services = ("MSA", "ADS") if dice < _SMART_SHARE + _ADVANCED_SHARE else ("UMSO", "UMSDS")
    stem = f"{_AREA_NUMBERS[distributor.gsp_group]:02d}{serial:010d}"
    return Meter(mpan=stem + check_digit(stem), distributor=distributor, services=services)


def check_digit(stem: str) -> str:
    """Return the thirteenth digit of an MPAN."""
    return str(sum(int(digit) * weight for digit, weight in zip(stem, _WEIGHTS, strict=True)) % 11 % 10)


def appoint_all(
    model: Model, cast: Cast, meters: tuple[Meter, ...], *, today: date, rng: random.Random
) -> None:
    """Give every meter its first holders, in force since long ago."""
    since = today - timedelta(days=LONG_AGO_DAYS)
    for meter in meters:
        model.appoint(meter.mpan, "LDSO", meter.distributor.id, since)
        model.appoint(meter.mpan, "GSP", meter.gsp_group, since)
        model.appoint(meter.mpan, "SUP", rng.choice(cast.playing("SUP")).id, since)
        for slot, role in zip(("MS", "DS"), meter.services, strict=True):
            model.appoint(meter.mpan, slot, rng.choice(cast.playing(role)).id, since)
        if meter.services[1] == "SDS":
            model.appoint(meter.mpan, "MDR", rng.choice(cast.playing("MDR")).id, since)


def appointment_rows(model: Model, meters: tuple[Meter, ...]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the rows of the bulk file: mpan, slot, holder, valid_from, valid_to."""
    for meter in meters:
        for slot, spans in model.spans(meter.mpan).items():
            for start, end, holder in spans:
                yield meter.mpan, slot, holder, start.isoformat(), end.isoformat() if end else ""


def another(cast: Cast, role: str, than: str | None, rng: random.Random) -> Player:
    """Return a healthy player of a role other than the present one; the same where the role has only one."""
    others = [one for one in cast.playing(role) if one.id != than and one.conduct is not Conduct.DEAD]
    return rng.choice(others) if others else cast.one(role)
