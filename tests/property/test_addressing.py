"""Routing against a model that could not be plainer: for every participant, ask whether it must get the message."""

from datetime import datetime
from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeline.domain.addressing import Addressed, Unaddressable, address
from pipeline.domain.appointments import History, holders, known
from pipeline.domain.changes import Ends, Holds, apply
from pipeline.domain.envelope import Kind, Message
from pipeline.domain.identifiers import Role
from pipeline.domain.participants import Participant, Participants
from pipeline.domain.rejections import Code
from pipeline.domain.routing import SLOT_OF_ROLE, Need, Routing, Slot
from tests.support.builders import day, message, optional, participant, required, routing

# Names say what they are: hold the role X in the ordinary market.
CAST = [f"{role}-{number}" for role in ("SUP", "LDSO", "MSS", "UMSO", "SDS", "MDS") for number in (1, 2)]
SLOTS = [Slot.SUPPLIER, Slot.DISTRIBUTOR, Slot.METERING_SERVICE, Slot.DATA_SERVICE]
RULES = [
    make(slot, *roles)
    for make in (required, optional)
    for slot, roles in (
        (Slot.SUPPLIER, ("SUP",)),
        (Slot.DISTRIBUTOR, ("LDSO",)),
        (Slot.METERING_SERVICE, ("MSS",)),
        (Slot.METERING_SERVICE, ("MSS", "UMSO")),
        (Slot.DATA_SERVICE, ("SDS",)),
    )
]
RECEIVED = day(9)

days = st.integers(1, 9).map(day)
slots = st.sampled_from(SLOTS)


def home(slot: Slot) -> list[str]:
    return [one for one in CAST if SLOT_OF_ROLE.get(Role(one.split("-")[0])) is slot]


@st.composite
def holdings(draw: st.DrawFn) -> Holds:
    """Mostly a holder of the right role; sometimes anybody, or a stranger."""
    slot = draw(slots)
    who = draw(st.sampled_from(home(slot) * 6 + CAST + ["stranger"]))
    return Holds(slot=slot, holder=who, valid_from=draw(days))


@st.composite
def histories(draw: st.DrawFn) -> History:
    first = [Holds(slot=slot, holder=draw(st.sampled_from(home(slot))), valid_from=day(1)) for slot in SLOTS]
    told = draw(st.sampled_from([first, first, first, []]))
    later = draw(st.lists(holdings(), max_size=4))
    ends = draw(st.lists(st.builds(Ends, slot=slots, holder=st.none(), at=days), max_size=1))
    return apply(None, [*told, *later, *ends], recorded_at=day(1), source="told").history


@st.composite
def markets(draw: st.DrawFn) -> list[Participant]:
    """Everybody with its role, but for a few that hold it for a part of the time only, or are gone."""
    odd = draw(st.lists(st.sampled_from(CAST), max_size=2))
    gone = draw(st.lists(st.sampled_from(CAST), max_size=1))
    return [
        participant(one, one.split("-")[0], **({"valid_to": day(5)} if one in odd else {}))
        for one in CAST
        if one not in gone
    ]


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    rules = draw(st.lists(st.sampled_from(RULES), max_size=3, unique_by=lambda rule: rule.slot))
    return routing(
        *rules,
        primary=draw(st.sampled_from([(), ("SUP",), ("MSS", "SDS")])),
        always=draw(st.sampled_from([(), ("MDS",), ("MDS", "LDSO")])),
    )


messages = st.builds(
    message,
    received_at=st.just(RECEIVED),
    applicable=st.lists(days, max_size=3, unique=True).map(sorted),
    primary=st.lists(st.sampled_from([*CAST, "stranger"]), max_size=2),
    senderDIPID=st.sampled_from(["SDS-1", "SUP-1", "MDS-1"]),
    senderRoleID=st.sampled_from(["SDS", "SUP", "MDS"]),
)


def must_get(sent: Message, rule: Routing, told: History, who: Participant) -> set[Kind]:
    """Return the kinds by which a participant must get a message, looking at it alone."""
    instants = sent.applicable or (sent.received_at,)
    found: set[Kind] = set()
    if who.id in sent.primary and any(who.roles_at(at) & rule.primary for at in instants):
        found.add(Kind.PRIMARY)
    for at in instants:
        for one in rule.secondary:
            row = holders(told, one.slot, at)
            roles = who.roles_at(at) & one.roles - own_role(sent, who)
            if row is not None and row.holder == who.id and roles:
                found.add(Kind.SECONDARY)
    if who.roles_at(sent.received_at) & rule.always - own_role(sent, who):
        found.add(Kind.ALWAYS)
    if who.id in sent.primary and not rule.primary and found:
        found.add(Kind.PRIMARY)
    return found


