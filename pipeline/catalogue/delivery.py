"""How each channel is delivered: `delivery.tsv`, and what an operator wants otherwise."""

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

from pipeline.catalogue.facts import FactsInvalid, table_bytes
from pipeline.domain.delivery_order import ChannelRule, Order, Rules
from pipeline.domain.identifiers import InterfaceId
from pipeline.errors import SettingsInvalid
from pipeline.limits import GATHER_S_MAX

TABLE = "delivery.tsv"


def load_delivery_rules(orders: str = "", gathering: str = "") -> Rules:
    """Read the table, then what differs from it.

    `orders` is written as IF-021=mpan,IF-036=none (DIP_DELIVERY_ORDER), `gathering` as IF-021=0.1 in seconds
    (DIP_DELIVERY_GATHER_S). Raises FactsInvalid for a row, SettingsInvalid for an entry that cannot be meant.
    """
    rules: dict[InterfaceId, ChannelRule] = {}
    for row in table_bytes(TABLE).decode().splitlines()[1:]:
        channel, order, priority, _ = row.split("\t")
        if order not in {*Order} or not priority.isdecimal():
            raise FactsInvalid(f"{TABLE}: {channel}: order {order!r} or priority {priority!r} is none")
        rules[InterfaceId(channel)] = ChannelRule(order=Order(order), priority=int(priority))
    for name, text in _entries(orders):
        channel = InterfaceId(name)
        if channel not in rules or text not in {*Order}:
            raise SettingsInvalid(
                f"DIP_DELIVERY_ORDER={orders}: {name}={text}: write a channel and {', '.join(Order)}, as IF-021=mpan"
            )
        rules[channel] = replace(rules[channel], order=Order(text))
    for name, text in _entries(gathering):
        channel, wait_s = InterfaceId(name), _seconds(text)
        if channel not in rules or wait_s is None:
            raise SettingsInvalid(
                f"DIP_DELIVERY_GATHER_S={gathering}: {name}={text}: write a channel and 0 to {GATHER_S_MAX:g}"
                " seconds, as IF-021=0.1"
            )
        rules[channel] = replace(rules[channel], gather_s=wait_s, gather_fixed=True)
    return MappingProxyType(rules)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, value = part.partition("=")
        yield name.strip(), value.strip()


def _seconds(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= GATHER_S_MAX else None
