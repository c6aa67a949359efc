"""What happens to a meter, step by step: each step is sent when the one before it was seen to have worked.

A story changes the model at the step that changes the market, so that expectations before and after differ.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from pipeline.simulator.cast import Cast, Player
from pipeline.simulator.meters import Meter, another
from pipeline.simulator.model import Model
from pipeline.simulator.plan import Draft
from pipeline.simulator.writing import Sampler, midnight

Step = tuple[Draft, ...]

_READERS: Final = ("MSS", "MSA")  # the metering services that may send readings (IF-041)


@dataclass(slots=True, kw_only=True)
class Author:
    """Writes drafts for one run: numbers them, and asks the model what must come of each."""

    cast: Cast
    model: Model
    rng: random.Random
    run: str
    today: date
    sampler: Sampler
    _numbers: Iterator[int]
    _samples: dict[tuple[str, str, date], Any]

    @classmethod
    def create(
        cls, *, cast: Cast, model: Model, rng: random.Random, run: str, today: date, sampler: Sampler
    ) -> "Author":
        """Return an author whose references start at 1."""
        return cls(
            cast=cast, model=model, rng=rng, run=run, today=today, sampler=sampler,
            _numbers=itertools.count(1), _samples={},
        )  # fmt: skip

    def draft(
        self,
        interface: str,
        event: str,
        sender: Player,
        *,
        meter: Meter | None = None,
        primary: Iterable[str] = (),
        days: Iterable[date] = (),
        fills: Mapping[str, Any] | None = None,
    ) -> Draft:
        """Return a draft about `days` (none: today) with the recipients the model says now."""
        primary, days = tuple(primary), tuple(days) or (self.today,)
        mpan = meter.mpan if meter else None
        return Draft(
            reference=f"S-{interface}-{sender.id}-{sender.role}-{self.today:%Y%m%d}-{self.run}{next(self._numbers):07d}",
            interface=interface,
            event=event,
            sender=sender,
            expectation=self.model.expect(interface, sender=sender.id, mpan=mpan, primary=primary, days=days),
            mpan=mpan,
            distributor=meter.distributor.id if meter else "",
            gsp_group=meter.gsp_group if meter else "",
            primary=primary,
            fills=fills or {},
        )

    def held(self, meter: Meter, slot: str, day: date) -> Player:
        """Return who holds a slot."""
        holder = self.model.holder(meter.mpan, slot, day)
        assert holder is not None, f"{meter.mpan} has no {slot} on {day}"
        return self.cast[holder]

    def consumption(self, meter: Meter, *days: date) -> Draft:
        """Return half-hourly consumption by the data service of the last of the days."""
        sender = self.held(meter, "DS", days[-1])
        fills = self.consumption_fills(sender, days)
        return self.draft("IF-021", "ActivePower", sender, meter=meter, days=days, fills=fills)

    def consumption_fills(self, sender: Player, days: Iterable[date]) -> dict[str, Any]:
        """Return the parts of a consumption message that differ from its sample."""
        samples = [self._sample("IF-021", "ActivePower", day) for day in days]
        return {
            "B044.issuingDataServiceDIPID": sender.id,
            "B900.settlementDayConsumptionPeriods": [
                sample["B900"]["settlementDayConsumptionPeriods"][0] for sample in samples
            ],
        }

    def defaulted_consumption(self, meter: Meter, *days: date) -> Draft:
        """Return the market-wide data service's notice of defaults, which goes to the data service of each day."""
        lists = [self._sample("IF-013", "ActivePowerDefaulted", day)["B920List"][0] for day in days]
        periods = [one["settlementDayConsumptionPeriods"][0] for one in lists]
        fills = {"B920List": [{**lists[0], "settlementDayConsumptionPeriods": periods}]}
        sender = self.cast.one("MDS")
        return self.draft("IF-013", "ActivePowerDefaulted", sender, meter=meter, days=days, fills=fills)

    def tariff_change(self, meter: Meter, day: date) -> Draft:
        """Return registration's notice of another tariff: it reaches every holder of that day."""
        return self.draft(
            "IF-018", "DUOSTariffIDChg", self.registration, meter=meter, days=(day,),
            fills={"B024.DUOSTariffIDEffectiveFromDate": midnight(day)},
        )  # fmt: skip

    def final_reading(self, meter: Meter, day: date) -> Draft:
        """Return the reading at a change of supply: it concerns the suppliers on both sides of the day."""
        reading = self._sample("IF-041", "ReadingCOS", day)["B064List"][0]
        fills = {"B064List": [{**reading, "cumulativeRegisterReadingDateTime": midnight(day)}]}
        sides = (day - timedelta(days=1), day)
        sender = self.held(meter, "MS", day)
        return self.draft("IF-041", "ReadingCOS", sender, meter=meter, days=sides, fills=fills)

    def _sample(self, interface: str, event: str, day: date) -> Any:
        """Return the CustomBlock of a sample about one day, made once."""
        key = (interface, event, day)
        if key not in self._samples:
            self._samples[key] = self.sampler(interface, event, day)["payload"]["CustomBlock"]
        return self._samples[key]

    @property
    def registration(self) -> Player:
        """Return the registration service, the only one whose messages move appointments."""
        return self.cast.one("REGS")


