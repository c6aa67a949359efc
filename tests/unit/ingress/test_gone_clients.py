"""A client that reads its refusal and goes, with its body half sent, is no event for the operator."""

import asyncio
import logging

from tests.support.bridge import World


async def test_a_client_that_goes_after_its_refusal_leaves_no_stack_in_the_log(world: World, caplog) -> None:
    """The fuzzer found it: aiohttp calls that an unhandled exception."""
    caplog.set_level(logging.INFO)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listening.port)
    writer.write(
        b"POST /dip-channel/IF-021 HTTP/1.1\r\nHost: x\r\nX-API-Key: nobody\r\nContent-Length: 100000\r\n\r\n[1,2"
    )
    assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    for _ in range(500):
        if "went away in the middle" in caplog.text:
            break
        await asyncio.sleep(0.01)
    assert "went away in the middle" in caplog.text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
