"""The router's promise on a bus that crashes at any point: everything accepted ends as copies or as a report.

A failing seed is in the test's name; running that test replays it.
"""

from datetime import timedelta
from random import Random

import orjson
import pytest

from agents.loop import Emission
from agents.quarantine import TOTAL
from pipeline import topics
from pipeline.catalogue import Catalogue
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.envelope import Holding, Message, Registration, Stage, Status
from pipeline.domain.headers import Seen
from pipeline.domain.identifiers import (
    EventCode,
    InterfaceId,
    Mpan,
    TransactionId,
    reference_key,
)
from pipeline.domain.quarantine import Waiting, Ward
from pipeline.intake import Gate, take_bytes
from tests.support.market_world import (
    CENTRAL,
    CHANGE,
    DATA_SERVICE,
    DISTRIBUTOR,
    IF_021,
    MPANS,
    NEW_SUPPLIER,
    NOW,
    OLD_SUPPLIER,
    REGISTRATION,
    START,
    accepted,
    audits,
    build,
    consumption,
    copies,
    loaded,
    participants,
    send,
)


def accepted_as(catalogue: Catalogue, body: bytes, channel: InterfaceId) -> Message:
    taken = take_bytes(
        catalogue, body, channel=channel, received_at=NOW, gate=Gate(participants=participants())
    )
    assert isinstance(taken, Message), taken
    return taken


def creation(catalogue: Catalogue, rng: Random, mpan: str) -> bytes:
    """Return the bytes of an IF-050 that names the distributor."""
    return orjson.dumps(
        sample(
            catalogue,
            InterfaceId("IF-050"),
            EventCode("MPANCreation"),
            rng,
            sent_at=NOW,
            overrides={
                "CommonBlock.M0.MPANCore": mpan,
                "CommonBlock.M0.distributorDIPID": DISTRIBUTOR,
                "CommonBlock.S1.senderDIPID": REGISTRATION,
                "CommonBlock.S1.senderRoleID": "REGS",
                "CommonBlock.S1.DIPConnectionProviderID": None,
                "CommonBlock.S1.senderUniqueReference": f"S-IF-050-{REGISTRATION}-REGS-20260601-1",
                "CustomBlock.B001.GSPGroupEffectiveFromDate": "2026-01-01T00:00:00+00:00",
            },
        )
    )


