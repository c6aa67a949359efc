"""What the compiled interface facts say about routing, as closed values that rules can match on."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.domain.identifiers import Role


class Slot(StrEnum):
    """What one holder has for an MPAN at any instant; participants hold all but the last two."""

    SUPPLIER = "SUP"
    DISTRIBUTOR = "LDSO"
    METERING_SERVICE = "MS"
    DATA_SERVICE = "DS"
    DATA_RETRIEVER = "MDR"
    GSP_GROUP = "GSP"
    """Held by a group id."""
    MARKET = "MHHS"
    """Held by the MPAN itself: whether it takes part in half-hourly settlement at all."""


SLOT_OF_ROLE: dict[Role, Slot] = {
    Role("SUP"): Slot.SUPPLIER,
    Role("LDSO"): Slot.DISTRIBUTOR,
    Role("MSS"): Slot.METERING_SERVICE,
    Role("MSA"): Slot.METERING_SERVICE,
    Role("UMSO"): Slot.METERING_SERVICE,
    Role("SDS"): Slot.DATA_SERVICE,
    Role("ADS"): Slot.DATA_SERVICE,
    Role("UMSDS"): Slot.DATA_SERVICE,
    Role("MDR"): Slot.DATA_RETRIEVER,
}
"""Roles that are held per MPAN; every other role is central and is held for the whole market."""


class Need(StrEnum):
    """What it means when nobody holds a secondary slot on the date."""

    REQUIRED = "required"
    """The message cannot be addressed: MSG1038."""
    OPTIONAL = "optional"
    """The role simply gets no copy."""


class Holders(StrEnum):
    """Which holders of a slot a date selects."""

    CURRENT = "current"
    """Who holds it at that instant, by the effective-to rule in force."""
    BOTH_SIDES = "both_sides"
    """Also the one whose appointment ends at that instant: a change of supply concerns both suppliers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondaryRule:
    """One slot that receives by MPAN. `roles` are those its holder may have to be this recipient."""

    slot: Slot
    roles: frozenset[Role]
    need: Need
    holders: Holders = Holders.CURRENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Who receives one event of a channel.

    `primary` are the roles the sender may name, `always` the roles all of whose holders receive. `everyone`
    means every participant but the sender. `edition` names the version of the routing table that said so.
    """

    edition: str
    primary: frozenset[Role]
    secondary: tuple[SecondaryRule, ...]
    always: frozenset[Role]
    everyone: bool = False
    inferred: bool = True
