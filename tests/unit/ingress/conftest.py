"""A listening bridge for tests that send real HTTP requests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.bridge import World, open_world


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    opened = await open_world()
    yield opened
    await opened.close()
