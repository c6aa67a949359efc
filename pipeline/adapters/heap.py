"""The memory of this process, as far as Python's collector has to look at it."""

import gc

from pipeline.limits import COLLECT_EVERY_OBJECTS


def settle_heap() -> None:
    """Let the collector pass over what exists now: code and facts, which live as long as the process.

    A process starts with some 110,000 objects of that kind. To look at all of them takes 30-60 ms, in which nothing
    else runs, again and again under load. What comes after is looked at as ever, but not while most of it is in use:
    Python's own threshold of 700 objects is a fraction of what a worker has under way.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS)
