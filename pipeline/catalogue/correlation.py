"""Which channel hands out correlation ids, which hands them back: correlation.tsv (an assumption, row by row)."""

from collections.abc import Collection, Mapping
from functools import partial

from pipeline.catalogue.dated import Dated, EditionRows, dated
from pipeline.catalogue.facts import PACKAGED, Facts, FactsInvalid, rows
from pipeline.domain.fanout import Correlation
from pipeline.domain.identifiers import EventCode, InterfaceId

Pair = tuple[InterfaceId, EventCode]


def load_correlations(pairs: Collection[Pair], facts: Facts = PACKAGED) -> Mapping[Pair, Dated[Correlation]]:
    """Read the rule of every pair, in editions; a pair without one, or with two, is refused."""
    found = dated("correlation.tsv", rows("correlation.tsv", facts), partial(_edition, pairs=pairs))
    if missing := [pair for pair in pairs if pair not in found]:
        raise FactsInvalid(f"correlation.tsv: no rule for {missing[0]}")
    return found


def _edition(interface: str, edition: EditionRows, *, pairs: Collection[Pair]) -> Mapping[Pair, Correlation]:
    found: dict[Pair, Correlation] = {}
    for row in edition.rows:
        events = None if row["events"] == "*" else row["events"].split(",")
        named = [pair for pair in pairs if pair[0] == interface and (events is None or pair[1] in events)]
        if not named or any(pair in found for pair in named):
            raise FactsInvalid(
                f"correlation.tsv: {row['interface']} {row['events']} is unknown, or named twice"
            )
        found |= dict.fromkeys(named, _rule(row))
    if missing := [pair for pair in pairs if pair[0] == interface and pair not in found]:
        raise FactsInvalid(f"correlation.tsv: edition {edition.name} has no rule for {missing[0]}")
    return found


def _rule(row: Mapping[str, str]) -> Correlation:
    if row["rule"] not in set(Correlation):
        raise FactsInvalid(
            f"correlation.tsv: {row['interface']}: rule {row['rule']!r}: expected {', '.join(Correlation)}"
        )
    return Correlation(row["rule"])
