"""How each channel is delivered: `delivery.tsv`, and what an operator wants otherwise."""

from types import MappingProxyType

from pipeline.catalogue.facts import FactsInvalid, table_bytes
from pipeline.domain.delivery_order import ChannelRule, Order, Rules
from pipeline.domain.identifiers import InterfaceId
from pipeline.errors import SettingsInvalid

TABLE = "delivery.tsv"


def load_delivery_rules(overrides: str = "") -> Rules:
    """Read the table, then `overrides` as IF-021=mpan,IF-036=none (DIP_DELIVERY_ORDER).

    Raises FactsInvalid for a row, SettingsInvalid for an override that cannot be meant.
    """
    rules: dict[InterfaceId, ChannelRule] = {}
    for row in table_bytes(TABLE).decode().splitlines()[1:]:
        channel, order, priority, _ = row.split("\t")
        if order not in {*Order} or not priority.isdecimal():
            raise FactsInvalid(f"{TABLE}: {channel}: order {order!r} or priority {priority!r} is none")
        rules[InterfaceId(channel)] = ChannelRule(order=Order(order), priority=int(priority))
    for part in filter(None, (one.strip() for one in overrides.split(","))):
        name, _, order = part.partition("=")
        channel = InterfaceId(name.strip())
        if channel not in rules or order.strip() not in {*Order}:
            raise SettingsInvalid(
                f"DIP_DELIVERY_ORDER={overrides}: {part!r}: write a channel and {', '.join(Order)}, as IF-021=mpan"
            )
        rules[channel] = ChannelRule(order=Order(order.strip()), priority=rules[channel].priority)
    return MappingProxyType(rules)
