"""Lints a file: finds its messages, mends each beside its shape, and lets the catalogue have the last word."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.catalogue import Catalogue, Channel
from pipeline.catalogue.casing import fold
from pipeline.catalogue.explanation import shown
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.limits import VALIDATE_PROBLEMS_MAX
from pipeline.lint.fields import mend_fields
from pipeline.lint.findings import Finding, Kind, Lines, Place, Report
from pipeline.lint.nodes import Entry, Leaf, Node, Sequence, Table, nearest, plain, write
from pipeline.lint.tolerant import Reader

_INDENT: Final = 2
_NAMED: Final = re.compile(r"\s*(IF|PUB|REP)[-_ ]?0*([0-9]{1,3})([A-Z]?)\s*", re.IGNORECASE | re.ASCII)
_TO_S0: Final = ("payload", "CommonBlock", "S0")
_HEADER_NAMES: Final = {
    "interfaceID": frozenset({"interfaceid", "interface"}),
    "eventCode": frozenset({"eventcode", "event"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One message of the file. `fits`: as it is; `fits_mended`: with everything that is certain mended."""

    number: int
    interface: str | None
    event: str | None
    fits: bool
    fits_mended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """What came of a file. `mended` is its text with every certain mend, None where it could not all be read."""

    lines: Lines
    report: Report
    messages: tuple[Judged, ...]
    mended: str | None

    @property
    def clean(self) -> bool:
        """Tell whether a strict reader and the catalogue accept the file as it is."""
        return bool(self.messages) and not self.report.errors

    @property
    def clean_mended(self) -> bool:
        """Tell whether they would accept the mended file."""
        return self.mended is not None and bool(self.messages) and not self.report.errors_uncertain


def lint(text: str, catalogue: Catalogue) -> Linted:
    """Read a file's text and say everything that is wrong with its messages."""
    reader = Reader(text)
    values = reader.values()
    complete = not any(not one.certain and one.rule != "named-twice" for one in reader.findings)
    report = Report()
    report.extend(reader.findings)
    judge = _Judge(catalogue, report)
    for index, value in enumerate(values):
        values[index] = judge.value(value)
    if not judge.messages and complete:
        place: Place = ()
        report.add(
            _error(0, place, "no-message", 'no message in the file: one is an object {"payload": {...}}')
        )
    report.findings.sort(key=lambda finding: finding.at)
    return Linted(
        lines=Lines(text),
        report=report,
        messages=tuple(judge.messages),
        mended=_written(values) if complete and values else None,
    )


def _written(values: list[Node]) -> str:
    """Write the file in the form that it had: one value for reading, or one per line."""
    if len(values) == 1:
        return write(values[0], indent=_INDENT) + "\n"
    return "".join(write(value, indent=None) + "\n" for value in values)


