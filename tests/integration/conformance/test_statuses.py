"""Every published status of every call, through real HTTPS with mutual TLS, with the published body."""

import asyncio

import pytest

from pipeline.client import Accepted, Done, Participant, PartlyAccepted, Refused, WebhookConfig
from tests.integration.conformance.calls import ask
from tests.integration.conformance.examples import EXAMPLES
from tests.integration.conformance.messages import array, message, reading
from tests.integration.conformance.published import PUBLISHED
from tests.integration.conformance.shapes import complaint
from tests.integration.conformance.site import (
    EVERYTHING,
    LIBRARIAN,
    OTHER_READER,
    PROVIDER,
    READER,
    Party,
    Site,
    now,
)
from tests.integration.conformance.ways import JOURNAL, SUBMIT, Stage, reason_against, way
from tests.support.fact_interpreter import all_pairs, table
from tests.support.generator import pair
from tests.support.generator_faults import faulty

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280), pytest.mark.xdist_group("conformance")]

MATRIX = [(name, status) for name, statuses in PUBLISHED.items() for status in statuses]
POSSIBLE = [one for one in MATRIX if reason_against(*one) is None]


@pytest.fixture(scope="module")
def stage(conformance_site: Site) -> Stage:
    return Stage(conformance_site)


@pytest.mark.parametrize(("name", "status"), POSSIBLE, ids=str)
async def test_a_published_status_comes_with_its_published_body(stage: Stage, name: str, status: int) -> None:
    received = await way(name, status)(stage, EXAMPLES[name])
    assert received.status == status, (received.headers.get("X-DIP-Help"), received.content[:500])
    assert complaint(PUBLISHED[name][status], received.content) is None


def test_what_is_not_brought_about_has_its_reason() -> None:
    """The list is short, and names no status that the router itself says."""
    missing = {one: reason for one in MATRIX if (reason := reason_against(*one)) is not None}
    assert {status for _, status in missing} <= {200, 202, 204, 206, 500, 502, 504}
    assert len(POSSIBLE) > 70


def test_the_fact_table_says_nothing_that_is_missing_here() -> None:
    """Section 8 of the protocol was checked later and is wider; what only the table has is the older requeue."""
    older = {("POST /dip-channel/{id}/requeue/{recipient-id}", 200)}
    for row in table("endpoints.tsv"):
        if row["direction"] == "to DIP":
            name = f"{row['method']} {row['path']}"
            listed = {int(one.split(":")[0]) for one in row["responses"].split(";")}
            assert {(name, status) for status in listed} - set(MATRIX) <= older


@pytest.mark.parametrize("name", sorted(JOURNAL))
async def test_what_workers_have_to_be_asked_is_501_where_none_can_be(stage: Stage, name: str) -> None:
    example = EXAMPLES[name]
    call = example.call(headers={"Accept": "application/json, application/problem+json"})
    received = await ask(stage.site, stage.main, call, example.party)
    assert received.status == 501
    assert received.headers["Content-Type"].startswith("application/problem+json")
    assert b"DIP_SHARD_SECRET" in received.content


@pytest.mark.parametrize("name", [one for one in EXAMPLES if "{recipient-id}" in one])
async def test_somebody_elses_data_is_403(stage: Stage, name: str) -> None:
    example = EXAMPLES[name]
    call = example.call(path=example.path.replace(READER.id, OTHER_READER.id))
    assert (await ask(stage.site, stage.main, call, READER)).status == 403


async def test_a_provider_acts_for_who_nominated_it_and_for_nobody_else(stage: Stage) -> None:
    site, config = stage.site, WebhookConfig(callback_url="https://127.0.0.1:9/provided")
    identity = site.identity(READER, of=PROVIDER)
    async with Participant(stage.main.origin, identity, now=now) as dip:
        assert await dip.configure_webhook("IF-041", config) == Done(status=201, value=None)
        outcome = await dip.configure_webhook("IF-041", config, recipient=OTHER_READER.id)
        assert isinstance(outcome, Refused)
        assert outcome.status == 403
        sent = array(reading(READER, provider=PROVIDER))
        assert isinstance(await dip.post_messages("IF-021", sent), Accepted)


