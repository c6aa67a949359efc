"""Random lives of an MPAN, told to the product and to the naive clerk; then both are asked the same questions.

A life is a number: the same number is the same life, so a failing one is a regression test. Messages come from a
fixed pool of bodies, which the product reads through its fact tables and the clerk through its own eyes.
"""

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import orjson

from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.domain.appointments import UNKNOWN, History, holders
from pipeline.domain.changes import Change, apply, changes_in
from pipeline.domain.envelope import Holding, Registration
from pipeline.domain.identifiers import Mpan
from pipeline.domain.routing import Slot
from pipeline.domain.times import effective_instant
from pipeline.intake import changes_of
from tables import appointments as table
from tests.support.builders import MPAN, message
from tests.support.naive_registry import NaiveRegistry

POOL = 4_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Days around both changes of the clocks, and a leap day: 24 of them, so that lives meet.
DAYS = [
    *(f"2026-03-{number:02d}" for number in range(22, 32)),
    *(f"2026-10-{number:02d}" for number in range(20, 32)),
    "2028-02-29",
    "2028-03-01",
]
MOMENTS = [
    (EPOCH + timedelta(days=(datetime.fromisoformat(day).replace(tzinfo=UTC) - EPOCH).days, seconds=off))
    for day in DAYS
    for off in (-3600, -1, 0, 1, 43_200)
]
SEEN_FROM = datetime(2026, 3, 1, tzinfo=UTC)
ROLES = ("SUP", "LDSO", "MS", "DS", "MDR", "GSP")
PEOPLE = {role: [f"{number}0000000{one}" for one in (1, 2, 3)] for number, role in enumerate(ROLES, 11)}
GROUPS = ["_A", "_B", "_C"]


@dataclass(frozen=True, slots=True)
class Told:
    """A message of the pool, as both sides take it."""

    interface: str
    event: str
    payload: Any
    changes: tuple[Change, ...]


def date_text(rng: Random) -> str:
    """Write a day in one of the ways senders do: bare, UTC, or with the summer's offset."""
    day = rng.choice(DAYS)
    return rng.choice([day, f"{day}T00:00:00+00:00", f"{day}T00:00:00+01:00", f"{day}T12:30:00-01:00"])


def body_of(rng: Random) -> tuple[str, str, dict[str, Any]]:
    """Make the blocks of a registration message that matter here."""

    def block(who: str, role: str, when: str, **more: str) -> dict[str, str]:
        return {who: rng.choice(PEOPLE[role]), when: date_text(rng), **more}

    def perhaps(name: str, made: dict[str, str]) -> dict[str, Any]:
        return {name: made} if rng.random() < 0.5 else {}

    ms = ("MeteringService", "meteringService", "MS", "B008", "B010")
    ds = ("DataService", "dataService", "DS", "B009", "B011")
    long, short, role, out, new = rng.choice([ms, ds])
    end = block(f"deAppointed{long}DIPID", role, f"{short}EffectiveToDate")
    start = block(f"incoming{long}DIPID", role, f"incoming{long}EffectiveFromDate")
    mdr = block("assignedMDRDIPID", "MDR", "assignedMDREffectiveFromDate")
    supplier = {"B002": block("incomingSupplierDIPID", "SUP", "supplierEffectiveFromDate")}
    leaver = {"B003": block("outgoingSupplierDIPID", "SUP", "supplierEffectiveToDate")}
    group = {"B001": {"GSPGroupEffectiveFromDate": date_text(rng)}}
    return rng.choice(
        [
            ("IF-001", "InitialRegistration", supplier),
            ("IF-001", "ChangeOfSupplier", {**supplier, **leaver}),
            ("IF-001", "ChangeOfSupplier", {**supplier, **leaver}),
            ("IF-003", f"{role}DeAppRM", {out: end, **supplier}),
            ("IF-003", "ReverseMigNotification", {"B094": {"MHHSRegimeEndDate": date_text(rng)}, **supplier}),
            ("IF-009", "MPANDisconnection", {"B041": {"disconnectionEffectiveFromDate": date_text(rng)}}),
            ("IF-009", "MPANReconnection", {"B098": {"reconnectionEffectiveFromDate": date_text(rng)}}),
            ("IF-009", "CSSDeRegistration", {"B042": {"CSSMPANDeRegistrationDate": date_text(rng)}}),
            ("IF-018", "GSPChg", group),
            ("IF-018", "AddressChg", group),
            ("IF-035", "SDS-MDROutcome", {"B092": mdr}),
            ("IF-035", "DCC-MDROutcome", {"B066": {**mdr, "responseCode": rng.choice("AR")}}),
            (
                "IF-036",
                f"{role}AppActive",
                {"B014": start} if role == "MS" else {"B015": start, **perhaps("B019", mdr)},
            ),
            (
                "IF-037",
                f"{role}DeApp",
                {out: end, **perhaps(new, start), **perhaps("B002", supplier["B002"])},
            ),
            ("IF-037", f"{role}DeAppUpdate", {new: start}),
            ("IF-050", "MPANCreation", group),
        ]
    )


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def pool() -> list[Told]:
    rng = Random(20260105)
    return [told(rng) for _ in range(POOL)]


