"""Which channel hands out correlation ids, which hands them back: correlation.tsv (an assumption, row by row)."""

from collections.abc import Collection, Mapping

from pipeline.catalogue.facts import FactsInvalid, rows
from pipeline.domain.fanout import Correlation
from pipeline.domain.identifiers import EventCode, InterfaceId

Pair = tuple[InterfaceId, EventCode]


def load_correlations(pairs: Collection[Pair]) -> Mapping[Pair, Correlation]:
    """Read the rule of every pair; a pair without one, or with two, is refused."""
    found: dict[Pair, Correlation] = {}
    for row in rows("correlation.tsv"):
        events = None if row["events"] == "*" else row["events"].split(",")
        named = [
            pair for pair in pairs if pair[0] == row["interface"] and (events is None or pair[1] in events)
        ]
        if not named or any(pair in found for pair in named):
            raise FactsInvalid(
                f"correlation.tsv: {row['interface']} {row['events']} is unknown, or named twice"
            )
        found |= dict.fromkeys(named, Correlation(row["rule"]))
    if missing := [pair for pair in pairs if pair not in found]:
        raise FactsInvalid(f"correlation.tsv: no rule for {missing[0]}")
    return found
