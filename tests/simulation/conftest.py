"""What every simulated market is made of."""

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