def change_of_supplier(author: Author, meter: Meter, day: date) -> Iterator[Step]:
    """Send data before the change is known, the change, then late data for both sides of it."""
    before = day - timedelta(days=1)
    old = author.held(meter, "SUP", day)
    new = another(author.cast, "SUP", old.id, author.rng)
    yield (author.consumption(meter, day),)
    author.model.appoint(meter.mpan, "SUP", new.id, day)
    yield (
        author.draft(
            "IF-001", "ChangeOfSupplier", author.registration, meter=meter, days=(day,),
            primary=(new.id, old.id),
            fills={
                "B002.incomingSupplierDIPID": new.id,
                "B002.supplierEffectiveFromDate": midnight(day),
                "B003.outgoingSupplierDIPID": old.id,
                "B003.supplierEffectiveToDate": midnight(day),
            },
        ),
    )  # fmt: skip
    yield (
        author.consumption(meter, before),
        author.consumption(meter, day),
        author.consumption(meter, before, day),
        author.defaulted_consumption(meter, before),
        *([author.final_reading(meter, day)] if meter.services[0] in _READERS else []),
    )


def new_agent(author: Author, meter: Meter, day: date, *, slot: str) -> Iterator[Step]:
    """Appoint another metering (MS) or data service (DS) in every step, then send data about both sides of it."""
    metering = slot == "MS"
    old = author.held(meter, slot, day)
    assert old.role is not None
    new = another(author.cast, old.role, old.id, author.rng)
    supplier, registration = author.held(meter, "SUP", author.today), author.registration
    kind = "MS" if metering else "DS"
    proposal = _proposal(new, day, metering=metering)

    def send(
        interface: str, event: str, sender: Player, to: Iterable[Player], fills: Mapping[str, Any] = proposal
    ) -> Draft:
        return author.draft(
            interface, event, sender, meter=meter, days=(day,), primary=[one.id for one in to], fills=fills
        )

    yield (send("IF-031", f"{kind}App", supplier, [registration]),)
    yield (
        send("IF-032", f"{kind}AppInitialResp", registration, [supplier]),
        send("IF-033", f"{kind}AppSPRequest", registration, [new]),
    )
    yield (send("IF-034", f"{kind}AppSPResponse", new, [registration]),)
    yield (send("IF-035", f"{kind}AppAccepted", registration, [supplier, new]),)
    author.model.appoint(meter.mpan, slot, new.id, day)
    yield (send("IF-036", f"{kind}AppActive", registration, [new], _active(new, day, metering=metering)),)
    yield (send("IF-037", f"{kind}DeApp", registration, [old], _ended(old, day, metering=metering)),)
    yield tuple(_aftermath(author, meter, day, metering=metering))


def _aftermath(author: Author, meter: Meter, day: date, *, metering: bool) -> Iterator[Draft]:
    before = day - timedelta(days=1)
    yield author.tariff_change(meter, before)
    yield author.tariff_change(meter, day)
    if not metering:
        yield author.defaulted_consumption(meter, before)
        yield author.defaulted_consumption(meter, day)
        yield author.consumption(meter, before)
        yield author.consumption(meter, day)
    supplier = author.held(meter, "SUP", day)
    yield author.draft(
        "IF-026", "ConsentGranularity", author.registration, meter=meter, days=(day,), primary=(supplier.id,),
        fills={"B068.consentGranularityEffectiveFromDate": midnight(day)},
    )  # fmt: skip


def _proposal(new: Player, day: date, *, metering: bool) -> dict[str, Any]:
    block, service = ("B070", "MeteringService") if metering else ("B071", "DataService")
    return {
        f"{block}.proposed{service}DIPID": new.id,
        f"{block}.proposed{service}DIPEffectiveFromDate": midnight(day),
    }


def _active(new: Player, day: date, *, metering: bool) -> dict[str, Any]:
    block, service = ("B014", "MeteringService") if metering else ("B015", "DataService")
    partner = {"B017": None} if metering else {"B016": None, "B019": None}
    return {
        f"{block}.incoming{service}DIPID": new.id,
        f"{block}.incoming{service}EffectiveFromDate": midnight(day),
        **partner,
    }


def _ended(old: Player, day: date, *, metering: bool) -> dict[str, Any]:
    block, name, service = (
        ("B008", "MeteringService", "meteringService") if metering else ("B009", "DataService", "dataService")
    )
    return {
        f"{block}.deAppointed{name}DIPID": old.id,
        f"{block}.{service}EffectiveFromDate": midnight(day - timedelta(days=300)),
        f"{block}.{service}EffectiveToDate": midnight(day),
        "B010" if metering else "B011": None,
        "B002": None,
    }


def new_connection(author: Author, meter: Meter, day: date) -> Iterator[Step]:
    """Create, register, serve and then meter a supply point that the bulk load does not know."""
    cast, rng, registration = author.cast, author.rng, author.registration
    supplier = another(cast, "SUP", None, rng)
    services = [another(cast, role, None, rng) for role in meter.services]
    author.model.appoint(meter.mpan, "LDSO", meter.distributor.id, day)
    yield (
        author.draft(
            "IF-050", "MPANCreation", registration, meter=meter, days=(day,),
            fills={"B001.GSPGroupEffectiveFromDate": midnight(day)},
        ),
    )  # fmt: skip
    author.model.appoint(meter.mpan, "SUP", supplier.id, day)
    yield (
        author.draft(
            "IF-001", "InitialRegistration", registration, meter=meter, days=(day,), primary=(supplier.id,),
            fills={"B002.incomingSupplierDIPID": supplier.id, "B002.supplierEffectiveFromDate": midnight(day)},
        ),
    )  # fmt: skip
    for slot, agent, kind in zip(("MS", "DS"), services, ("MS", "DS"), strict=True):
        author.model.appoint(meter.mpan, slot, agent.id, day)
        yield (
            author.draft(
                "IF-036", f"{kind}AppActive", registration, meter=meter, days=(day,), primary=(agent.id,),
                fills=_active(agent, day, metering=slot == "MS"),
            ),
        )  # fmt: skip
    yield (author.consumption(meter, day), author.tariff_change(meter, day))
