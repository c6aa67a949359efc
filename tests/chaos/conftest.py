"""Toy applications on the session's broker, closed whatever happens."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.engine_rig import Rig


@pytest.fixture
def rig(tmp_path: Path, prefix: str) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(bootstrap: str, **config: object) -> Rig:
        tag = f"{prefix}{len(made)}"
        made.append(Rig(bootstrap, tag, tmp_path / tag, **config))
        return made[-1]

    yield make
    for one in made:
        one.close()