async def test_a_declared_company_is_read_back_by_everybody(stage: Stage) -> None:
    site, origin = stage.site, stage.main.origin
    async with Participant(origin, site.identity(LIBRARIAN), now=now) as librarian:
        made = await librarian.declare_company(
            number="07654321", mpid="WXYZ", market_role="M", dip_role="MSS"
        )
        assert made == Done(status=201, value=None)
    async with Participant(origin, site.identity(READER), now=now) as reader:
        for _ in range(600):
            found = await reader.companies("07654321")
            if isinstance(found, Done):
                break
            await asyncio.sleep(0.1)  # the bridge follows its own topic
        assert isinstance(found, Done)
        [company] = found.value
        assert [(one.mpid, one.market_role, one.dip_role) for one in company.roles] == [("WXYZ", "M", "MSS")]
        assert company.roles[0].until is None
        everybody = await reader.companies()
        assert isinstance(everybody, Done)
        assert company in everybody.value


async def test_paths_do_not_care_about_letter_case(stage: Stage) -> None:
    for path in ("/DIP-CHANNEL/if-021", "/Dip-Channel/If-021/"):
        call = EXAMPLES[SUBMIT].call(path=path)
        assert (await ask(stage.site, stage.main, call, READER)).status == 201


async def test_the_client_reads_what_was_accepted_and_what_was_not(stage: Stage) -> None:
    good, bad = reading(READER), reading(READER)
    del bad["payload"]["CommonBlock"]["S1"]["subText"]
    body = array(good, bad)
    async with Participant(stage.main.origin, stage.site.identity(READER), now=now) as dip:
        refused = await dip.post_messages("IF-021", body)
        assert isinstance(refused, Refused)
        assert refused.codes() == {"MSG1001"}
        assert "/1/payload/CommonBlock/S1/subText" in refused.help
        partly = await dip.post_messages("IF-021", body, partial=True)
        assert isinstance(partly, PartlyAccepted)
        taken = [one for one in partly.response.results if one.accepted]
        reference = good["payload"]["CommonBlock"]["S1"]["senderUniqueReference"]
        assert [one.sender_reference for one in taken] == [reference]
        assert len(partly.response.refused()) == 1
        again = await dip.post_messages("IF-021", array(good))
        assert isinstance(again, Accepted)
        assert again.response.results[0].transaction_id == taken[0].transaction_id


async def test_a_message_of_every_pair_is_accepted_over_the_wire(stage: Stage) -> None:
    """Made by the independent generator; each array holds all events of its channel."""
    by_channel: dict[str, list[str]] = {}
    for interface, event in all_pairs():
        by_channel.setdefault(interface, []).append(event)
    roles = {row["interface"]: row["sender_roles"].split(",") for row in table("channels.tsv")}
    async with Participant(stage.main.origin, stage.site.identity(EVERYTHING), now=now) as dip:

        async def send(interface: str) -> None:
            sender = Party(EVERYTHING.id, roles[interface][0])
            made = [message(interface, event, sender) for event in by_channel[interface]]
            outcome = await dip.post_messages(interface, array(*made))
            assert isinstance(outcome, Accepted), (interface, outcome)
            assert len(outcome.response.results) == len(made)

        await asyncio.gather(*map(send, by_channel))


async def test_every_pair_is_validated_over_the_wire(stage: Stage) -> None:
    """127 published paths and the others: a message of the pair is 201, one with a fault is 400 and says where."""
    async with Participant(stage.main.origin, stage.site.identity(READER), now=now) as dip:

        async def judge(interface: str, event: str) -> None:
            source = pair(interface, event, 11)
            valid = await dip.validate(interface, event, array(source.valid()))
            assert isinstance(valid, Done), (interface, event, valid)
            wrong = next(one for one in faulty(source) if one.kind == "missing")
            outcome = await dip.validate(interface, event, b"[" + wrong.body + b"]")
            assert isinstance(outcome, Refused), (interface, event, outcome)
            assert outcome.status == 400
            assert "/".join(map(str, wrong.place[:-1])) in outcome.help, (wrong.place, outcome.help)

        await asyncio.gather(*(judge(*names) for names in all_pairs()))
