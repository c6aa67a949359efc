"""Reads checks.tsv, and the operator's word on the levels of its movable rows."""

from dataclasses import replace

from pipeline.catalogue.facts import FactsInvalid, rows
from pipeline.domain.checks import Check, Checks, Level
from pipeline.domain.rejections import CheckId, Code
from pipeline.errors import SettingsInvalid


def load_checks(moves: str = "") -> Checks:
    """Return the checks, some moved: `environment-tag=L2,primary-recipient=L1`.

    Raises SettingsInvalid for a check that does not exist, one that cannot be moved, and a level that is none.
    """
    checks = {one.id: one for one in map(_check, rows("checks.tsv"))}
    if checks.keys() != set(CheckId):
        raise FactsInvalid(f"checks.tsv: rows and ids differ by {sorted(checks.keys() ^ set(CheckId))}")
    for name, level in _moves(moves).items():
        checks[name] = replace(checks[name], level=level)
    return Checks(checks.values())


def _check(row: dict[str, str]) -> Check:
    public = row["code"].startswith("MSG")
    return Check(
        id=CheckId(row["id"]),
        level=Level(row["level"]),
        movable=row["movable"] == "y",
        code=Code(row["code"]) if public else None,
        status=None if public else int(row["code"]),
        text=row["text"],
        source=row["source"],
    )


def _moves(text: str) -> dict[CheckId, Level]:
    movable = {row["id"] for row in rows("checks.tsv") if row["movable"] == "y"}
    moves: dict[CheckId, Level] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, level = (one.strip() for one in part.partition("="))
        if name not in movable:
            why = "cannot be moved" if name in set(CheckId) else "is no check"
            raise SettingsInvalid(
                f"DIP_CHECK_LEVELS: {name!r} {why}; these can: {', '.join(sorted(movable))} (docs/REJECTIONS.md)"
            )
        if level not in set(Level):
            raise SettingsInvalid(f"DIP_CHECK_LEVELS: {part!r}: expected {name}=L1 or {name}=L2")
        if CheckId(name) in moves:
            raise SettingsInvalid(f"DIP_CHECK_LEVELS: {name!r} is named twice")
        moves[CheckId(name)] = Level(level)
    return moves
