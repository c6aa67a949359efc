"""What every simulated market is made of."""

import asyncio
from collections.abc import Iterator

import pytest

from pipeline import schemas
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.codec import Codec
from tests.support.market_world import NoRegistry


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture
def codec() -> Codec:
    return Codec({name: number for number, name in enumerate(schemas.SUBJECTS, 1)}, NoRegistry())


@pytest.fixture
def loop_of_the_thread() -> Iterator[None]:
    """Faust asks for the thread's loop; an asynchronous test before these in the same process leaves none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
