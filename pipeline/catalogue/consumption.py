"""Consumption replay (IF-015, IF-016): who may ask, and what is told of which messages: consumption_replay.tsv."""

from collections.abc import Iterator, Mapping

from pipeline.catalogue.facts import FactsInvalid, table_bytes
from pipeline.domain.consumption import ReplayRules, Request
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.routing import Slot

TABLE = "consumption_replay.tsv"
ANSWER = InterfaceId("IF-016")


def load_consumption_replay() -> ReplayRules:
    """Read the table; FactsInvalid unless exactly one row says who may ask."""
    rows = list(_rows())
    asks = [row for row in rows if row["slot"]]
    if len(asks) != 1:
        raise FactsInvalid(f"{TABLE}: {len(asks)} rows with a slot, expected the one of the request")
    (ask,) = asks
    if ask["slot"] not in {*Slot} or not ask["days_before"].isdecimal():
        raise FactsInvalid(f"{TABLE}: slot {ask['slot']!r} or days_before {ask['days_before']!r} is none")
    return ReplayRules(
        request=Request(
            pair=(InterfaceId(ask["interface"]), EventCode(ask["event"])),
            slot=Slot(ask["slot"]),
            days_before=int(ask["days_before"]),
            refusal=EventCode(ask["answer"]),
        ),
        answer=ANSWER,
        events={
            (InterfaceId(row["interface"]), EventCode(row["event"])): EventCode(row["answer"])
            for row in rows
            if not row["slot"]
        },
    )


def _rows() -> Iterator[Mapping[str, str]]:
    header, *lines = table_bytes(TABLE).decode().splitlines()
    names = header.split("\t")
    for line in lines:
        cells = line.split("\t")
        if len(cells) != len(names):
            raise FactsInvalid(f"{TABLE}: {line!r}: {len(cells)} cells, expected {len(names)}")
        yield dict(zip(names, cells, strict=True))
