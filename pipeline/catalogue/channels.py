"""Channels and who receives what: channels.tsv (facts) and routing.tsv (our reviewable configuration)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from pipeline.catalogue.facts import PACKAGED, Facts, FactsInvalid, rows
from pipeline.domain.identifiers import EventCode, InterfaceId, Role
from pipeline.domain.routing import SLOT_OF_ROLE, Holders, Need, Routing, SecondaryRule, Slot

EVERY_EVENT: Final = "*"
EVERYONE: Final = Role("ALL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A version of the routing of one channel, in force from an instant until the next one's."""

    name: str
    effective_from: datetime
    routings: Mapping[EventCode, Routing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A published channel. `m_block` is the MPAN block (M0, M1; None: not routable by MPAN)."""

    interface: InterfaceId
    publication: str
    short_name: str
    sender_roles: frozenset[Role]
    receiver_roles: frozenset[Role]
    m_block: str | None
    events: tuple[EventCode, ...]
    editions: tuple[Edition, ...]

    @property
    def mpan_name(self) -> str | None:
        """Return the name of the MPAN inside the M block."""
        return {"M0": "MPANCore", "M1": "principalMPAN"}.get(self.m_block or "")

    def routing(self, event: EventCode, at: datetime) -> Routing:
        """Return who receives an event by the edition in force at an instant; before the first one, by the first."""
        in_force = [one for one in self.editions if one.effective_from <= at]
        return (in_force or self.editions[:1])[-1].routings[event]


def load_channels(facts: Facts = PACKAGED) -> Mapping[InterfaceId, Channel]:
    """Read the channels with their routing."""
    routing_rows = {
        InterfaceId(interface): list(group)
        for interface, group in groupby(rows("routing.tsv", facts), lambda row: row["interface"])
    }
    return {
        InterfaceId(row["interface"]): _channel(row, routing_rows.get(InterfaceId(row["interface"]), []))
        for row in rows("channels.tsv", facts)
    }


def _channel(row: Mapping[str, str], routing_rows: list[dict[str, str]]) -> Channel:
    events = tuple(EventCode(event) for event in row["events"].split(","))
    receivers = frozenset(Role(role) for role in row["receiver_roles"].split(","))
    editions = tuple(
        _edition(name, list(group), events, receivers)
        for name, group in groupby(routing_rows, lambda row: row["edition"])
    )
    _check_editions(row["interface"], editions)
    return Channel(
        interface=InterfaceId(row["interface"]),
        publication=row["publication"],
        short_name=row["short_name"],
        sender_roles=frozenset(Role(role) for role in row["sender_roles"].split(",")),
        receiver_roles=receivers,
        m_block=None if row["m_block"] == "none" else row["m_block"],
        events=events,
        editions=editions,
    )


def _check_editions(interface: str, editions: tuple[Edition, ...]) -> None:
    """Refuse a channel without routing, or whose editions are not in the order of their dates."""
    starts = [edition.effective_from for edition in editions]
    if not starts or starts != sorted(set(starts)):
        raise FactsInvalid(f"routing.tsv: {interface} needs editions in the order of effective_from")


def _edition(
    name: str, group: list[dict[str, str]], events: tuple[EventCode, ...], receivers: frozenset[Role]
) -> Edition:
    starts = {row["effective_from"] for row in group}
    strange = {row["role"] for row in group} - receivers
    if len(starts) != 1 or strange:
        raise FactsInvalid(
            f"routing.tsv: {group[0]['interface']} {name}: dates {starts}, no receivers {strange}"
        )
    return Edition(
        name=name,
        effective_from=datetime.fromisoformat(starts.pop()).replace(tzinfo=UTC),
        routings={
            event: _routing(
                name, [row for row in group if event in _events(row) or EVERY_EVENT in _events(row)]
            )
            for event in events
        },
    )


def _events(row: Mapping[str, str]) -> list[str]:
    return row["events"].split(",")


def _routing(name: str, group: list[dict[str, str]]) -> Routing:
    always = _roles(group, "always")
    return Routing(
        edition=name,
        primary=_roles(group, "primary"),
        secondary=tuple(_secondary([row for row in group if row["kind"] == "secondary"])),
        always=always - {EVERYONE},
        everyone=EVERYONE in always,
        inferred=any(row["inferred"] == "y" for row in group),
    )


def _roles(group: Iterable[Mapping[str, str]], kind: str) -> frozenset[Role]:
    return frozenset(Role(row["role"]) for row in group if row["kind"] == kind)


def _secondary(group: list[dict[str, str]]) -> Iterable[SecondaryRule]:
    by_slot: dict[Slot, list[dict[str, str]]] = {}
    for row in group:
        slot = SLOT_OF_ROLE.get(Role(row["role"]))
        if slot is None:
            raise FactsInvalid(
                f"routing.tsv: {row['interface']}: no MPAN has a {row['role']}; it cannot be secondary"
            )
        by_slot.setdefault(slot, []).append(row)
    for slot, same in by_slot.items():
        if len({(row["need"], row["holders"]) for row in same}) != 1:
            raise FactsInvalid(
                f"routing.tsv: {same[0]['interface']}: the rows of slot {slot} contradict each other"
            )
        if same[0]["need"] not in set(Need) or same[0]["holders"] not in set(Holders):
            raise FactsInvalid(
                f"routing.tsv: {same[0]['interface']}: {same[0]['need']!r}, {same[0]['holders']!r}: expected"
                f" {' or '.join(Need)}, and {' or '.join(Holders)}"
            )
        yield SecondaryRule(
            slot=slot,
            roles=frozenset(Role(row["role"]) for row in same),
            need=Need(same[0]["need"]),
            holders=Holders(same[0]["holders"]),
        )
