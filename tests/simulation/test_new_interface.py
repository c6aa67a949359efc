"""A new interface is a folder of files: events, schema, roles, routing, days, and what it does to appointments."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import orjson
import pytest
from click.testing import CliRunner

from agents.addressing import Addressing, Loading
from agents.loop import Emission
from agents.quarantine import Quarantine
from agents.validation import Validation
from pipeline import schemas, topics
from pipeline.catalogue import Catalogue, FactsInvalid, load_catalogue
from pipeline.catalogue.samples import sample
from pipeline.codec import Codec
from pipeline.domain.envelope import Copy, Holding, Message, Registration
from pipeline.domain.identifiers import EventCode, InterfaceId, Mpan, ParticipantId, Role, reference_key
from pipeline.domain.participants import Participant, Participants, RoleGrant
from pipeline.domain.rejections import Code
from pipeline.intake import Gate, default_terms, take_bytes
from pipeline.operate.main import dip
from tests.support.market_world import NOW, START, Fixed, NoRegistry
from tests.support.world import TableFake, World

FOLDER = Path(__file__).parents[1] / "support" / "rules_if999"
IF_999 = InterfaceId("IF-999")
MPAN = Mpan("2000056535971")
SUPPLIER, OLD_RETRIEVER, NEW_RETRIEVER = "2300000001", "1700000001", "1700000002"
GRID, REGISTRATION, MARKET = "3100000001", "2200000001", "1800000001"
CAST = {
    SUPPLIER: "SUP",
    OLD_RETRIEVER: "MDR",
    NEW_RETRIEVER: "MDR",
    GRID: "GRD",  # a role that no published channel has
    REGISTRATION: "REGS",
    MARKET: "MDS",
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(rules=str(FOLDER))


@pytest.fixture
def codec() -> Codec:
    return Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoRegistry())


def everybody() -> Participants:
    return Participants(
        Participant(id=ParticipantId(one), name=one, roles=(RoleGrant(role=Role(role), valid_from=START),))
        for one, role in CAST.items()
    )


def build(catalogue: Catalogue, codec: Codec) -> World:
    fixed = Fixed(everybody())
    seen, appointments, waiting = TableFake(), TableFake(), TableFake()
    world = World(rng=Random(9), tables=[seen, appointments, waiting])
    common = {"codec": codec, "catalogue": catalogue, "participants": fixed, "clock": fixed}
    addressing = Addressing(**common, appointments=appointments, quarantine=Quarantine(rows=waiting))
    loading = Loading(codec=codec, clock=fixed, appointments=appointments, addressing=addressing)
    world.stages = {
        topics.INBOUND: Validation(**common, seen=seen, terms=default_terms()),
        topics.VALIDATED: addressing,
        topics.REGISTRATION: loading,
    }
    world.dead_letters = dict.fromkeys(world.stages, topics.DEAD_LETTER_ADDRESSING)
    loaded = Registration(
        mpan=MPAN,
        source="load-1",
        recorded_at=START,
        holdings=(
            Holding(slot="SUP", holder=SUPPLIER, valid_from=START),
            Holding(slot="MDR", holder=OLD_RETRIEVER, valid_from=START),
        ),
    )
    world.put(Emission(topics.REGISTRATION, codec.encode_registration(loaded), MPAN.encode()))
    world.run()
    return world


def message(
    catalogue: Catalogue, event: str, number: int, *, sender: str, at: datetime = NOW, **fields: str
) -> Message:
    role = CAST[sender]
    body = sample(
        catalogue,
        IF_999,
        EventCode(event),
        Random(number),
        sent_at=at,
        overrides={
            "CommonBlock.M0.MPANCore": MPAN,
            "CommonBlock.S1.senderDIPID": sender,
            "CommonBlock.S1.senderRoleID": role,
            "CommonBlock.S1.DIPConnectionProviderID": None,
            "CommonBlock.S1.senderUniqueReference": f"S-IF-999-{sender}-{role}-20260601-{number}",
            **{f"CustomBlock.{path}": value for path, value in fields.items()},
        },
    )
    taken = take_bytes(
        catalogue, orjson.dumps(body), channel=IF_999, received_at=at, gate=Gate(participants=everybody())
    )
    assert isinstance(taken, Message), taken
    return taken


def send(world: World, codec: Codec, one: Message) -> set[str]:
    """Send a message through the router; return who got a copy of it."""
    key = reference_key(one.sender_id, one.sender_reference)
    world.put(Emission(topics.INBOUND, codec.encode_message(one), key))
    world.run()
    found: list[Copy] = [codec.decode_copy(record.value()) for record in world.read(topics.OUTBOUND)]
    return {copy.recipient for copy in found if copy.transaction_id == one.transaction_id}


def named(catalogue: Catalogue, number: int, *, since: str, **more: datetime) -> Message:
    fields = {"B991.retrieverDIPID": NEW_RETRIEVER, "B991.retrieverFromDate": since}
    return message(catalogue, "RetrieverNamed", number, sender=REGISTRATION, **fields, **more)  # type: ignore[arg-type] # texts and one date


def probe(catalogue: Catalogue, number: int, on: str, **more: datetime) -> Message:
    return message(catalogue, "ProbeValues", number, sender=GRID, **{"B992List[].probeDate": on}, **more)  # type: ignore[arg-type] # texts and one date


def test_an_invented_interface_is_routed_end_to_end(catalogue: Catalogue, codec: Codec) -> None:
    """Its message appoints, its data follows the appointment by its own days, its own role gets what is its due."""
    world = build(catalogue, codec)
    assert send(world, codec, probe(catalogue, 1, "2026-05-20")) == {SUPPLIER, OLD_RETRIEVER}
    assert send(world, codec, named(catalogue, 2, since="2026-05-10")) == {SUPPLIER, NEW_RETRIEVER, GRID}
    assert send(world, codec, probe(catalogue, 3, "2026-05-20")) == {SUPPLIER, NEW_RETRIEVER}
    assert send(world, codec, probe(catalogue, 4, "2026-05-01")) == {SUPPLIER, OLD_RETRIEVER}
    copies = [codec.decode_copy(record.value()) for record in world.read(topics.OUTBOUND)]
    d0 = orjson.loads(copies[-1].body)["payload"]["CommonBlock"]["D0"]
    assert d0["publicationID"] == "PUB-999"
    assert d0["initialCorrelationID"] is None, "its correlation rule says: No"
    assert not world.read(topics.DEAD_LETTER_ADDRESSING)


def test_the_edition_in_force_at_receipt_decides(catalogue: Catalogue, codec: Codec) -> None:
    world = build(catalogue, codec)
    july = datetime(2026, 7, 1, tzinfo=UTC)
    assert send(world, codec, probe(catalogue, 1, "2026-05-20", at=NOW)) == {SUPPLIER, OLD_RETRIEVER}
    assert send(world, codec, probe(catalogue, 2, "2026-05-20", at=july)) == {SUPPLIER, MARKET}


def test_its_schema_is_enforced_as_any_other(catalogue: Catalogue) -> None:
    good = named(catalogue, 1, since="2026-05-10")
    body = orjson.loads(good.body)
    body["payload"]["CustomBlock"]["B991"]["retrieverDIPID"] = "17"
    verdict = catalogue.check(body, channel=IF_999)
    assert verdict.code is Code.SCHEMA
    assert verdict.problems[0].pointer == "/payload/CustomBlock/B991/retrieverDIPID"
    assert load_catalogue().check(orjson.loads(good.body)).code is Code.INTERFACE


def test_files_change_the_name_of_the_facts_and_nothing_they_do_not_name(catalogue: Catalogue) -> None:
    """Bridge and router compare this name: with other rules each message is checked again in full."""
    plain = load_catalogue()
    assert catalogue.fingerprint != plain.fingerprint
    assert catalogue.rule_files.keys() == {one.name for one in FOLDER.iterdir()}
    for interface, channel in plain.channels.items():
        assert catalogue.channels[interface] == channel


def changed(tmp_path: Path, name: str, edit: Callable[[str], str]) -> str:
    folder = tmp_path / "rules"
    shutil.copytree(FOLDER, folder)
    path = folder / name
    path.write_text(edit(path.read_text() if path.exists() else ""))
    return str(folder)


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("routes.tsv", lambda _: "x\n", "routes.tsv is no table"),
        ("items.tsv", lambda _: "", "items.tsv: empty"),
        ("items.tsv", lambda text: text + "short\trow\n", "items.tsv line 6: 2 cells"),
        ("items.tsv", lambda text: text.replace("max_length", "longest"), "unknown column longest"),
        ("appointment_effects.tsv", lambda text: text.replace("B991", "B993"), "has no field"),
        ("appointment_effects.tsv", lambda text: text.replace("from\tMDR", "grab\tMDR"), "grab"),
        ("appointment_effects.tsv", lambda text: text.replace("from\tMDR", "from\tABC"), "ABC"),
        ("applicable_dates.tsv", lambda text: text.replace("RetrieverNamed", "Nothing"), "unknown"),
        ("applicable_dates.tsv", lambda text: text.replace("2026-01-01", "soon"), "expected 2026-01-05"),
        ("routing.tsv", lambda text: text.replace("2\t2026-07-01", "2\t2026-01-01"), "IF-999"),
        ("routing.tsv", lambda text: text.replace("secondary\tSUP", "secondary\tEES"), "EES"),
        ("routing.tsv", lambda text: text.replace("required", "maybe"), "maybe"),
        ("blocks.tsv", lambda text: text.replace("XX-903", "XX-904"), "XX-904"),
        ("items.tsv", lambda text: text.replace("\t1\t20", "\tone\t20"), "one"),
        ("channels.tsv", lambda text: text.replace("RetrieverNamed", "Else"), "channels.tsv"),
        ("messages.tsv", lambda text: text.replace("B992", "B777"), "B777"),
        ("correlation.tsv", lambda text: text.replace("\tNo\t", "\tPerhaps\t"), "Perhaps"),
        ("correlation.tsv", lambda text: text.replace("IF-999", "IF-998"), "IF-998"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, name: str, edit: Callable[[str], str], said: str
) -> None:
    """At the start, by name: never a router that routes by half a rule."""
    folder = changed(tmp_path, name, edit)
    with pytest.raises(FactsInvalid, match=said):
        load_catalogue(rules=folder)


def test_the_commands_show_check_and_compare_what_the_files_say() -> None:
    runner = CliRunner()
    checked = json.loads(runner.invoke(dip, ["rules", "check", str(FOLDER), "--json"]).output)
    assert (checked["channels"], checked["events"]) == (59, 148)
    assert checked["files"]["routing.tsv"] == 5
    compared = runner.invoke(dip, ["rules", "diff", str(FOLDER), "--json"])
    assert compared.exit_code == 1
    found = [json.loads(line) for line in compared.output.splitlines()]
    assert {one["interface"] for one in found} == {"IF-999"}
    always = [one for one in found if one["rule"] == "always" and one["event"] == "ProbeValues"]
    assert [(one["since"][:10], one["after"]) for one in always] == [
        ("2000-01-01", "nobody"),
        ("2026-07-01", "MDS"),
    ]
    shown = runner.invoke(dip, ["rules", "show", "IF-999", "--at", "2026-08-01", "--rules", str(FOLDER)])
    assert "SUP (required)" in shown.output
    nothing = runner.invoke(dip, ["rules", "diff"])
    assert nothing.exit_code == 0
    wrong = runner.invoke(dip, ["rules", "show", "IF-998"])
    assert wrong.exit_code == 2
