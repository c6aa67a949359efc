"""Messages made from the fact tables: schema-valid for every pair, and the same for the same seed.

The simulator, the tests and the benchmarks send them. Identifiers, dates and half-hourly periods look like
the real ones; the rest only satisfies the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, Final

from pipeline.catalogue.catalogue import Catalogue
from pipeline.catalogue.paths import EACH, Step, parse_path
from pipeline.catalogue.sample_values import instant_text, sample_value
from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape
from pipeline.domain.identifiers import EventCode, InterfaceId

SENT_AT: Final = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
PERIODS_PER_DAY: Final = 48
_PERIOD: Final = timedelta(minutes=30)
_LIST_COUNT_MAX: Final = 2  # of lists that are neither days nor periods
_PERIOD_END_ITEM: Final = "DI-082-Settlement-Period-Effective-To-DateTime"
_ACTUAL_READING: Final = {"q": "A", "e": None, "arc": None}
_KWH_OF_A_HOME_MAX: Final = 2.0

Steps = tuple[Step, ...]


def sample(
    catalogue: Catalogue,
    interface: InterfaceId,
    event: EventCode,
    rng: Random,
    *,
    sent_at: datetime = SENT_AT,
    days: Sequence[date] = (),
    optional_share: float = 0.5,
    overrides: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return a valid message object `{"payload": ...}` of a pair, as a sender writes it: without D0.

    `days` are the settlement days of messages that have any (default: the day before `sent_at`); each gets
    its 48 periods. Optional fields appear with the chance `optional_share`; A0 always does, naming nobody.
    `overrides` sets fields by table path, such as `CommonBlock.S1.senderDIPID`, `CommonBlock.A0` (a whole
    block) or `CustomBlock.B064List[].meterID` (in every element); optional blocks on the way then appear.
    A path that the pair does not have is a KeyError; whether a value fits is up to the caller.
    """
    exact = {parse_path(text).steps: value for text, value in (overrides or {}).items()}
    defaults = _defaults(catalogue, interface, event, rng, sent_at)
    writer = _Writer(
        rng=rng,
        sent_at=sent_at,
        days=tuple(days) or (sent_at.date() - timedelta(days=1),),
        optional_share=optional_share,
        defaults=defaults,
        overrides=exact,
        wanted=frozenset(steps[:n] for steps in (*exact, *defaults) for n in range(1, len(steps) + 1)),
    )
    message = writer.record(catalogue.pair(interface, event).shape.root, ())
    if unused := exact.keys() - writer.used:
        raise KeyError(f"{interface} [{event}] has no {', '.join('.'.join(steps) for steps in unused)}")
    sender = message["payload"]["CommonBlock"]["S1"]
    if not exact.keys() & {_S1, (*_S1, Step("senderUniqueReference"))}:
        sender["senderUniqueReference"] = _reference(interface, sender, rng)
    return message


_S1: Final = parse_path("CommonBlock.S1").steps


def _defaults(
    catalogue: Catalogue, interface: InterfaceId, event: EventCode, rng: Random, sent_at: datetime
) -> Mapping[Steps, object]:
    values: dict[str, object] = {
        "CommonBlock.S0.eventCode": f"[{event}]",
        "CommonBlock.S1.senderUniqueReference": "",  # follows from the others, when they are known
        "CommonBlock.S1.environmentTag": "UIT",
        "CommonBlock.S1.subText": None,
        "CommonBlock.S1.senderTimestamp": instant_text(sent_at),
        "CommonBlock.S1.senderRoleID": rng.choice(sorted(catalogue.channels[interface].sender_roles)),
        "CommonBlock.S1.senderCorrelationID": None,
        "CommonBlock.S1.DIPConnectionProviderID": None,
        "CommonBlock.A0.primaryRecipients": [],
        "CommonBlock.A0.secondaryRecipients": [],
        "CommonBlock.A0.always": [],
    }
    return {parse_path(text).steps: value for text, value in values.items()}


def _reference(interface: str, sender: Mapping[str, object], rng: Random) -> str:
    """Return a reference that says the same as the other fields of S1."""
    day = str(sender["senderTimestamp"])[:10].replace("-", "")
    sequence = f"{rng.getrandbits(48):012x}"
    return f"S-{interface}-{sender['senderDIPID']}-{sender['senderRoleID']}-{day}-{sequence}"


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Walks a shape and writes a value for it. `day` is the settlement day being written."""

    rng: Random
    sent_at: datetime
    days: tuple[date, ...]
    optional_share: float
    defaults: Mapping[Steps, object]
    overrides: Mapping[Steps, object]
    wanted: frozenset[Steps]
    used: set[Steps] = field(default_factory=set)
    day: datetime = SENT_AT

    def record(self, record: Record, steps: Steps, **given: object) -> dict[str, Any]:
        return {
            name: given[name] if name in given else self._value(member.shape, place)
            for name, member in record.members.items()
            if self._appears((place := (*steps, Step(name))), required=member.required)
        }

    def _appears(self, steps: Steps, *, required: bool) -> bool:
        if steps[-1] == "D0" and steps not in self.wanted:
            return False
        return required or steps in self.wanted or self.rng.random() < self.optional_share

    def _value(self, shape: Shape, steps: Steps) -> object:
        if steps in self.overrides:
            self.used.add(steps)
            return self.overrides[steps]
        if steps in self.defaults:
            return self.defaults[steps]
        match shape:
            case Record():
                return self.record(shape, steps)
            case Listing():
                return self._listing(shape, (*steps, EACH))
            case Scalar(item=item):
                return sample_value(item, self.rng, self._instant(steps))

    def _instant(self, steps: Steps) -> datetime:
        if steps[-1] == "settlementDayDate":
            return self.day
        return self.sent_at.replace(hour=0, minute=0, second=0)

    def _listing(self, listing: Listing, steps: Steps) -> list[object]:
        element = listing.element
        if isinstance(element, Record) and "settlementDay" in element.members:
            return [self._of_day(element, steps, day) for day in self.days]
        if isinstance(element, Record) and (name := _period_end_name(element)):
            return [self._period(element, steps, name, number) for number in range(PERIODS_PER_DAY)]
        count = self.rng.randint(max(listing.count_min, 1), max(listing.count_min, _LIST_COUNT_MAX))
        return [self._value(element, steps) for _ in range(min(count, listing.count_max or count))]

    def _of_day(self, element: Record, steps: Steps, day: date) -> object:
        self.day = datetime.combine(day, time(), UTC)
        return self._value(element, steps)

    def _period(self, element: Record, steps: Steps, name: str, number: int) -> object:
        given: dict[str, object] = {name: instant_text(self.day + (number + 1) * _PERIOD)}
        if _ACTUAL_READING.keys() <= element.members.keys():
            given |= _ACTUAL_READING | {"v": f"{self.rng.uniform(0, _KWH_OF_A_HOME_MAX):.3f}"}
        overridden = {key for key in given if (*steps, Step(key)) in self.overrides}
        return self.record(element, steps, **{key: given[key] for key in given.keys() - overridden})


def _period_end_name(element: Record) -> str | None:
    """Return the field that ends a half-hourly period, if the element is one."""
    for name, member in element.members.items():
        if isinstance(member.shape, Scalar) and member.shape.item.name == _PERIOD_END_ITEM:
            return name
    return None
