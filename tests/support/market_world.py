"""A small market on the in-memory bus: the router as `agents.app` binds it, and messages to hand in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson

from agents.addressing import Addressing, Loading
from agents.loop import Emission
from agents.quarantine import Quarantine
from agents.reporting import Reporting
from agents.sweep import Sweep
from agents.validation import Validation
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.envelope import AuditRecord, Copy, Holding, Message, Registration, Stage
from pipeline.domain.identifiers import (
    EventCode,
    InterfaceId,
    Mpan,
    ParticipantId,
    Role,
    reference_key,
)
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.intake import Gate, default_terms, take_bytes
from tests.support.world import TableFake, World

NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
CHANGE = datetime(2026, 5, 1, tzinfo=UTC)
OLD_SUPPLIER, NEW_SUPPLIER = ParticipantId("2300000001"), ParticipantId("2300000002")
DISTRIBUTOR, DATA_SERVICE = ParticipantId("2500000001"), ParticipantId("1400000001")
REGISTRATION = ParticipantId("2200000001")
CENTRAL = {Role("MDS"): ParticipantId("1800000001"), Role("LSS"): ParticipantId("1900000001")}
IF_021 = InterfaceId("IF-021")
MPANS = tuple(Mpan(f"20000000000{number:02d}") for number in range(12))


class NoRegistry:
    """No schema but ours."""

    def schema(self, schema_id: int) -> str:
        raise KeyError(schema_id)


@dataclass
class Fixed:
    """A clock that stands, and participants that do not change."""

    participants: Participants
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def current(self) -> Participants:
        return self.participants


def participants() -> Participants:
    roles = {
        OLD_SUPPLIER: "SUP",
        NEW_SUPPLIER: "SUP",
        DISTRIBUTOR: "LDSO",
        DATA_SERVICE: "SDS",
        REGISTRATION: "REGS",
        **{one: role for role, one in CENTRAL.items()},
    }
    return Participants(
        Participant(id=one, name=role, roles=(RoleGrant(role=Role(role), valid_from=START),))
        for one, role in roles.items()
    )


def build(
    seed: int, catalogue: Catalogue, codec: Codec, people: Participants | None = None, *, at: datetime = NOW
) -> World:
    """Return the router as `agents.app` binds it, on the bus; `at` is what its clock says."""
    fixed = Fixed(participants() if people is None else people, at)
    seen, appointments, waiting = TableFake(), TableFake(), TableFake()
    world = World(rng=Random(seed), tables=[seen, appointments, waiting])
    addressing = Addressing(
        codec=codec,
        catalogue=catalogue,
        participants=fixed,
        clock=fixed,
        appointments=appointments,
        quarantine=Quarantine(rows=waiting),
        sweep=Sweep(waiting, every=3),
    )
    world.stages = {
        topics.INBOUND: Validation(
            codec=codec,
            catalogue=catalogue,
            participants=fixed,
            clock=fixed,
            seen=seen,
            terms=default_terms(),
            sweep=Sweep(seen, every=2),
        ),
        topics.VALIDATED: addressing,
        topics.REGISTRATION: Loading(
            codec=codec, clock=fixed, appointments=appointments, addressing=addressing
        ),
        topics.DEAD_LETTER_VALIDATION: Reporting(
            codec=codec, catalogue=catalogue, clock=fixed, read=codec.decode_message
        ),
        topics.DEAD_LETTER_ADDRESSING: Reporting(
            codec=codec, catalogue=catalogue, clock=fixed, read=codec.decode_message
        ),
    }
    world.dead_letters = {
        topics.INBOUND: topics.DEAD_LETTER_VALIDATION,
        topics.VALIDATED: topics.DEAD_LETTER_ADDRESSING,
        topics.REGISTRATION: topics.DEAD_LETTER_ADDRESSING,
        topics.DEAD_LETTER_VALIDATION: topics.DEAD_LETTER_REPORTING,
        topics.DEAD_LETTER_ADDRESSING: topics.DEAD_LETTER_REPORTING,
    }
    for mpan in MPANS:
        world.put(Emission(topics.REGISTRATION, codec.encode_registration(loaded(mpan)), mpan.encode()))
    world.run()
    return world


def loaded(mpan: Mpan) -> Registration:
    return Registration(
        mpan=mpan,
        source="load-1",
        recorded_at=START,
        holdings=(
            Holding(slot="SUP", holder=OLD_SUPPLIER, valid_from=START, valid_to=CHANGE),
            Holding(slot="SUP", holder=NEW_SUPPLIER, valid_from=CHANGE),
            Holding(slot="LDSO", holder=DISTRIBUTOR, valid_from=START),
            Holding(slot="DS", holder=DATA_SERVICE, valid_from=START),
        ),
    )


def consumption(catalogue: Catalogue, rng: Random, number: int, *, mpan: str, day: datetime) -> bytes:
    """Return the bytes of one IF-021."""
    body: dict[str, Any] = sample(
        catalogue,
        IF_021,
        EventCode("ActivePower"),
        rng,
        sent_at=NOW,
        days=(day.date(),),
        overrides={
            "CommonBlock.M0.MPANCore": mpan,
            "CommonBlock.S1.senderDIPID": DATA_SERVICE,
            "CommonBlock.S1.senderRoleID": "SDS",
            "CommonBlock.S1.DIPConnectionProviderID": None,
            "CommonBlock.S1.senderUniqueReference": f"S-IF-021-{DATA_SERVICE}-SDS-20260601-{number}",
        },
    )
    return orjson.dumps(body)


def accepted(catalogue: Catalogue, body: bytes) -> Message:
    """Return what the bridge would produce for a body."""
    taken = take_bytes(
        catalogue, body, channel=IF_021, received_at=NOW, gate=Gate(participants=participants())
    )
    assert isinstance(taken, Message), taken
    return taken


def send(world: World, codec: Codec, message: Message) -> None:
    key = reference_key(message.sender_id, message.sender_reference)
    world.put(Emission(topics.INBOUND, codec.encode_message(message), key))


def copies(world: World, codec: Codec, topic: str) -> list[Copy]:
    return [codec.decode_copy(record.value()) for record in world.read(topic)]


def audits(world: World, codec: Codec, stage: Stage) -> list[AuditRecord]:
    found = (codec.decode_audit(record.value()) for record in world.read(topics.AUDIT))
    return [one for one in found if one.stage is stage]