@pytest.mark.parametrize("seed", range(20))
def test_each_accepted_message_reaches_the_parties_of_its_day_once(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    """Crashes, retries and the order of rounds change nothing about who gets what."""
    world = build(seed, catalogue, codec)
    expected = set()
    for number in range(30):
        mpan = world.rng.choice(MPANS)
        day = world.rng.choice([CHANGE - timedelta(days=3), CHANGE, CHANGE + timedelta(days=9)])
        message = accepted(catalogue, consumption(catalogue, world.rng, number, mpan=mpan, day=day))
        for _ in range(world.rng.choice([1, 1, 1, 2])):  # a sender that lost its 201 sends again
            send(world, codec, message)
        supplier = OLD_SUPPLIER if day < CHANGE else NEW_SUPPLIER
        expected |= {(message.transaction_id, one) for one in (supplier, DISTRIBUTOR, *CENTRAL.values())}
    world.run()

    delivered = [(one.transaction_id, one.recipient) for one in copies(world, codec, topics.OUTBOUND)]
    assert sorted(delivered) == sorted(expected)
    assert world.crashes > 0, "a run without crashes proves nothing"
    assert not copies(world, codec, topics.STATUS)


@pytest.mark.parametrize("seed", range(5))
def test_a_message_that_cannot_be_addressed_is_kept_and_its_sender_told(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    """All or nothing: no copies, the record with its bytes, one status message."""
    world = build(seed, catalogue, codec)
    message = accepted(catalogue, consumption(catalogue, world.rng, 1, mpan="2099999999999", day=CHANGE))
    send(world, codec, message)
    world.run()

    assert not copies(world, codec, topics.OUTBOUND)
    (letter,) = world.read(topics.DEAD_LETTER_ADDRESSING)
    assert codec.decode_message(letter.value()) == message
    (report,) = copies(world, codec, topics.STATUS)
    body = orjson.loads(report.body)
    assert report.recipient == DATA_SERVICE
    assert body["message"].startswith("MSG1037 - ")
    assert body["transactionID"] == message.transaction_id


def repair(mpan: str, source: str = "repair-1") -> Registration:
    whole = loaded(Mpan(mpan))
    return Registration(mpan=whole.mpan, source=source, recorded_at=NOW, holdings=whole.holdings)


@pytest.mark.parametrize("seed", range(12))
def test_a_repair_routes_what_waited_for_it_once_and_marked(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    """Crashes at any point, repairs told twice, messages before and behind the repair: each copy exists once."""
    world = build(seed, catalogue, codec)
    strays = [f"20999999999{number:02d}" for number in range(4)]
    expected, late = set(), set()
    for number in range(24):
        mpan = world.rng.choice(strays)
        day = world.rng.choice([CHANGE - timedelta(days=3), CHANGE])
        message = accepted(catalogue, consumption(catalogue, world.rng, number, mpan=mpan, day=day))
        send(world, codec, message)
        supplier = OLD_SUPPLIER if day < CHANGE else NEW_SUPPLIER
        expected |= {(message.transaction_id, one) for one in (supplier, DISTRIBUTOR, *CENTRAL.values())}
        if number == 11:
            world.run()
            late = {one.transaction_id for one in audits(world, codec, Stage.ADDRESSING)}
    assert not copies(world, codec, topics.OUTBOUND)
    for mpan in strays * 2:
        world.put(Emission(topics.REGISTRATION, codec.encode_registration(repair(mpan)), mpan.encode()))
    world.run()

    found = [(one.transaction_id, one.recipient) for one in copies(world, codec, topics.OUTBOUND)]
    assert sorted(found) == sorted(expected)
    assert world.crashes
    marked = {
        one.transaction_id
        for one in audits(world, codec, Stage.ADDRESSING)
        if one.status is Status.SENT_TO_TOPIC and "routed again after repair-1" in (one.reason or "")
    }
    assert late <= marked
    told = [orjson.loads(one.body)["transactionID"] for one in copies(world, codec, topics.STATUS)]
    assert set(told) >= marked
    assert len(told) == len(set(told)), "a sender is told once, not again by the second try"
    assert not list(world.tables[2]) or list(world.tables[2]) == [TOTAL]
    assert world.tables[2][TOTAL].messages == 0


def test_a_registration_message_repairs_as_a_load_does(catalogue: Catalogue, codec: Codec) -> None:
    """Whatever brings the missing appointment, what waited for it goes."""
    world = build(3, catalogue, codec)
    mpan = "2099999999999"
    only = tuple(one for one in loaded(Mpan(mpan)).holdings if one.slot != "LDSO")
    partial = Registration(mpan=Mpan(mpan), source="partial", recorded_at=START, holdings=only)
    world.put(Emission(topics.REGISTRATION, codec.encode_registration(partial), mpan.encode()))
    message = accepted(catalogue, consumption(catalogue, world.rng, 1, mpan=mpan, day=CHANGE))
    send(world, codec, message)
    world.run()
    assert not copies(world, codec, topics.OUTBOUND)
    send(world, codec, accepted_as(catalogue, creation(catalogue, world.rng, mpan), InterfaceId("IF-050")))
    world.run()
    sent = {one.recipient for one in copies(world, codec, topics.OUTBOUND) if one.interface == IF_021}
    assert sent == {NEW_SUPPLIER, DISTRIBUTOR, *CENTRAL.values()}


def test_a_message_requeued_by_hand_is_not_routed_again_by_the_repair(
    catalogue: Catalogue, codec: Codec
) -> None:
    world = build(4, catalogue, codec)
    mpan = "2099999999999"
    message = accepted(catalogue, consumption(catalogue, world.rng, 1, mpan=mpan, day=CHANGE))
    send(world, codec, message)
    world.run()
    letter = world.read(topics.DEAD_LETTER_ADDRESSING)[0]
    world.put(Emission(topics.REGISTRATION, codec.encode_registration(repair(mpan)), mpan.encode()))
    world.run()
    again = [Emission(topics.VALIDATED, letter.value(), letter.key())]
    for one in again:  # an operator who did not know of the repair
        world.put(one)
    world.put(
        Emission(topics.REGISTRATION, codec.encode_registration(repair(mpan, "repair-2")), mpan.encode())
    )
    world.run()
    found = [one.recipient for one in copies(world, codec, topics.OUTBOUND)]
    assert len(found) == 2 * len(set(found)), "the repair's and the operator's, and no third"


def test_what_waits_too_long_is_given_up_and_the_audit_says_so(catalogue: Catalogue, codec: Codec) -> None:
    world = build(5, catalogue, codec)
    mpan = "2099999999999"
    old = accepted(catalogue, consumption(catalogue, world.rng, 1, mpan=mpan, day=CHANGE))
    row = Waiting(
        transaction_id=old.transaction_id,
        since=NOW - timedelta(days=15),
        code="MSG1037",
        record=codec.encode_message(old),
    )
    world.tables[2].committed = {mpan.encode(): Ward(messages=1, waiting=(row,)), TOTAL: Ward(messages=1)}
    for number in range(9):
        send(
            world,
            codec,
            accepted(catalogue, consumption(catalogue, world.rng, 10 + number, mpan=MPANS[0], day=CHANGE)),
        )
    world.run()
    (given_up,) = [
        one for one in audits(world, codec, Stage.ADDRESSING) if "left the quarantine" in (one.reason or "")
    ]
    assert given_up.transaction_id == old.transaction_id
    assert world.tables[2][TOTAL].messages == 0


def test_a_mistake_of_the_sender_waits_for_no_repair(catalogue: Catalogue, codec: Codec) -> None:
    """A primary recipient that does not exist is the sender's to correct; routing it later would surprise."""
    world = build(6, catalogue, codec)
    body = orjson.loads(consumption(catalogue, world.rng, 1, mpan="2099999999999", day=CHANGE))
    body["payload"]["CommonBlock"]["A0"] = {
        "primaryRecipients": ["9999999999"],
        "secondaryRecipients": [],
        "always": [],
    }
    send(world, codec, accepted(catalogue, orjson.dumps(body)))
    world.run()
    assert not list(world.tables[2])


def test_another_distributor_than_the_table_holds_is_marked_as_drift(
    catalogue: Catalogue, codec: Codec
) -> None:
    """The copy goes out all the same: the table decides, the audit counts."""
    world = build(7, catalogue, codec)
    for number, named in enumerate((DISTRIBUTOR, "2500000009")):
        body = orjson.loads(consumption(catalogue, world.rng, number, mpan=MPANS[0], day=CHANGE))
        body["payload"]["CommonBlock"]["M0"]["distributorDIPID"] = named
        send(world, codec, accepted(catalogue, orjson.dumps(body)))
    world.run()
    remarks = [one.reason for one in audits(world, codec, Stage.ADDRESSING)]
    assert sorted(remark or "" for remark in remarks) == [
        "",
        f"drift: the message names distributor 2500000009, the table holds {DISTRIBUTOR}",
    ]


def test_a_senders_own_secondary_list_is_compared_and_not_obeyed(catalogue: Catalogue, codec: Codec) -> None:
    world = build(8, catalogue, codec)
    body = orjson.loads(consumption(catalogue, world.rng, 1, mpan=MPANS[0], day=CHANGE))
    body["payload"]["CommonBlock"]["A0"]["secondaryRecipients"] = [OLD_SUPPLIER, DISTRIBUTOR]
    body["payload"]["CommonBlock"]["M0"]["distributorDIPID"] = DISTRIBUTOR
    send(world, codec, accepted(catalogue, orjson.dumps(body)))
    world.run()
    assert {one.recipient for one in copies(world, codec, topics.OUTBOUND)} == {
        NEW_SUPPLIER,
        DISTRIBUTOR,
        *CENTRAL.values(),
    }
    (routed,) = audits(world, codec, Stage.ADDRESSING)
    assert routed.reason == (
        f"drift: secondary recipients differ: only the sender names {OLD_SUPPLIER}; only the table {NEW_SUPPLIER}"
    )


def test_references_too_old_to_be_met_again_are_forgotten_and_no_other(
    catalogue: Catalogue, codec: Codec
) -> None:
    """The table must not grow for ever; a duplicate within its two weeks must still be known."""
    world = build(9, catalogue, codec)
    kept = {b"young": NOW - timedelta(days=14), b"younger": NOW}
    old = {b"old %02d" % number: NOW - timedelta(days=16) for number in range(120)}
    world.tables[0].committed = {
        key: Seen(fingerprint=b"", transaction_id=TransactionId("T"), received_at=at)
        for key, at in (kept | old).items()
    }
    messages = [
        accepted(catalogue, consumption(catalogue, world.rng, number, mpan=MPANS[0], day=CHANGE))
        for number in range(20)
    ]
    for message in messages:
        send(world, codec, message)
    world.run()
    expected = set(kept) | {reference_key(one.sender_id, one.sender_reference) for one in messages}
    assert set(world.tables[0]) == expected


@pytest.mark.parametrize("seed", range(5))
def test_a_reference_used_for_another_body_is_refused_once(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    """The first body wins, whatever crashes between the two."""
    world = build(seed, catalogue, codec)
    first = accepted(catalogue, consumption(catalogue, world.rng, 7, mpan=MPANS[0], day=CHANGE))
    other = accepted(catalogue, consumption(catalogue, world.rng, 7, mpan=MPANS[1], day=CHANGE))
    send(world, codec, first)
    send(world, codec, other)
    world.run()

    assert {one.mpan for one in copies(world, codec, topics.OUTBOUND)} == {MPANS[0]}
    (report,) = copies(world, codec, topics.STATUS)
    assert orjson.loads(report.body)["message"].startswith("MSG1006 - ")


def test_a_message_that_did_not_come_through_the_bridge_is_checked_in_full(
    catalogue: Catalogue, codec: Codec
) -> None:
    """A topic is an entrance, too: an envelope nobody vouches for is judged by its body alone."""
    world = build(1, catalogue, codec)
    good = accepted(catalogue, consumption(catalogue, world.rng, 1, mpan=MPANS[0], day=CHANGE))
    body = orjson.loads(good.body)
    del body["payload"]["CommonBlock"]["M0"]["GSPGroupID"]
    lying = {name: getattr(good, name) for name in Message.__slots__}
    send(world, codec, Message(**(lying | {"body": orjson.dumps(body), "checked_against": None})))
    world.run()

    assert not copies(world, codec, topics.OUTBOUND)
    (report,) = copies(world, codec, topics.STATUS)
    told = orjson.loads(report.body)
    assert told["message"].startswith("MSG1001 - ")
    assert "/payload/CommonBlock/M0/GSPGroupID" in told["help"]


def test_a_record_that_is_no_envelope_stays_with_its_bytes(catalogue: Catalogue, codec: Codec) -> None:
    """There is nobody to tell, so the audit has to say it."""
    world = build(1, catalogue, codec)
    world.put(Emission(topics.INBOUND, b"\x00\x00\x00\x00\x63rubbish", b"x"))
    world.run()

    (letter,) = world.read(topics.DEAD_LETTER_VALIDATION)
    assert letter.value() == b"\x00\x00\x00\x00\x63rubbish"
    assert not copies(world, codec, topics.STATUS)
    said = [codec.decode_audit(record.value()) for record in world.read(topics.AUDIT)]
    assert [one for one in said if one.stage is Stage.STATUS_MESSAGE and one.status is Status.EXCEPTION]


def test_what_nobody_may_ask_for_any_more_leaves_the_table(catalogue: Catalogue, codec: Codec) -> None:
    """A history is trimmed when it is written: old corrections go, what late data needs stays."""
    world = build(10, catalogue, codec)
    mpan = Mpan("2077777777777")
    long_ago = NOW - timedelta(days=3000)
    for number, (recorded, source) in enumerate(
        [(long_ago, "a"), (long_ago + timedelta(days=1), "b"), (NOW - timedelta(days=1400), "c")]
    ):
        holding = Holding(slot="SUP", holder=f"230000000{number}", valid_from=long_ago)
        one = Registration(mpan=mpan, source=source, recorded_at=recorded, holdings=(holding,))
        world.put(Emission(topics.REGISTRATION, codec.encode_registration(one), mpan.encode()))
    world.run()
    history = world.tables[1][mpan.encode()]
    assert [(one.source, one.superseded_at is None) for one in history.statements] == [
        ("b", False),  # believed until 1,400 days ago: still asked for
        ("c", True),
    ]
