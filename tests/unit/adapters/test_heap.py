"""What exists when a process begins to work is not looked at again by the collector; what comes later is."""

import gc
import subprocess
import sys
import weakref

from pipeline.adapters.heap import settle_heap


class Knot:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.me = self


def test_what_comes_later_is_still_collected() -> None:
    before = gc.get_threshold()
    try:
        settle_heap()
        assert gc.get_freeze_count() > 0
        gone = weakref.ref(Knot())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_facts_are_what_is_passed_over() -> None:
    """In a process of its own, as a worker does it: after the catalogue was loaded."""
    script = (
        "import gc; from pipeline.catalogue import load_catalogue; from pipeline.adapters.heap import settle_heap\n"
        "facts = load_catalogue(versions_accepted=()); settle_heap(); print(gc.get_freeze_count(), len(gc.get_objects()))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    frozen, left = map(int, said.stdout.split())
    assert frozen > 20 * left


def test_garbage_is_collected_without_being_asked_for() -> None:
    """In a process of its own. Less often than Python would, but knots do not pile up."""
    script = (
        "from pipeline.adapters.heap import settle_heap; from tests.unit.adapters.test_heap import Knot; import gc\n"
        "settle_heap(); [Knot() and None for _ in range(200_000)]; print(len(gc.get_objects()))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(said.stdout) < 100_000
