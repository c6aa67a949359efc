"""Reads the channel facts for the market's own model of who must get a message.

The router compiles the same facts elsewhere; reading them a second time, by hand, is what makes the ledger a
check and not a mirror.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

HELD: Final = {
    "SUP": "SUP", "LDSO": "LDSO", "MDR": "MDR",
    "MSS": "MS", "MSA": "MS", "UMSO": "MS",
    "SDS": "DS", "ADS": "DS", "UMSDS": "DS",
}  # fmt: skip
"""Role -> the slot of an MPAN that its holder fills; the other roles serve the whole market."""

_EVERYBODY, _ANY = "ALL", "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Who may send on a channel and who receives, as three sets of roles.

    `named` are the slots whose absence refuses a message; `welcome` the ones that simply get nothing.
    """

    interface: str
    publication: str
    events: tuple[str, ...]
    senders: frozenset[str]
    primary: frozenset[str]
    named: frozenset[str]
    welcome: frozenset[str]
    always: frozenset[str]
    everybody: bool
    has_mpan: bool


def read_channels() -> Mapping[str, Channel]:
    """Return every channel by its interface, read from `channels.tsv` of the installed package."""
    text = (files("pipeline.catalogue") / "channels.tsv").read_text(encoding="utf-8")
    header, *rows = (line.split("\t") for line in text.splitlines())
    return {row[0]: _channel(dict(zip(header, row, strict=True))) for row in rows}


def _channel(row: Mapping[str, str]) -> Channel:
    receivers = frozenset(row["receiver_roles"].split(","))
    primary = _primary(row["primary_inferred"], receivers)
    explicit_always = _roles(row["always_inferred"])
    secondary = _roles(row["secondary_inferred"])
    held = {role for role in receivers if role in HELD}
    always = explicit_always
    if _ANY in explicit_always:
        # Central roles are bound to a channel as a whole; where it has none, its receivers are the audience.
        always = (receivers - held) or receivers
    welcome: frozenset[str] = frozenset()
    if _ANY in secondary:
        welcome = frozenset(held - primary - always)
    return Channel(
        interface=row["interface"],
        publication=row["publication"],
        events=tuple(row["events"].split(",")),
        senders=frozenset(row["sender_roles"].split(",")),
        primary=primary,
        named=frozenset(HELD[role] for role in secondary - {_ANY}),
        welcome=welcome,
        always=frozenset(always) - {_EVERYBODY},
        everybody=_EVERYBODY in receivers,
        has_mpan=row["m_block"] != "none",
    )


def _roles(text: str) -> frozenset[str]:
    return frozenset(part for part in text.replace("/", ",").split(",") if part)


def _primary(text: str, receivers: Iterable[str]) -> frozenset[str]:
    """Roles a sender may name: a list, `*` for any receiver, or a word such as `new agent`."""
    if text == _ANY:
        return frozenset(receivers)
    if text.endswith("agent"):
        return frozenset(role for role in receivers if HELD.get(role) in ("MS", "DS"))
    return _roles(text)
