"""The rules of a pair in words, for people who check, compare and review them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.catalogue.appointments import DatePath, Effect
from pipeline.catalogue.catalogue import Catalogue
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.routing import Holders, Routing

Pair = tuple[InterfaceId, EventCode]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """A rule that two catalogues word differently, from an instant on."""

    interface: InterfaceId
    event: EventCode
    since: datetime
    rule: str
    before: str | None
    after: str | None


def rules_of(catalogue: Catalogue, interface: InterfaceId, event: EventCode, at: datetime) -> dict[str, str]:
    """Return what decides about an event at an instant: one text for each kind of rule."""
    routing = catalogue.channels[interface].routing(event, at)
    return {
        **_routing(routing),
        "days": "; ".join(map(_days, catalogue.date_paths(interface, event, at))) or "the time of receipt",
        "appointments": "; ".join(map(_effect, catalogue.effects(interface, event, at))) or "nothing moves",
        "correlation": catalogue.correlation(interface, event, at).value,
    }


def _routing(routing: Routing) -> dict[str, str]:
    secondary = "; ".join(
        f"{', '.join(sorted(rule.roles))} ({rule.need.value}"
        + (", both sides of a change" if rule.holders is Holders.BOTH_SIDES else "")
        + ")"
        for rule in routing.secondary
    )
    return {
        "edition": routing.edition + (" (inferred)" if routing.inferred else ""),
        "primary": ", ".join(sorted(routing.primary)) or "nobody",
        "secondary": secondary or "nobody",
        "always": "everyone" if routing.everyone else ", ".join(sorted(routing.always)) or "nobody",
    }


def _days(path: DatePath) -> str:
    return path.start.text if path.end is None else f"{path.start.text} to {path.end.text}"


def _effect(effect: Effect) -> str:
    parts = (
        effect.action.value,
        effect.slot.value if effect.slot else "",
        effect.holder.text if effect.holder else "",
        f"at {effect.date.text}" if effect.date else "",
        f"if {effect.condition.path.text} is {', '.join(sorted(effect.condition.values))}"
        if effect.condition
        else "",
        "(assumption)" if effect.assumed else "",
    )
    return " ".join(filter(None, parts))


def compare(before: Catalogue, after: Catalogue) -> Iterator[RuleChange]:
    """Yield every rule that differs, at every date at which an edition of either begins."""
    for pair in sorted(before.pairs.keys() | after.pairs.keys()):
        said: dict[str, tuple[str | None, str | None]] = {}
        for at in sorted(starts_of(before, pair) | starts_of(after, pair)):
            old, new = _or_none(before, pair, at), _or_none(after, pair, at)
            for rule in [*old, *(one for one in new if one not in old)]:
                both = (old.get(rule), new.get(rule))
                if both[0] != both[1] and said.get(rule) != both:
                    yield RuleChange(
                        interface=pair[0], event=pair[1], since=at, rule=rule, before=both[0], after=both[1]
                    )
                said[rule] = both


def _or_none(catalogue: Catalogue, pair: Pair, at: datetime) -> dict[str, str]:
    return rules_of(catalogue, *pair, at) if pair in catalogue.pairs else {}


def starts_of(catalogue: Catalogue, pair: Pair) -> set[datetime]:
    """Return when editions of a pair's rules begin."""
    if pair not in catalogue.pairs:
        return set()
    return {one.effective_from for one in catalogue.channels[pair[0]].editions} | catalogue.edition_starts(
        *pair
    )