@cache
def about(role: str) -> list[Told]:
    """Return the messages of the pool that concern one role, or the whole MPAN: lives in which much happens to it."""
    return [one for one in pool() if any(getattr(change, "slot", role) == role for change in one.changes)]


def told(rng: Random) -> Told:
    interface, event, custom = body_of(rng)
    m0 = {
        "MPANCore": MPAN,
        "distributorDIPID": rng.choice(PEOPLE["LDSO"]),
        "GSPGroupID": rng.choice(GROUPS),
    }
    payload = {"CommonBlock": {"M0": m0}, "CustomBlock": custom}
    return Told(interface, event, payload, _product(interface, event, payload))


def _product(interface: str, event: str, payload: Any) -> tuple[Change, ...]:
    """Read a body as the product does: bytes, effect table, paths."""
    body = orjson.dumps({"payload": payload})
    return changes_of(catalogue(), message(interface=interface, event=event, body=body))


@dataclass(slots=True)
class Life:
    """What one number stands for: the product's history, the clerk, and the moments at which something was told."""

    rng: Random
    product: History
    clerk: NaiveRegistry
    moments: list[datetime]
    focus: str | None

    def _role(self) -> str:
        return self.focus if self.focus and self.rng.random() < 0.8 else self.rng.choice(ROLES)

    def tell(self, count: int) -> None:
        """Tell both sides some things, in the same order; arrival times are in any order."""
        rng = self.rng
        messages = about(self.focus) if self.focus else pool()
        sent: list[tuple[str, Told]] = []
        for number in range(count):
            at = SEEN_FROM + timedelta(microseconds=int(rng.random() * 6e13))
            self.moments.append(at)
            dice = rng.random()
            if dice < 0.15:
                self._load(f"load {number}", at)
                continue
            if dice < 0.25 and sent:
                source, one = rng.choice(sent)  # the sender, or a re-computation, tells it once more
            else:
                source, one = f"T-{number}", rng.choice(messages)
            sent.append((source, one))
            self.product = apply(self.product, one.changes, recorded_at=at, source=source).history
            self.clerk.message(source, micros(at), one.interface, one.event, one.payload)

    def _load(self, source: str, at: datetime) -> None:
        rng = self.rng
        role, replaces = self._role(), rng.random() < 0.4
        rows = []
        for _ in range(rng.randint(1, 2)):
            start, end = sorted(rng.sample(DAYS, 2))
            rows.append(
                {
                    "role": role,
                    "who": rng.choice(PEOPLE[role] if role != "GSP" else GROUPS)
                    if rng.random() < 0.9
                    else "",
                    "from": start,
                    "to": rng.choice(["", end]),
                    "replaces": replaces,
                }
            )
        registration = Registration(
            mpan=Mpan(MPAN),
            source=source,
            recorded_at=at,
            holdings=tuple(
                Holding(
                    slot=row["role"],
                    holder=row["who"],
                    valid_from=effective_instant(row["from"]),
                    valid_to=effective_instant(row["to"]) if row["to"] else None,
                    replaces=row["replaces"],
                )
                for row in rows
            ),
        )
        self.product = apply(self.product, changes_in(registration), recorded_at=at, source=source).history
        self.clerk.load(source, micros(at), rows)

    def disagreement(self, questions: int) -> str | None:
        """Ask both sides; return the first question on which they differ."""
        rng = self.rng
        for _ in range(questions):
            role, on = self._role(), rng.choice(MOMENTS)
            known = rng.choice([None, *self.moments]) if rng.random() < 0.7 else None
            row = holders(self.product, Slot(role), on, as_known_at=known)
            expected = self.clerk.who(
                role, int(micros(on) // 1_000_000), *(() if known is None else (micros(known),))
            )
            if (row and row.holder) != expected:
                return f"{role} on {on} as known at {known}: product {row and row.holder}, clerk {expected}; {self}"
        return None


def micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def check(number: int, *, questions: int = 4) -> str | None:
    """Live one life; return what the two sides disagree about."""
    rng = Random(number)
    focus = rng.choice([None, "SUP", "MS", "DS", "MDR"])
    life = Life(rng, UNKNOWN, NaiveRegistry(), [], focus)
    life.tell(rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 8)))
    if number % 50 == 0 and table.decode(table.encode(life.product)) != life.product:
        return f"life {number}: the table gives back another history"
    found = life.disagreement(questions)
    return None if found is None else f"life {number}: {found}"


def main() -> None:
    """Live `argv[1]` lives from number `argv[2]` on, and stop at the first disagreement."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started = time.monotonic()
    for number in range(first, first + count):
        if found := check(number, questions=8):
            raise SystemExit(found)
        if (number - first) % 20_000 == 19_999:
            print(f"{number - first + 1:,} lives agree ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{count:,} lives agree, 8 questions each")


if __name__ == "__main__":
    main()
