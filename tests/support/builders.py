"""Values for tests: everything has a plain default, a test names only what it is about."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.domain.appointments import History
from pipeline.domain.changes import Change, Holds, apply
from pipeline.domain.envelope import Message
from pipeline.domain.headers import read_message
from pipeline.domain.identifiers import EventCode, InterfaceId, ParticipantId, Role
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.domain.routing import Holders, Need, Routing, SecondaryRule, Slot

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 5, 12, 30, 15, tzinfo=UTC)
MPAN = "2000056535971"

SUPPLIER, OTHER_SUPPLIER = "2300000001", "2300000002"
DISTRIBUTOR = "2500000001"
METERING, ADVANCED_METERING, UNMETERED = "1200000001", "1300000001", "1500000001"
DATA_SERVICE = "1400000001"
MARKET_DATA, LOAD_SHAPING = "1800000001", "1900000001"
REGISTRATION = "2200000001"
PROVIDER = "9900000001"

ROLES = {
    SUPPLIER: "SUP",
    OTHER_SUPPLIER: "SUP",
    DISTRIBUTOR: "LDSO",
    METERING: "MSS",
    ADVANCED_METERING: "MSA",
    UNMETERED: "UMSO",
    DATA_SERVICE: "SDS",
    MARKET_DATA: "MDS",
    LOAD_SHAPING: "LSS",
    REGISTRATION: "REGS",
}


def day(number: float) -> datetime:
    """Return the start of a day of January 2026, or of a later one."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)


def participant(
    dip_id: str,
    *roles: str,
    valid_from: datetime = LONG_AGO,
    valid_to: datetime | None = None,
    providers: Iterable[str] = (),
) -> Participant:
    return Participant(
        id=ParticipantId(dip_id),
        name=f"Company {dip_id}",
        roles=tuple(RoleGrant(role=Role(role), valid_from=valid_from, valid_to=valid_to) for role in roles),
        connection_providers=frozenset(ParticipantId(one) for one in providers),
    )


def market(*others: Participant, without: Iterable[str] = ()) -> Participants:
    """Return the usual cast; a participant given replaces the one of its id."""
    cast = {dip_id: participant(dip_id, role) for dip_id, role in ROLES.items() if dip_id not in set(without)}
    cast |= {one.id: one for one in others}
    return Participants(cast.values())


def sender_block(**changes: object) -> dict[str, Any]:
    return {
        "environmentTag": "UIT",
        "subText": None,
        "senderUniqueReference": f"S-IF-021-{DATA_SERVICE}-SDS-20260105-a1",
        "senderTimestamp": "2026-01-05T12:30:00+00:00",
        "senderDIPID": DATA_SERVICE,
        "senderRoleID": "SDS",
        "senderCorrelationID": None,
        "DIPConnectionProviderID": None,
    } | changes


def message_object(
    *,
    interface: str = "IF-021",
    event: str = "ActivePower",
    primary: Iterable[str | None] | None = (),
    mpan: str | None = MPAN,
    m_block: str = "M0",
    custom: object | None = None,
    **s1: object,
) -> dict[str, Any]:
    """Return a message in the specification's letter case; its CustomBlock is no valid one."""
    common: dict[str, Any] = {
        "S0": {"interfaceID": interface, "schemaVersion": "011", "eventCode": f"[{event}]"},
        "S1": sender_block(**s1),
    }
    if primary is not None:
        common["A0"] = {"primaryRecipients": list(primary), "secondaryRecipients": [], "always": []}
    if mpan is not None:
        name = "MPANCore" if m_block == "M0" else "principalMPAN"
        common[m_block] = {name: mpan, "distributorDIPID": DISTRIBUTOR, "GSPGroupID": "_J"}
    return {"payload": {"CommonBlock": common, "CustomBlock": {"B1": {}} if custom is None else custom}}


def compact(obj: object) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


def message(
    *,
    received_at: datetime = NOW,
    applicable: Iterable[datetime] = (),
    body: bytes | None = None,
    **fields: Any,
) -> Message:
    """Read a message made by `message_object(**fields)`."""
    obj = message_object(**fields)
    return read_message(
        obj,
        body=compact(obj) if body is None else body,
        interface=InterfaceId(fields.get("interface", "IF-021")),
        event=EventCode(fields.get("event", "ActivePower")),
        received_at=received_at,
        applicable=tuple(applicable),
        checked_against="facts",
        exact_case=True,
    )


def required(slot: Slot, *roles: str, holders: Holders = Holders.CURRENT) -> SecondaryRule:
    return SecondaryRule(
        slot=slot, roles=frozenset(Role(one) for one in roles), need=Need.REQUIRED, holders=holders
    )


def optional(slot: Slot, *roles: str) -> SecondaryRule:
    return SecondaryRule(slot=slot, roles=frozenset(Role(one) for one in roles), need=Need.OPTIONAL)


def routing(
    *secondary: SecondaryRule, primary: Iterable[str] = (), always: Iterable[str] = (), everyone: bool = False
) -> Routing:
    return Routing(
        edition="test",
        primary=frozenset(Role(one) for one in primary),
        secondary=secondary,
        always=frozenset(Role(one) for one in always),
        everyone=everyone,
    )


CONSUMPTION = routing(
    required(Slot.SUPPLIER, "SUP"), required(Slot.DISTRIBUTOR, "LDSO"), always=("MDS", "LSS")
)
"""What IF-021 does."""


def history(
    *changes: Change, since: History | None = None, recorded_at: datetime = LONG_AGO, source: str = "load"
) -> History:
    """Return a history after some changes."""
    return apply(since, changes, recorded_at=recorded_at, source=source).history


def holds(slot: Slot, holder: str, since: datetime = LONG_AGO, until: datetime | None = None) -> Holds:
    return Holds(slot=slot, holder=holder, valid_from=since, valid_to=until)


def ordinary_history() -> History:
    """Return an MPAN with one holder per slot since long ago."""
    return history(
        holds(Slot.SUPPLIER, SUPPLIER),
        holds(Slot.DISTRIBUTOR, DISTRIBUTOR),
        holds(Slot.METERING_SERVICE, METERING),
        holds(Slot.DATA_SERVICE, DATA_SERVICE),
        holds(Slot.GSP_GROUP, "_J"),
    )
