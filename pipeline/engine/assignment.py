"""Which partitions this worker owns, and when a group of co-partitioned ones may be worked on. Pure bookkeeping."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.engine.values import Claim, TopicPartition

Key = tuple[str, int]  # group and partition


def group_topics(topics: Collection[str], shared: Iterable[Collection[str]]) -> dict[str, str]:
    """Map each topic to its group: topics that share a table, directly or through others, are one group."""
    parent = {topic: topic for topic in topics}

    def root(topic: str) -> str:
        while parent[topic] != topic:
            topic = parent[topic]
        return topic

    for sources in shared:
        known = sorted(set(sources) & parent.keys())
        for other in known[1:]:
            parent[root(other)] = root(known[0])
    members: dict[str, list[str]] = {}
    for topic in sorted(parent):
        members.setdefault(root(topic), []).append(topic)
    return {topic: "+".join(group) for group in members.values() for topic in group}


@dataclass(slots=True)
class Change:
    """What follows from a change of the assignment."""

    opened: list[Claim] = field(default_factory=list)  # complete now: recover their shards
    lost: list[Claim] = field(default_factory=list)  # were held
    dropped: list[Claim] = field(default_factory=list)  # were being recovered
    halted: list[TopicPartition] = field(default_factory=list)  # still owned, but no longer ready


class Assignment:
    """Owned partitions, claims being recovered, claims held."""

    def __init__(self, groups: Mapping[str, str], *, epoch: int = 0) -> None:
        """Begin with nothing. `epoch` is that of the assignment before: a claim never equals an older one."""
        self._groups = groups
        self._members: dict[str, list[str]] = {}
        for topic, group in groups.items():
            self._members.setdefault(group, []).append(topic)
        self.epoch = epoch
        self.owned: set[TopicPartition] = set()
        self.opening: dict[Key, Claim] = {}
        self.held: dict[Key, Claim] = {}

    def places(self, claim: Claim) -> list[TopicPartition]:
        """Return the source partitions that a claim covers."""
        return [TopicPartition(topic, claim.partition) for topic in self._members[claim.group]]

    def claim_of(self, place: TopicPartition) -> Claim | None:
        """Return the claim under which records of this partition may be worked on now."""
        if place not in self.owned:
            return None
        return self.held.get((self._groups[place.topic], place.partition))

    def holds(self, claim: Claim) -> bool:
        """Tell whether this very claim is held."""
        return self.held.get((claim.group, claim.partition)) == claim

    def opens(self, claim: Claim) -> bool:
        """Tell whether this very claim is being recovered."""
        return self.opening.get((claim.group, claim.partition)) == claim

    def assign(self, places: Iterable[TopicPartition]) -> Change:
        """Add partitions; groups that are complete by them begin to open."""
        new = set(places)
        self.owned |= new
        change = Change()
        for group, partition in sorted({(self._groups[p.topic], p.partition) for p in new}):
            key = (group, partition)
            if key in self.held or key in self.opening:
                continue
            if all(TopicPartition(topic, partition) in self.owned for topic in self._members[group]):
                self.epoch += 1
                claim = Claim(group=group, partition=partition, epoch=self.epoch)
                self.opening[key] = claim
                change.opened.append(claim)
        return change

    def revoke(self, places: Iterable[TopicPartition]) -> Change:
        """Take partitions away; every claim that covers one of them ends."""
        gone = set(places) & self.owned
        self.owned -= gone
        change = Change()
        for key in sorted({(self._groups[p.topic], p.partition) for p in gone}):
            held, opening = self.held.pop(key, None), self.opening.pop(key, None)
            if held is not None:
                change.lost.append(held)
            if opening is not None:
                change.dropped.append(opening)
            ended = held or opening
            if ended is not None:
                change.halted.extend(place for place in self.places(ended) if place in self.owned)
        return change

    def recovered(self, claim: Claim) -> bool:
        """Turn an opening claim into a held one; return False if it was lost meanwhile."""
        if not self.opens(claim):
            return False
        key = (claim.group, claim.partition)
        del self.opening[key]
        self.held[key] = claim
        return True

    @property
    def complete(self) -> bool:
        """Tell whether everything owned is ready (also when nothing is owned)."""
        return not self.opening and all(self.claim_of(place) is not None for place in self.owned)
