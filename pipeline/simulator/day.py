"""Plans a day: which stories happen to which meters, the stream of consumption beside them, and what goes wrong.

Everything but the run's own references follows from the seed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from typing import Final

from pipeline.simulator.cast import Conduct, Player
from pipeline.simulator.faults import FAULTS
from pipeline.simulator.meters import LONG_AGO_DAYS, Meter
from pipeline.simulator.model import Reaches, Refused
from pipeline.simulator.plan import Again, BadPost, Draft, Item, Parcel, Plan, Remark, Remarks, size
from pipeline.simulator.profile import Profile
from pipeline.simulator.stories import Author, Step, change_of_supplier, new_agent, new_connection

Story = Callable[[Author, Meter, date], Iterator[Step]]

COHORT_METERS: Final = 8
"""Meters that go through a story together: their messages share arrays."""
PARCEL_SIZES: Final = (1, 2, 5, 10, 20, 30, 40, 60)
_LATE_DAYS_MAX: Final = 14
_STORIES: Final[tuple[tuple[Story, int, float], ...]] = (
    # story, messages it takes per meter, share of the flow's messages
    (change_of_supplier, 7, 0.4),
    (partial(new_agent, slot="MS"), 10, 0.2),
    (partial(new_agent, slot="DS"), 14, 0.3),
    (new_connection, 6, 0.1),
)
_CHANGE_DAYS: Final = (-5, -3, -2, -1, 0, 0, 7)
"""When appointments change, from today: back-dated, today, and ahead."""


class DayPlanner:
    """Plans one day for one author; `served` are the meters that the bulk load appoints, `unserved` the others."""

    def __init__(
        self, author: Author, profile: Profile, *, served: Sequence[Meter], unserved: Sequence[Meter]
    ) -> None:
        self._author, self._profile, self._rng = author, profile, author.rng
        self._served, self._unserved = list(served), list(unserved)
        self._rng.shuffle(self._served)

    def plan(self) -> Plan:
        """Return the whole day."""
        budget = self._profile.messages
        flows: list[Item] = list(self._stories(int(budget * self._profile.flow_share)))
        by_data_service = self._by_data_service()
        bad = list(self._invalid(int(budget * self._profile.invalid_share), by_data_service))
        common = list(self._market_wide())
        repeats = int(budget * self._profile.repeat_share)
        remarks = int(budget * self._profile.remark_share)
        spent = sum(map(size, [*flows, *bad, *common])) + repeats + remarks
        stream: list[Item] = list(self._consumption(max(0, budget - spent), by_data_service))
        flows += self._again(stream, repeats)
        flows += self._remarks(stream, remarks)
        stream += [*bad, *common]
        self._rng.shuffle(stream)
        return Plan(flows=tuple(flows), stream=tuple(stream))

    def _stories(self, budget: int) -> Iterator[Item]:
        for story, cost, share in _STORIES:
            meters = self._unserved if story is new_connection else self._served
            count = min(int(budget * share / cost), len(meters) // 2 or len(meters))
            chosen = [meters.pop() for _ in range(count)]
            for start in range(0, count, COHORT_METERS):
                yield from self._cohort(story, chosen[start : start + COHORT_METERS])

    def _cohort(self, story: Story, meters: Iterable[Meter]) -> Iterator[Item]:
        """Yield the parcels of a story for several meters; a step waits for the whole step before it."""
        told = [list(story(self._author, meter, self._change_day(story))) for meter in meters]
        before: frozenset[str] = frozenset()
        for steps in zip(*told, strict=True):
            drafts = [draft for step in steps for draft in step]
            yield from _parcels(drafts, after=before)
            before = frozenset(draft.reference for draft in drafts)

    def _change_day(self, story: Story) -> date:
        ahead = self._rng.choice(_CHANGE_DAYS)
        return self._author.today + timedelta(days=min(ahead, 0) if story is new_connection else ahead)

    def _by_data_service(self) -> dict[str, list[Meter]]:
        meters: dict[str, list[Meter]] = {}
        for meter in self._served:
            meters.setdefault(self._author.held(meter, "DS", self._author.today).id, []).append(meter)
        return meters

    def _consumption(self, budget: int, by_data_service: dict[str, list[Meter]]) -> Iterator[Parcel]:
        senders = sorted(by_data_service)
        weights = [len(by_data_service[sender]) for sender in senders]
        sizes = [size for size in PARCEL_SIZES if size <= self._profile.parcel_messages_max]
        while budget > 0:
            sender = self._rng.choices(senders, weights)[0]
            count = min(budget, self._rng.choice(sizes))
            meters = self._rng.choices(by_data_service[sender], k=count)
            drafts = tuple(self._author.consumption(meter, *self._days()) for meter in meters)
            posts = 2 if self._rng.random() < self._profile.repeat_share else 1
            yield Parcel(channel="IF-021", poster=self._author.cast[sender], drafts=drafts, posts=posts)
            budget -= count * posts

    def _days(self) -> tuple[date, ...]:
        """Mostly one day, today or the last ones; now and then a whole week at once."""
        today, late = self._author.today, int(self._rng.triangular(0, _LATE_DAYS_MAX, 0))
        if self._rng.random() < self._profile.week_share:
            return tuple(today - timedelta(days=late + 6 - index) for index in range(7))
        return (today - timedelta(days=late),)

    def _market_wide(self) -> Iterator[Item]:
        """Messages without an MPAN: to every holder of a role, and to everybody."""
        for interface, event, role in (("IF-022", "LSSPeriodData", "LSS"), ("IF-047", "ISD", "ISD")):
            sender = self._author.cast.one(role)
            yield from _parcels([self._author.draft(interface, event, sender)])

    def _again(self, stream: Sequence[Item], budget: int) -> Iterator[Item]:
        """Repeats of messages of the stream: three of four unchanged, one under the same reference but changed."""
        drafts = [draft for item in stream if isinstance(item, Parcel) for draft in item.drafts]
        for index, draft in enumerate(self._rng.sample(drafts, min(budget, len(drafts)))):
            yield Again(draft=draft, changed=index % 4 == 0, after=frozenset({draft.reference}))

    def _remarks(self, stream: Sequence[Item], budget: int) -> Iterator[Item]:
        """Objections of recipients to consumption they were given, as one array per recipient."""
        drafts = [draft for item in stream if isinstance(item, Parcel) for draft in item.drafts]
        found = []
        for draft in self._rng.sample(drafts, min(budget, len(drafts))):
            assert isinstance(draft.expectation, Reaches)
            known = [self._author.cast[who] for who in sorted(draft.expectation.recipients)]
            by = self._rng.choice([one for one in known if one.conduct is Conduct.HEALTHY])
            found.append(Remark(about=draft.reference, by=by, to=draft.sender, code="RCP1061"))
        found.sort(key=lambda remark: remark.by.id)
        for _, remarks in groupby(found, key=lambda remark: remark.by.id):
            group = tuple(remarks)
            yield Remarks(by=group[0].by, remarks=group, after=frozenset(remark.about for remark in group))

    def _invalid(self, budget: int, by_data_service: dict[str, list[Meter]]) -> Iterator[Item]:
        """Half refused at the door, half accepted and reported on later."""
        meters = [meter for group in by_data_service.values() for meter in group]
        faults = sorted(FAULTS.values(), key=lambda fault: fault.name)
        for index in range(budget // 2):
            fault = faults[index % len(faults)]
            draft = self._author.consumption(self._rng.choice(meters), self._author.today)
            yield BadPost(fault=fault.name, draft=draft, status=fault.status, code=fault.code)
        makers = (self._unknown_primary, self._wrong_primary, self._unknown_mpan, self._before_history)
        for index in range(budget - budget // 2):
            draft = makers[index % len(makers)](self._rng.choice(meters))
            assert isinstance(draft.expectation, Refused)
            yield from _parcels([draft])

    def _unknown_primary(self, meter: Meter) -> Draft:
        registration = self._author.registration
        return self._author.draft(
            "IF-002", "GainMPANInfo", registration, meter=meter, primary=("2399999999",)
        )

    def _wrong_primary(self, meter: Meter) -> Draft:
        registration, distributor = self._author.registration, meter.distributor.id
        return self._author.draft("IF-002", "GainMPANInfo", registration, meter=meter, primary=(distributor,))

    def _unknown_mpan(self, meter: Meter) -> Draft:
        """Consumption of a supply point that nobody ever registered."""
        stranger = Meter(mpan=f"99{meter.mpan[2:]}", distributor=meter.distributor, services=meter.services)
        return self._old_consumption(
            stranger, self._author.held(meter, "DS", self._author.today), self._author.today
        )

    def _before_history(self, meter: Meter) -> Draft:
        """Consumption of a day on which nobody held the meter yet."""
        day = self._author.today - timedelta(days=LONG_AGO_DAYS + 10)
        return self._old_consumption(meter, self._author.held(meter, "DS", self._author.today), day)

    def _old_consumption(self, meter: Meter, sender: Player, day: date) -> Draft:
        fills = self._author.consumption_fills(sender, (day,))
        return self._author.draft("IF-021", "ActivePower", sender, meter=meter, days=(day,), fills=fills)


def _parcels(drafts: Iterable[Draft], *, after: frozenset[str] = frozenset()) -> Iterator[Parcel]:
    """Yield arrays of one channel and one sender each."""

    def envelope(draft: Draft) -> tuple[str, str]:
        return draft.interface, draft.sender.id

    for (channel, _), group in groupby(sorted(drafts, key=envelope), key=envelope):
        together = tuple(group)
        yield Parcel(channel=channel, poster=together[0].sender, drafts=together, after=after)
