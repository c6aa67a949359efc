"""What is checked before the first record is read: is there a broker, and are the topics as they must be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Counts = Mapping[str, tuple[int, int]]  # topic -> partitions, smallest number of replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an application asks of the topics."""

    sources: frozenset[str]
    dead_letters: Mapping[str, str]
    partitions: Mapping[str, int]
    groups: Mapping[str, str]  # source topic -> group of co-partitioned topics
    tables: Mapping[str, frozenset[str]]  # changelog -> source topics


def topic_problems(needs: Needs, counts: Counts) -> list[str]:
    """Return everything that is wrong with the topics, each with what to do. Pure."""
    return [
        *_unnamed(needs),
        *_missing(needs, counts),
        *_wrong_counts(needs, counts),
        *_unequal(needs, counts),
        *_changelogs(needs, counts),
    ]


def _unnamed(needs: Needs) -> Iterable[str]:
    for topic in sorted(needs.sources - needs.dead_letters.keys()):
        yield f"topic {topic} has no dead-letter topic: add it to EngineSettings.dead_letters"


def missing_topics(needs: Needs, counts: Counts) -> list[str]:
    """Return the topics that are needed and do not exist, sorted. Pure."""
    wanted = {*needs.sources, *needs.dead_letters.values(), *needs.partitions, *needs.tables}
    return sorted(wanted - counts.keys())


def _missing(needs: Needs, counts: Counts) -> Iterable[str]:
    for topic in missing_topics(needs, counts):
        yield f"topic {topic} does not exist: run `dip topics create`"


def _wrong_counts(needs: Needs, counts: Counts) -> Iterable[str]:
    for topic, expected in sorted(needs.partitions.items()):
        found = counts.get(topic, (expected, 0))[0]
        if found != expected:
            yield (
                f"topic {topic} has {found} partitions, expected {expected}: records of one key would move to another "
                "partition. Set DIP_TOPIC_PARTITIONS to what the topic has, or drain and create it anew"
            )


def _unequal(needs: Needs, counts: Counts) -> Iterable[str]:
    for group in sorted(set(needs.groups.values())):
        found = {t: counts[t][0] for t, g in sorted(needs.groups.items()) if g == group and t in counts}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{topic} has {count}" for topic, count in found.items())
            yield f"topics that share a table must have equal partition counts: {listed}"


def _changelogs(needs: Needs, counts: Counts) -> Iterable[str]:
    for changelog, sources in sorted(needs.tables.items()):
        for source in sorted(sources & counts.keys()):
            if changelog in counts and counts[changelog][0] != counts[source][0]:
                yield (
                    f"changelog {changelog} has {counts[changelog][0]} partitions, its source {source} has "
                    f"{counts[source][0]}: create the changelog with as many as the source"
                )


RELEASE_OF_LEVEL = ((22, "before 4.0"), (26, "4.0"), (28, "4.1"), (30, "4.2"), (31, "4.3"))
"""First metadata.version level that is *not* of the release any more, oldest first."""


def release_of(level: int) -> str:
    """Return the release line that a broker's highest supported metadata.version tells."""
    return next((release for first, release in RELEASE_OF_LEVEL if level < first), "4.4 or later")


def release_warning(level: int, topics: Iterable[str], counts: Counts) -> str | None:
    """Return a warning if this broker loses transaction markers of single-replica partitions (KAFKA-20734)."""
    release = release_of(level)
    single: Sequence[str] = [topic for topic in sorted(topics) if counts.get(topic, (0, 0))[1] == 1]
    if release in ("before 4.0", "4.0") or not single:
        return None
    known = "" if release != "4.4 or later" else " unless it has the fix of KAFKA-20734"
    return (
        f"THIS BROKER CAN LOSE TRANSACTION MARKERS{known}: Kafka {release} with replication factor 1 ({len(single)} topics, "
        f"{single[0]} among them). A frozen or killed broker can leave transactions open for ever. Use Kafka 4.0.x, or "
        "three brokers on separate power with replication factor 3 and min.insync.replicas 2"
    )
