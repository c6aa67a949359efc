"""A restore puts the same records back, goes on after an interruption, and refuses what is not its own."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.reading import Span, manifests
from pipeline.archive.restoring import Restore
from pipeline.domain.archive import Archived, Place
from pipeline.errors import BrokerUnavailable
from tests.support.archive_fakes import MemoryStorage, MemoryTopics, Time, archiver
from tests.support.archive_filling import fill


@dataclass
class Target:
    """A broker with partitions; it goes away after some records."""

    places: tuple[Place, ...]
    left: int = 10**9
    logs: dict[Place, list[Archived]] = field(default_factory=dict)

    def counts(self) -> dict[Place, int]:
        return {place: len(self.logs.get(place, ())) for place in self.places}

    def last(self, place: Place) -> Archived:
        return self.logs[place][-1]

    def put(self, record: Archived) -> None:
        if not self.left:
            raise BrokerUnavailable("gone")
        self.left -= 1
        self.logs.setdefault((record.topic, record.partition), []).append(record)

    def flush(self) -> None: ...


@pytest.fixture(scope="module")
def filled() -> tuple[MemoryStorage, MemoryTopics]:
    rng, topics, storage, time = Random(21), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 300)
    made = archiver(storage, topics, time)
    while not topics.caught_up():
        made.step()
        time.seconds += 9.0
    assert made.finish()
    return storage, topics


def run(storage: MemoryStorage, target: Target, **more) -> Restore:
    one = Restore(storage=storage, target=target, span=Span(), renumbered=lambda _topic, _text: 4, **more)
    for _ in one.run():
        pass
    return one


def as_renumbered(record: Archived) -> Archived:
    """What the audit's schema id 4 here and there means: nothing changes; copies get the target's number."""
    value = record.value
    if value is None or record.topic != "dip.outbound" or not value.startswith(b"\x00\x00\x00\x00\x02"):
        return record
    return replace(record, value=b"\x00\x00\x00\x00\x04" + value[5:])


def test_partitions_hold_the_same_records_in_the_same_order_under_the_targets_schema_ids(filled):
    storage, topics = filled
    target = Target(tuple(topics.logs))
    one = run(storage, target)
    for place, log in topics.logs.items():
        assert target.logs[place] == [as_renumbered(record) for record in log]
    assert one.figures.records == 300


def test_it_goes_on_where_it_was_interrupted_and_only_there(filled):
    storage, topics = filled
    target = Target(tuple(topics.logs), left=100)
    with pytest.raises(BrokerUnavailable):
        run(storage, target)
    target.left = 10**9
    with pytest.raises(ArchiveUnfit, match="empty topics"):
        run(storage, target)
    one = run(storage, target, resume=True)
    assert (one.figures.there, one.figures.records) == (100, 200)
    whole = Target(tuple(topics.logs))
    run(storage, whole)
    assert target.logs == whole.logs


def test_topics_that_hold_something_else_are_refused(filled):
    storage, topics = filled
    target = Target(tuple(topics.logs))
    place = min(topics.logs)
    target.put(replace(topics.logs[place][0], key=b"another"))
    with pytest.raises(ArchiveUnfit, match="other records"):
        run(storage, target, resume=True)
    with pytest.raises(ArchiveUnfit, match="no such partition"):
        run(storage, Target(places=(place,)))


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_truncated_container_stops_a_restore_before_any_of_its_records_and_is_named(filled, kept):
    """What was put before it stays; nothing of the file is believed, since its hash is of all of it."""
    storage, topics = filled
    path = sorted(one for one in storage.objects if one.endswith(".avro"))[2]
    cut = MemoryStorage(objects={**storage.objects, path: storage.objects[path][:kept]})
    target = Target(tuple(topics.logs))
    with pytest.raises(ArchiveUnfit, match="dip archive verify") as said:
        run(cut, target)
    assert path in str(said.value)
    (segment,) = (one for one in manifests(cut) if path in {part.path for part in one.parts})
    there = {record.offset for record in target.logs.get((segment.topic, segment.partition), ())}
    assert not there & set(range(segment.first_offset, segment.last_offset + 1))
    one = run(storage, target, resume=True)
    assert one.figures.there + one.figures.records == 300