class _Judge:
    """Judges the messages of a file one after another."""

    def __init__(self, catalogue: Catalogue, report: Report) -> None:
        self._catalogue = catalogue
        self._report = report
        self.messages: list[Judged] = []

    def value(self, value: Node) -> Node:
        """Judge a value of the file and return it mended: a message, an array of them, or a line of `dip validate`."""
        match value:
            case Sequence():
                for number, part in enumerate(value.parts):
                    value.parts[number] = self._message(part, (number,))
                return value
            case Table() if (wrapped := value.find("message")) and isinstance(wrapped.node, Table):
                wrapped.node = self._message(wrapped.node, ("message",))
                return value
            case _:
                return self._message(value, ())

    def _message(self, node: Node, place: Place) -> Node:
        if not isinstance(node, Table):
            self._report.add(_error(node.at, place, "no-message", f"{shown(plain(node))} is no message"))
            return node
        before = plain(node)
        fits = self._catalogue.check(before).valid
        node = self._wrapped(node, place)
        channel, event = self._pair(node, place)
        own: list[Finding] = []
        if channel is not None and event is not None:
            root = self._catalogue.pair(channel.interface, event).shape.root
            own = [*mend_fields(node, root, place), *_traps(node, channel, place)]
            self._report.extend(own)
        verdict = self._catalogue.check(plain(node), limit=VALIDATE_PROBLEMS_MAX)
        said = {finding.pointer for finding in own if finding.kind is Kind.ERROR and not finding.certain}
        for problem in verdict.problems:
            below = _place(problem.pointer)
            finding = _error(nearest(node, below), (*place, *below), "schema", problem.text)
            if finding.pointer not in said:
                self._report.add(finding)
        self.messages.append(
            Judged(
                number=len(self.messages) + 1,
                interface=verdict.interface,
                event=verdict.event,
                fits=fits,
                fits_mended=verdict.valid,
            )
        )
        return node

    def _wrapped(self, node: Table, place: Place) -> Table:
        """Put `payload` around a message that begins with its blocks."""
        names = {fold(entry.name) for entry in node.entries}
        if "commonblock" not in names or "payload" in names:
            return node
        self._report.add(
            Finding(
                at=node.at,
                place=place,
                kind=Kind.ERROR,
                rule="no-payload",
                text="the message has no payload around its blocks",
                mend='write {"payload": {...}}',
                certain=True,
            )
        )
        return Table(node.at, [Entry("payload", node.at, node)])

    def _pair(self, node: Table, place: Place) -> tuple[Channel | None, EventCode | None]:
        """Find out which message this is meant to be, and mend how it says so."""
        interface = _header(node, "interfaceID")
        channel = self._channel(interface, place) if interface else None
        if channel is None or interface is None:
            return None, None
        event = _header(node, "eventCode")
        return channel, self._event(event, channel, place) if event else None

    def _channel(self, leaf: Leaf, place: Place) -> Channel | None:
        known = self._catalogue.channels
        if isinstance(leaf.value, str) and leaf.value in known:
            return known[InterfaceId(leaf.value)]
        found = _NAMED.fullmatch(str(leaf.value))
        if found is None:
            return None
        kind = found[1].upper().replace("PUB", "IF")
        name = InterfaceId(f"{kind}-{int(found[2]):03d}{found[3].upper()}")
        if name not in known:
            return None
        where = (*place, *_TO_S0, "interfaceID")
        self._report.add(
            _spelled(leaf, where, "interface", f"{shown(leaf.value)} is not how S0 names the interface", name)
        )
        leaf.become(name)
        return known[name]

    def _event(self, leaf: Leaf, channel: Channel, place: Place) -> EventCode | None:
        text = str(leaf.value).strip()
        bare = text.removeprefix("[").removesuffix("]").strip()
        alike = [event for event in channel.events if event.lower() == bare.lower()]
        if len(alike) != 1:
            return None
        event = alike[0]
        if leaf.value != f"[{event}]":
            why = "has no brackets" if bare == text else "is not how the specification spells it"
            where = (*place, *_TO_S0, "eventCode")
            self._report.add(_spelled(leaf, where, "event", f"{shown(leaf.value)} {why}", f"[{event}]"))
            leaf.become(f"[{event}]")
        return event


def _header(node: Node, wanted: str) -> Leaf | None:
    """Find a field of S0 whatever the letter case of the names on the way."""
    for step in _TO_S0:
        if not isinstance(node, Table):
            return None
        found = next((entry.node for entry in node.entries if fold(entry.name) == fold(step)), None)
        if found is None:
            return None
        node = found
    entries = node.entries if isinstance(node, Table) else []
    named = (entry.node for entry in entries if fold(entry.name) in _HEADER_NAMES[wanted])
    leaf = next(named, None)
    return leaf if isinstance(leaf, Leaf) else None


def _traps(node: Node, channel: Channel, place: Place) -> Iterator[Finding]:
    """Tell M0 from M1 from none: the one thing in which channels differ silently."""
    common = _below(_below(node, "payload"), "CommonBlock")
    for name in ("M0", "M1"):
        entry = common.find(name) if isinstance(common, Table) else None
        if entry is None or name == channel.m_block:
            continue
        where = (*place, "payload", "CommonBlock", name)
        if channel.m_block is None:
            text = (
                f"{channel.interface} has no {name}: it is not addressed by meter point; leave the block out"
            )
        else:
            text = (
                f"{channel.interface} has {channel.m_block} with {channel.mpan_name} where this has {name}:"
                " check which meter point is meant, then write that"
            )
        yield _error(entry.at, where, "m-block", text)


def _below(node: Node | None, name: str) -> Node | None:
    entry = node.find(name) if isinstance(node, Table) else None
    return entry.node if entry else None


def _place(pointer: str) -> Place:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    return tuple(int(step) if step.isdigit() else step for step in steps)


def _error(at: int, place: Place, rule: str, text: str) -> Finding:
    return Finding(at=at, place=place, kind=Kind.ERROR, rule=rule, text=text)


def _spelled(leaf: Leaf, place: Place, rule: str, text: str, value: str) -> Finding:
    mend = f"write {shown(value)}"
    return Finding(at=leaf.at, place=place, kind=Kind.ERROR, rule=rule, text=text, mend=mend, certain=True)
