"""Mends for names and for the form of a message: walks it beside its shape and changes what is certain."""

from collections.abc import Iterator
from typing import Final

from pipeline.catalogue.casing import fold
from pipeline.catalogue.explanation import fits
from pipeline.catalogue.shapes import Listing, Record, Scalar, Shape
from pipeline.lint.findings import Finding, Kind, Place
from pipeline.lint.nodes import Entry, Leaf, Node, Sequence, Table, plain
from pipeline.lint.values import remark_on

_ALIASES: Final = {
    "environment": "environmentTag",
    "senttimestamp": "senderTimestamp",
    "sendersenttimestamp": "senderTimestamp",
    "interface": "interfaceID",
    "event": "eventCode",
    "sur": "senderUniqueReference",
    "mpan": "MPANCore",
    "distributorid": "distributorDIPID",
    "dipcpid": "DIPConnectionProviderID",
    "correlationid": "senderCorrelationID",
}
"""Spellings of published examples and of habit, folded; used only where the specification's name is absent."""

_LIST: Final = "List"


def mend_fields(node: Node, shape: Shape, place: Place = ()) -> Iterator[Finding]:
    """Yield what is wrong with names and values below a place; what is certain is changed in the node."""
    match node, shape:
        case Table(), Record():
            yield from _mend_table(node, shape, place)
        case Sequence(), Listing():
            for number, part in enumerate(node.parts):
                yield from _mend_part(node, number, part, shape.element, (*place, number))
        case Leaf(), Scalar(item=item):
            if remark := remark_on(node.value, node.source, item):
                at = node.at
                if remark.mended:
                    node.become(remark.value)
                yield Finding(
                    at=at,
                    place=place,
                    kind=remark.kind,
                    rule=remark.rule,
                    text=remark.text,
                    mend=remark.mend,
                    certain=remark.mended,
                )
        case _:
            return


def _mend_part(sequence: Sequence, number: int, part: Node, shape: Shape, place: Place) -> Iterator[Finding]:
    fitted, finding = _fitted(part, shape, place)
    if finding:
        sequence.parts[number] = fitted
        yield finding
    yield from mend_fields(fitted, shape, place)


def _mend_table(table: Table, record: Record, place: Place) -> Iterator[Finding]:
    for entry in table.entries:
        yield from _mend_name(table, entry, record, place)
    for entry in table.entries:
        member = record.members.get(entry.name)
        if member is None:
            continue
        below = (*place, entry.name)
        entry.node, finding = _fitted(entry.node, member.shape, below)
        if finding:
            yield finding
        yield from mend_fields(entry.node, member.shape, below)


def _mend_name(table: Table, entry: Entry, record: Record, place: Place) -> Iterator[Finding]:
    """Give an entry the specification's name where it has another one that can mean nothing else."""
    if entry.name in record.members:
        return
    name, rule = _known_as(entry, record)
    if not name or table.find(name) or (record.open and rule == "other-name"):
        return
    kind = Kind.NOTE if rule == "letter-case" else Kind.ERROR
    how = (
        "is not in the specification's letter case" if rule == "letter-case" else "is another name of a field"
    )
    yield Finding(
        at=entry.at,
        place=(*place, entry.name),
        kind=kind,
        rule=rule,
        text=f"{entry.name} {how}",
        mend=f"write {name}",
        certain=True,
    )
    entry.name = name


def _known_as(entry: Entry, record: Record) -> tuple[str, str]:
    folded = fold(entry.name)
    for name in record.members:
        if fold(name) == folded:
            return name, "letter-case"
    for name in (_ALIASES.get(folded, ""), entry.name.removesuffix(_LIST), entry.name + _LIST):
        if name in record.members and _could_hold(entry.node, record.members[name].shape):
            return name, "other-name"
    return "", ""


def _could_hold(node: Node, shape: Shape) -> bool:
    """Tell whether a value can become the form that a field has."""
    match shape:
        case Scalar():
            return isinstance(node, Leaf)
        case Record():
            return isinstance(node, Table) or (isinstance(node, Sequence) and len(node.parts) == 1)
        case Listing():
            return not isinstance(node, Leaf)


def _fitted(node: Node, shape: Shape, place: Place) -> tuple[Node, Finding | None]:
    """Put a value into a list, or take the only one out, where the specification has the one or the other."""
    match node, shape:
        case Table() | Leaf(), Listing(element=element) if _is_one(node, element):
            text, mend = "one value where an array is expected", "put it in [ ]"
            return Sequence(node.at, [node]), _form(node, place, text, mend)
        case Sequence(parts=[only]), Record() if isinstance(only, Table):
            return only, _form(node, place, "an array of one where an object is expected", "leave out [ ]")
        case _:
            return node, None


def _is_one(node: Node, element: Shape) -> bool:
    match node, element:
        case Table(), Record():
            return True
        case Leaf(value=value), Scalar(item=item):
            return value is not None and fits(plain(node), item)
        case _:
            return False


def _form(node: Node, place: Place, text: str, mend: str) -> Finding:
    return Finding(at=node.at, place=place, kind=Kind.ERROR, rule="form", text=text, mend=mend, certain=True)
