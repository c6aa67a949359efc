"""What the lint tool says: one value per remark, and where it is."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.catalogue.pointers import pointer
from pipeline.limits import LINT_FINDINGS_MAX

Place = tuple[str | int, ...]


class Kind(StrEnum):
    """How bad it is."""

    ERROR = "error"  # a strict reader or the router refuses it
    WARNING = "warning"  # the schema lets it pass, and it will hurt later
    NOTE = "note"  # accepted as it is, and better written otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One remark. `mend` says what to write; `certain` means that it cannot mean anything else: --fix does it."""

    at: int
    place: Place
    kind: Kind
    rule: str
    text: str
    mend: str = ""
    certain: bool = False

    @property
    def pointer(self) -> str:
        return pointer(self.place)


@dataclass(slots=True)
class Report:
    """Collects findings, at most as many as somebody would read, and counts them all."""

    findings: list[Finding] = field(default_factory=list)
    left_off: int = 0
    errors: int = 0
    errors_uncertain: int = 0
    certain: int = 0

    def add(self, finding: Finding) -> None:
        """Keep a finding; beyond the bound only count it."""
        self.certain += finding.certain
        if finding.kind is Kind.ERROR:
            self.errors += 1
            self.errors_uncertain += not finding.certain
        if len(self.findings) < LINT_FINDINGS_MAX:
            self.findings.append(finding)
        else:
            self.left_off += 1

    def extend(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.add(finding)


class Lines:
    """Turns offsets into lines and columns, both from 1; a column counts characters."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(at + 1 for at, char in enumerate(text) if char == "\n")]

    def of(self, at: int) -> tuple[int, int]:
        """Return (line, column) of an offset."""
        line = bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1
