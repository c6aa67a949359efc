"""What the console learns of processes over HTTP, and which of the journal's records are of the messages asked for."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from pipeline.adapters.exposition import exposition
from pipeline.adapters.journal_client import Found as Journalled
from pipeline.domain.audit_query import Wanted
from pipeline.domain.envelope import AuditCopy, plain
from pipeline.domain.identifiers import Mpan, TransactionId
from pipeline.errors import SettingsInvalid
from pipeline.metrics import Sample
from pipeline.operate.console_outside import _of_messages
from pipeline.operate.console_processes import KnownProcesses, figures, named
from tests.support.builders import MPAN
from tests.support.console_rig import ago
from tests.support.console_scene import ME, T, said, whole_story

LANE = {
    "recipient": ME, "channel": "IF-021", "standing": "waiting", "order": None, "failures": 3, "next_try_at": None,
    "calls": 0, "calls_max": 4, "in_memory": 1, "parked": 9, "oldest_at": "2026-01-05T09:00:00+00:00",
    "something": "that a later version tells",
}  # fmt: skip


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Return where a delivery worker has its pages."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=exposition([Sample("dip_info", 1, ("1.0", "delivery", "0")), Sample("dip_ready", 1)])
        )

    async def lanes(_request: web.Request) -> web.Response:
        return web.json_response({"in_all": {}, "lanes": [LANE]})

    worker = web.Application()
    worker.router.add_get("/metrics", metrics)
    worker.router.add_get("/lanes/", lanes)
    server = TestServer(worker, host="127.0.0.1")
    await server.start_server()
    yield f"http://127.0.0.1:{server.port}"
    await server.close()


async def test_processes_are_asked_once_each_and_those_away_say_so(address: str) -> None:
    away = "http://127.0.0.1:1"
    known = KnownProcesses((address, away), lambda: (f"{address}/",))
    seen = {one.address: one for one in await known.look()}
    assert set(seen) == {address, away}
    assert seen[address].figures["dip_info"] == {("1.0", "delivery", "0"): 1.0}
    assert seen[address].trouble is None
    assert seen[away].trouble
    standings = await known.standings()
    assert [(one.recipient, one.parked, one.oldest_at is not None) for one in standings.rows] == [
        (ME, 9, True)
    ]
    assert len(standings.troubles) == 1
    await known.close()


async def test_a_process_with_two_addresses_counts_once(address: str) -> None:
    """A worker that was named in the settings announces itself as well."""
    known = KnownProcesses((address,), lambda: (address.replace("127.0.0.1", "localhost"),))
    assert len(await known.look()) == 1
    await known.close()


def test_a_page_of_metrics_is_read_by_the_names_that_are_documented() -> None:
    page = exposition([Sample("dip_records_read_total", 5, ("dip.inbound",))])
    assert figures(page)["dip_records_read_total"] == {("dip.inbound",): 5.0}
    assert not any(name.startswith("process_") for name in figures(page))


@pytest.mark.parametrize("wrong", ["bridge:8081", "ftp://bridge", "http://bridge:8081/metrics", "http://"])
def test_an_address_that_is_none_is_told(wrong: str) -> None:
    with pytest.raises(SettingsInvalid, match="DIP_CONSOLE_PROCESSES"):
        named(f"http://good:1, {wrong}")


def journalled(*records) -> list[Journalled]:
    return [Journalled(partition=0, offset=number, record=one) for number, one in enumerate(records)]


def test_a_call_speaks_of_others_and_they_are_not_found_with_it() -> None:
    """Delivery's record of one call names every copy that it carried."""
    story = whole_story().records
    other = plain(story[-1].copies[0]) | {
        "transaction_id": TransactionId("T-other"),
        "mpan": Mpan("2000000000000"),
    }
    call = story[-1]
    mixed = replace(call, copies=(*call.copies, AuditCopy(**other)))
    told = journalled(
        *story[:-1], mixed, said(transaction_id=TransactionId("T-other"), mpan=Mpan("2000000000000"))
    )
    found = _of_messages(told, Wanted(mpan=MPAN), since=ago(60))
    assert found.transactions == {T}
    assert len(found.records) == len(story)


def test_of_a_message_all_records_of_the_time_are_kept_though_one_is_as_wanted() -> None:
    told = journalled(*whole_story().records)
    assert len(_of_messages(told, Wanted(participant=ME, mpan=MPAN), since=ago(60)).records) == 4
    assert len(_of_messages(told, Wanted(mpan=MPAN), since=ago(-0.5)).records) == 2
