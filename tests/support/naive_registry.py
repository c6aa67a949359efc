"""A clerk with a notebook: who holds what for an MPAN, worked out the slow way.

Written from protocol.md 11 alone and deliberately naive: it keeps what it was told as a list of notes, answers every
question by reading the whole list from the top, and reckons dates by hand. It shares nothing with the product: no
catalogue, no statements, no supersession, no datetime. "As known at K" is simply: stop reading at K.
"""

from dataclasses import dataclass, field
from typing import Any

FOREVER = 2**62


def days_since_1970(year: int, month: int, day: int) -> int:
    """Count the days one year and one month at a time."""
    count = sum(366 if leap(one) else 365 for one in range(1970, year))
    lengths = [31, 29 if leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return count + sum(lengths[: month - 1]) + day - 1


def leap(year: int) -> bool:
    return (year % 4 == 0 and year % 100 != 0) or year % 400 == 0


def last_sunday(year: int, month: int) -> int:
    """Return the day number of the last Sunday of March or October; 1970-01-01 was a Thursday."""
    last = days_since_1970(year, month, 31)
    while (last + 4) % 7 != 0:
        last -= 1
    return last


_READ: dict[str, int] = {}


def seconds(text: str) -> int:
    """Read a date-time with its offset, or a bare date as midnight on British clocks."""
    if text not in _READ:
        year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
        number = days_since_1970(year, month, day)
        if len(text) == 10:
            # Clocks change at 01:00 UTC on a Sunday: its midnight is still on the old time.
            summer = last_sunday(year, 3) < number <= last_sunday(year, 10)
            _READ[text] = number * 86400 - (3600 if summer else 0)
        else:
            clock = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
            offset = int(text[20:22]) * 3600 + int(text[23:25]) * 60
            _READ[text] = number * 86400 + clock - (offset if text[19] == "+" else -offset)
    return _READ[text]


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the notebook."""

    known: int
    verb: str
    role: str
    who: str | None
    when: int


@dataclass(slots=True)
class NaiveRegistry:
    """The clerk. Times of knowing are microseconds since 1970, dates of appointments seconds."""

    notes: list[Note] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)

    def message(self, source: str, received: int, interface: str, event: str, payload: Any) -> None:
        """Note what a registration message says, in the order of its blocks."""
        self._note(source, received, lines_of(interface, event, payload))

    def load(self, source: str, received: int, rows: list[dict[str, Any]]) -> None:
        """Note the rows of a bulk load or a repair; a repair forgets what it replaces first."""
        lines: list[tuple[str, str, str | None, int]] = []
        replaced = dict.fromkeys(row["role"] for row in rows if row["replaces"])
        lines += [("forget", role, None, 0) for role in replaced]
        for row in rows:
            if not row["who"]:
                continue
            lines.append(("start", row["role"], row["who"], seconds(row["from"])))
            if row["to"]:
                lines.append(("end", row["role"], row["who"], seconds(row["to"])))
        self._note(source, received, lines)

    def _note(self, source: str, received: int, lines: list[tuple[str, str, str | None, int]]) -> None:
        if source in self.heard or not lines:
            return
        self.heard.add(source)
        known = received
        if self.notes and self.notes[-1].known >= received:
            known = self.notes[-1].known + 1  # the notebook is written from top to bottom
        self.notes += [Note(known, *line) for line in lines]

    def who(self, role: str, when: int, known: int = FOREVER) -> str | None:
        """Return who holds a role at a moment, by what was noted until `known`."""
        if role != "GSP" and self._away(when, known):
            return None
        starts, ends = self._picture(role, known)
        holder, since = None, None
        for who, at in starts:
            if at <= when and (since is None or at >= since):
                holder, since = who, at
        for who, at in ends:
            if since is not None and who == holder and since < at <= when:
                return None
        return holder

    def _picture(
        self, role: str, known: int
    ) -> tuple[list[tuple[str | None, int]], list[tuple[str | None, int]]]:
        """Return the starts and the ends that stand, reading from the top."""
        starts: list[tuple[str | None, int]] = []
        ends: list[tuple[str | None, int]] = []
        for note in self.notes:
            if note.known > known or note.role != role:
                continue
            if note.verb == "forget":
                starts, ends = [], []
            elif note.verb == "start":
                starts = [one for one in starts if one[1] != note.when] + [(note.who, note.when)]
            elif note.verb == "correct":
                if ends:
                    last = max(at for _, at in ends)
                    starts = [one for one in starts if one[1] < last]
                starts = [one for one in starts if one[1] != note.when] + [(note.who, note.when)]
            elif note.verb == "withdraw":
                starts = [one for one in starts if one != (note.who, note.when)]
            elif note.verb == "end":
                begun = begin_of(starts, note.when)
                ends = [one for one in ends if one[0] != note.who or begin_of(starts, one[1]) != begun]
                ends.append((note.who, note.when))
        return starts, ends

    def _away(self, when: int, known: int) -> bool:
        """Tell whether the latest word about the MPAN until then is that it left."""
        words: dict[int, bool] = {}
        for note in self.notes:
            if note.known <= known and note.role == "MPAN":
                words[note.when] = note.verb == "leave"
        past = [at for at in words if at <= when]
        return bool(past) and words[max(past)]


def begin_of(starts: list[tuple[str | None, int]], when: int) -> int | None:
    """Return when the appointment began that an end at a moment is about."""
    return max((at for _, at in starts if at < when), default=None)


def lines_of(  # noqa: PLR0912  # a list of cases, as the document has it
    interface: str, event: str, payload: Any
) -> list[tuple[str, str, str | None, int]]:
    """Read the appointments out of a message: protocol.md 11, row by row."""
    custom, m0 = payload["CustomBlock"], payload["CommonBlock"]["M0"]
    found: list[tuple[str, str, str | None, int]] = []

    def say(verb: str, role: str, block: str, who: str, when: str) -> None:
        if block in custom:
            found.append((verb, role, custom[block][who], seconds(custom[block][when])))

    def move(verb: str, block: str, when: str) -> None:
        found.append((verb, "MPAN", None, seconds(custom[block][when])))

    if interface == "IF-001":
        say("start", "SUP", "B002", "incomingSupplierDIPID", "supplierEffectiveFromDate")
        if event == "ChangeOfSupplier":
            say("end", "SUP", "B003", "outgoingSupplierDIPID", "supplierEffectiveToDate")
    elif interface == "IF-003" and event == "ReverseMigNotification":
        move("leave", "B094", "MHHSRegimeEndDate")
    elif interface == "IF-003" or (interface == "IF-037" and "Update" not in event):
        say("end", "MS", "B008", "deAppointedMeteringServiceDIPID", "meteringServiceEffectiveToDate")
        say("end", "DS", "B009", "deAppointedDataServiceDIPID", "dataServiceEffectiveToDate")
        if interface == "IF-037":
            say("start", "MS", "B010", "incomingMeteringServiceDIPID", _MS_FROM)
            say("start", "DS", "B011", "incomingDataServiceDIPID", _DS_FROM)
    elif interface == "IF-037":
        say("correct", "MS", "B010", "incomingMeteringServiceDIPID", _MS_FROM)
        say("correct", "DS", "B011", "incomingDataServiceDIPID", _DS_FROM)
    elif interface == "IF-036" and event == "MSAppActive":
        say("start", "MS", "B014", "incomingMeteringServiceDIPID", _MS_FROM)
    elif interface == "IF-036":
        say("start", "DS", "B015", "incomingDataServiceDIPID", _DS_FROM)
        say("start", "MDR", "B019", "assignedMDRDIPID", "assignedMDREffectiveFromDate")
    elif interface == "IF-035" and event == "SDS-MDROutcome":
        say("start", "MDR", "B092", "assignedMDRDIPID", "assignedMDREffectiveFromDate")
    elif interface == "IF-035" and custom["B066"]["responseCode"] == "A":
        say("start", "MDR", "B066", "assignedMDRDIPID", "assignedMDREffectiveFromDate")
    elif interface == "IF-009" and event == "MPANDisconnection":
        move("leave", "B041", "disconnectionEffectiveFromDate")
    elif interface == "IF-009" and event == "CSSDeRegistration":
        move("leave", "B042", "CSSMPANDeRegistrationDate")
    elif interface == "IF-009":
        move("return", "B098", "reconnectionEffectiveFromDate")
    elif interface == "IF-050" or event == "GSPChg":  # AddressChg carries the date, too, and moves nothing
        when = seconds(custom["B001"]["GSPGroupEffectiveFromDate"])
        if interface == "IF-050":
            found.append(("start", "LDSO", m0["distributorDIPID"], when))
        found.append(("start", "GSP", m0["GSPGroupID"], when))
    return found


_MS_FROM = "incomingMeteringServiceEffectiveFromDate"
_DS_FROM = "incomingDataServiceEffectiveFromDate"