def own_role(sent: Message, who: Participant) -> frozenset[Role]:
    return frozenset({sent.sender_role}) if who.id == sent.sender_id else frozenset()


def kinds(found: Addressed) -> dict[str, set[Kind]]:
    return {one.recipient: {reason.kind for reason in one.reasons} for one in found.addressees}


def blamed(sent: Message, rule: Routing, told: History, among: Participants) -> set[Code]:
    """Return the codes for which there is a cause, by looking for the causes one by one."""
    instants = sent.applicable or (sent.received_at,)
    causes: set[Code] = set()
    for name in sent.primary:
        if name not in among:
            causes.add(Code.PRIMARY_UNKNOWN)
        elif not must_get(sent, rule, told, among[name]) & {Kind.PRIMARY}:
            causes.add(Code.PRIMARY_ROLE)
    for one in rule.secondary:
        rows = [(row, at) for at in instants if (row := holders(told, one.slot, at))]
        if one.need is Need.REQUIRED and not rows:
            causes.add(Code.NO_HOLDER if known(told) else Code.MPAN_UNKNOWN)
        for row, at in rows:
            holder = among.get(row.holder)  # type: ignore[call-overload] # a holder is a DIP ID here
            if holder is None:
                causes.add(Code.SECONDARY_UNKNOWN)
            elif not holder.roles_at(at) & one.roles and (
                one.need is Need.REQUIRED
                or not any(SLOT_OF_ROLE.get(role) is one.slot for role in holder.roles_at(at))
            ):
                causes.add(Code.SECONDARY_ROLE)
    if any(not among.holders(role, sent.received_at) for role in rule.always):
        causes.add(Code.ALWAYS_UNKNOWN)
    if not any(must_get(sent, rule, told, who) for who in among.values()) and not causes:
        causes.add(nobodys_code(rule, told))
    return causes


def nobodys_code(rule: Routing, told: History) -> Code:
    if not rule.secondary:
        return Code.ADDRESSING
    return Code.NO_HOLDER if known(told) else Code.MPAN_UNKNOWN


@settings(deadline=None, max_examples=600)
@given(messages, routings(), histories(), markets())
def test_exactly_those_get_a_message_who_must(
    sent: Message, rule: Routing, told: History, cast: list[Participant]
) -> None:
    """Nobody too many, nobody missing, every kind recorded; or a refusal with a cause, and for every cause one."""
    among = Participants(cast)
    found = address(sent, routing=rule, history=told, participants=among)
    event(type(found).__name__)
    causes = blamed(sent, rule, told, among)
    if isinstance(found, Unaddressable):
        codes = {one.code for one in found.rejections}
        # An MPAN that nothing is known of is told beside whatever else is wrong, where nobody else is found.
        assert codes - causes <= ({Code.MPAN_UNKNOWN} if rule.secondary and not known(told) else set())
        assert causes <= codes
    else:
        assert not causes
        expected = {who.id: why for who in cast if (why := must_get(sent, rule, told, who))}
        assert kinds(found) == expected
        assert [one.recipient for one in found.addressees] == sorted(expected)


@settings(deadline=None, max_examples=100)
@given(messages, routings(), histories(), markets(), st.randoms(use_true_random=False))
def test_the_order_of_participants_does_not_matter(
    sent: Message, rule: Routing, told: History, cast: list[Participant], shuffler: Random
) -> None:
    """Two workers that read the participants in another order route alike."""
    shuffled = cast[:]
    shuffler.shuffle(shuffled)
    assert address(sent, routing=rule, history=told, participants=Participants(cast)) == address(
        sent, routing=rule, history=told, participants=Participants(shuffled)
    )


@settings(deadline=None, max_examples=200)
@given(messages, routings(), histories(), markets())
def test_every_secondary_reason_is_true_on_each_of_its_days(
    sent: Message, rule: Routing, told: History, cast: list[Participant]
) -> None:
    """An auditor who looks a reason up finds the row it names."""
    among = Participants(cast)
    found = address(sent, routing=rule, history=told, participants=among)
    if isinstance(found, Unaddressable):
        return
    for one in found.addressees:
        for reason in one.reasons:
            if reason.kind is Kind.SECONDARY:
                assert reason.days
                assert set(reason.days) <= set(sent.applicable or (sent.received_at,))
                assert all(is_held(told, one.recipient, reason.source, rule, at) for at in reason.days)
                assert all(reason.role in among[one.recipient].roles_at(at) for at in reason.days)


def is_held(told: History, who: str, source: str | None, rule: Routing, at: datetime) -> bool:
    rows = (holders(told, one.slot, at) for one in rule.secondary)
    return any(row is not None and (row.holder, row.source) == (who, source) for row in rows)
