"""The product's own workers on a simulated Kafka, from one seed; `make sim` runs thousands of these."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pipeline import topics
from pipeline.catalogue import Catalogue, load_catalogue
from pipeline.codec import Codec
from pipeline.domain.delivery_order import Order
from tests.simulation.campaign import first_failing
from tests.simulation.engine.sabotage import a_record_is_eaten, any_member_may_commit, writes_are_torn
from tests.simulation.product.run import KINDS, Play, script
from tests.simulation.product.runs import ProductRuns

pytestmark = [
    pytest.mark.usefixtures("loop_of_the_thread"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # coroutines of processes that were killed
]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


FOUND = (30, 2338, 5139)
"""Seeds of runs that failed once (docs/PROOF.md)."""


@pytest.mark.parametrize("seed", [*range(6), *FOUND])
def test_every_message_is_settled_once_for_each_recipient_whatever_happens(
    seed: int, catalogue: Catalogue, codec: Codec
) -> None:
    """Routed as the model says, each copy delivered or dead-lettered once, explained, reported, and at rest in the end."""
    runs = ProductRuns(catalogue, codec)
    problems = runs.problems(seed, script(seed))
    assert not problems, runs.told(seed, problems)


def test_a_run_is_the_same_every_time(catalogue: Catalogue, codec: Codec) -> None:
    """Or a seed would be worth nothing."""
    runs = ProductRuns(catalogue, codec)
    assert runs.trace(5) == runs.trace(5)


def test_every_kind_of_event_is_drawn() -> None:
    assert {event.kind for seed in range(40) for event in script(seed)} == KINDS.keys()


# --- the judge is judged: each of these breaks one promise ---


def one_copy_goes_elsewhere(play: Play, codec: Codec) -> None:
    """Let one copy be written for another recipient than the router said."""
    real, turned = play.broker.produce, []

    def turning(name: str, epoch: int, place: tuple[str, int], rows: list[Any]) -> int:
        if place[0] == topics.OUTBOUND and not turned:
            key, value, headers = rows[0]
            fields = codec.decode_copy(value)
            turned.append(fields)
            other = {one: getattr(fields, one) for one in type(fields).__slots__} | {
                "recipient": "2200000001"
            }
            rows = [(key, codec.encode_copy(type(fields)(**other)), headers), *rows[1:]]
        return real(name, epoch, place, rows)

    play.broker.produce = turning  # type: ignore[method-assign,assignment]  # the sabotage


def an_order_is_promised_that_nobody_keeps(play: Play) -> None:
    """Let the judge believe in an order, while the workers have none."""
    play.shared.settings["delivery_order"] = "IF-021=none"
    play.order = Order.MPAN


def what_is_taken_never_arrives(play: Play) -> None:
    """Let the answers of recipients be heard that never got anything."""
    play.endpoints.take = lambda _post: None  # type: ignore[method-assign]  # the sabotage


@pytest.mark.parametrize(
    ("sabotage", "words"),
    [
        (lambda play, _: any_member_may_commit(play.broker), ("doubled",)),
        (lambda play, _: a_record_is_eaten(play.broker, {topics.OUTBOUND}), ("copies: lost",)),
        (lambda play, _: writes_are_torn(play.world, play.crew.disks), ("is not its changelog",)),
        (one_copy_goes_elsewhere, ("copies: lost", "copies: doubled or phantom")),
        (lambda play, _: an_order_is_promised_that_nobody_keeps(play), ("overtaken",)),
        (lambda play, _: what_is_taken_never_arrives(play), ("never arrived",)),
    ],
    ids=("any member may commit", "a copy is eaten", "writes are torn", "misrouted", "no order", "not taken"),
)
def test_a_broken_world_is_noticed(
    sabotage: Callable[[Play, Codec], None],
    words: tuple[str, ...],
    catalogue: Catalogue,
    codec: Codec,
) -> None:
    runs = ProductRuns(catalogue, codec, partial(sabotaged, sabotage, codec))
    _, _, problems = first_failing(runs, range(200), shortest=False)
    for word in words:
        assert any(word in one for one in problems), problems


def sabotaged(sabotage: Callable[[Play, Codec], None], codec: Codec, play: Play) -> None:
    sabotage(play, codec)
