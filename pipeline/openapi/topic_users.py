"""Which process reads and writes which topic: for the AsyncAPI document, and for the chart's access rights.

A demo holds what workers wrote against it (tests/integration/test_demo_small.py).
"""

from dataclasses import dataclass
from typing import Final

from pipeline import topics as t


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """One kind of process. `inputs` are what it works through, of `reads`; `deletes` are records it takes away."""

    does: str
    inputs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()


_STANDING: Final = (t.PARTICIPANTS, t.SHARDS)
_LETTERS: Final = (t.DEAD_LETTER_VALIDATION, t.DEAD_LETTER_ADDRESSING, t.DEAD_LETTER_DELIVERY)
_ROUTED: Final = (t.INBOUND, t.VALIDATED, t.REGISTRATION)
_ROUTER_TABLES: Final = (t.SEEN_CHANGELOG, t.APPOINTMENTS_CHANGELOG, t.QUARANTINE_CHANGELOG)
_DELIVERED: Final = (t.OUTBOUND, t.STATUS)
_INDEXED: Final = (t.AUDIT, t.OUTBOUND, t.STATUS)
_JOURNAL_TABLES: Final = (
    *(t.ENTRIES_CHANGELOG, t.COPIES_CHANGELOG, t.REQUEUES_CHANGELOG, t.CONSUMPTION_CHANGELOG),
)
_DELIVERY_OWN: Final = (t.PARKED_CHANGELOG, t.NOTICES, t.ENDPOINT_HEALTH)

USERS: Final = {
    "bridge": Users(
        does="takes messages and webhook choices in over HTTPS",
        reads=_STANDING,
        writes=(t.INBOUND, t.STATUS, t.AUDIT, t.PARTICIPANTS),
    ),
    "router": Users(
        does="checks, addresses and copies messages, and reports what it refuses",
        inputs=_ROUTED,
        reads=(*_ROUTED, *_LETTERS, *_ROUTER_TABLES, *_STANDING),
        writes=(
            *(t.VALIDATED, t.OUTBOUND, t.STATUS, t.AUDIT, t.SHARDS),
            *(t.DEAD_LETTER_VALIDATION, t.DEAD_LETTER_ADDRESSING, t.DEAD_LETTER_REPORTING),
            *_ROUTER_TABLES,
        ),
    ),
    "delivery": Users(
        does="delivers copies to webhooks",
        inputs=_DELIVERED,
        reads=(*_DELIVERED, *_DELIVERY_OWN, t.LANES, *_STANDING),
        writes=(t.AUDIT, t.STATUS, t.DEAD_LETTER_DELIVERY, t.SHARDS, *_DELIVERY_OWN),
    ),
    "journal": Users(
        does="indexes audit and copies, answers questions about them and consumption replays, and sends copies again",
        inputs=_INDEXED,
        reads=(*_INDEXED, t.VALIDATED, *_JOURNAL_TABLES, *_STANDING),
        writes=(t.OUTBOUND, t.VALIDATED, t.AUDIT, t.SHARDS, t.DEAD_LETTER_JOURNAL, *_JOURNAL_TABLES),
    ),
    "archive": Users(does="keeps records for years", reads=tuple(t.ARCHIVED), deletes=(t.AUDIT,)),
    "console": Users(
        does="shows operators and participants what is, gives orders to lanes, sends dead letters back",
        reads=(
            *(t.AUDIT, t.APPOINTMENTS_CHANGELOG, *_LETTERS, t.DEAD_LETTER_REPORTING, t.DEAD_LETTER_JOURNAL),
            *(t.LANES, t.NOTICES, *_STANDING),
        ),
        writes=(t.LANES, t.AUDIT, t.INBOUND, t.VALIDATED, t.OUTBOUND, t.STATUS),
    ),
    "operator": Users(
        does="loads who exists, who holds what, and orders to lanes (`dip participants`, `appointments`, `lane`)",
        reads=(*_LETTERS, t.DEAD_LETTER_REPORTING, t.DEAD_LETTER_JOURNAL, *_STANDING, t.LANES),
        writes=(t.PARTICIPANTS, t.REGISTRATION, t.LANES, t.INBOUND, t.OUTBOUND, t.VALIDATED),
    ),
}
