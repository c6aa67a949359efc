"""Examples for people: one message of every pair, made up, valid, and the same every time.

They are samples with values that belong together: the sender has the role that it names, the distributor is
the one of the MPAN, periods end after they begin. A test validates every one of them.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from pipeline.catalogue.catalogue import Catalogue
from pipeline.catalogue.channels import Channel
from pipeline.catalogue.sample_values import dip_id, instant_text
from pipeline.catalogue.samples import SENT_AT, sample
from pipeline.domain.identifiers import EventCode, InterfaceId, Role
from pipeline.domain.routing import Routing

MPAN: Final = "2000056535971"
_GSP_GROUP: Final = "_H"
_SHIPPED_AFTER: Final = timedelta(seconds=1)
_PERIOD: Final = timedelta(days=28)
_ENDS: Final = ("EffectiveToDate", "EffectiveToDateTime", "PeriodEndDate", "ExpiryDate")
_INSTANT_CHARS: Final = 25


def example(
    catalogue: Catalogue, interface: InterfaceId, event: EventCode, *, egress: bool = False
) -> dict[str, Any]:
    """Return the example of a pair as its sender writes it, or with `egress` as a recipient gets it.

    Raises KeyError for a pair that does not exist.
    """
    channel = catalogue.channels[interface]
    role = min(channel.sender_roles)
    routing = channel.routing(event, SENT_AT)
    overrides: dict[str, object] = {
        "CommonBlock.S1.senderRoleID": role,
        "CommonBlock.S1.senderDIPID": dip_id(role),
        "CommonBlock.S1.senderUniqueReference": f"S-{interface}-{dip_id(role)}-{role}-20260105-0000000001",
        "CommonBlock.A0": _addressing(routing, egress=egress),
    }
    if channel.m_block is not None:
        overrides |= _meter_point(channel)
    if egress:
        overrides["CommonBlock.D0"] = _dip_block(channel, role)
    message = sample(
        catalogue,
        interface,
        event,
        Random(f"{interface} {event}"),  # noqa: S311  # an example, no secret
        optional_share=1.0,
        overrides=overrides,
    )
    custom = message["payload"].get("CustomBlock")
    _end_later(custom)
    return message


def _meter_point(channel: Channel) -> dict[str, object]:
    block = f"CommonBlock.{channel.m_block}"
    return {
        f"{block}.{channel.mpan_name}": MPAN,
        f"{block}.distributorDIPID": dip_id("LDSO"),
        f"{block}.GSPGroupID": _GSP_GROUP,
    }


def _addressing(routing: Routing, *, egress: bool) -> dict[str, list[str]]:
    """Name one recipient of each role: the sender only those it may, the router everybody."""
    secondary = {min(rule.roles) for rule in routing.secondary} if egress else set()
    always = routing.always if egress else frozenset[Role]()
    primary = {min(routing.primary)} if routing.primary else set()
    return {
        "primaryRecipients": sorted(map(dip_id, primary)),
        "secondaryRecipients": sorted(map(dip_id, secondary - primary)),
        "always": sorted(map(dip_id, always - secondary - primary)),
    }


def _dip_block(channel: Channel, role: Role) -> dict[str, object]:
    return {
        "transactionID": f"T-{channel.interface}-{dip_id(role)}-{role}-20260105-00000000000000000001",
        "transactionTimestamp": instant_text(SENT_AT + _SHIPPED_AFTER),
        "publicationID": channel.publication,
        "initialCorrelationID": None,
        "replayIndicator": False,
        "serviceTicketURL": None,
    }


def _end_later(value: object) -> None:
    """Move the ends of periods to four weeks after their beginning: samples have one day for everything."""
    if isinstance(value, list):
        for element in value:
            _end_later(element)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name.endswith(_ENDS) and isinstance(part, str) and len(part) == _INSTANT_CHARS:
                value[name] = _later(part)
            else:
                _end_later(part)


def _later(text: str) -> str:
    return instant_text(datetime.fromisoformat(text).astimezone(UTC) + _PERIOD)
