"""The archive has every record once, whatever fails or dies on the way."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from pipeline.archive.errors import ArchiveTaken, ArchiveUnfit
from pipeline.archive.reading import manifests
from pipeline.archive.verifying import Verification
from pipeline.domain.archive import Archived
from tests.support.archive_fakes import (
    START,
    Crash,
    MemoryStorage,
    MemoryTopics,
    Time,
    archived_records,
    archiver,
    ring,
)
from tests.support.archive_filling import fill


def everything(topics: MemoryTopics) -> list[Archived]:
    return [one for place in sorted(topics.logs) for one in topics.logs[place]]


def run(storage, topics, time, *, steps: int = 3_000, **rule) -> None:
    made = archiver(storage, topics, time, **rule)
    for _ in range(steps):
        made.step()
        time.seconds += 1.0
        if topics.caught_up() and not made.buffer.size:
            break
    assert made.finish() or made.standing().trouble


@pytest.mark.parametrize("seed", range(6))
def test_every_record_is_archived_once_byte_for_byte_whatever_fails_and_dies(seed):
    rng = Random(seed)
    topics, time = MemoryTopics(rng=rng), Time()
    fill(topics, rng, 600)
    kinds = (None, None, None, None, "before", "after", "crash", "crash-after")
    storage = MemoryStorage(faults=[rng.choice(kinds) for _ in range(300)])
    crashes = 0
    for _ in range(400):
        try:
            run(storage, topics, time)
            if archived_records(storage) == everything(topics):
                break
        except Crash:
            crashes += 1
    assert archived_records(storage) == everything(topics)
    assert list(Verification(storage=storage, verifier=ring()).run()) == []
    assert crashes > 5


def test_more_records_later_continue_the_same_log():
    rng, topics, storage, time = Random(1), MemoryTopics(), MemoryStorage(), Time()
    for round_ in range(4):
        fill(topics, rng, 150, first=150 * round_)
        run(storage, topics, time)
        assert archived_records(storage) == everything(topics)
    look = Verification(storage=storage, verifier=ring())
    assert list(look.run()) == []
    assert look.counts.records == 600
    assert look.counts.checkpoints >= 4


def test_files_lie_by_date_topic_and_channel_and_no_channel_leaves_its_folder():
    rng, topics, storage = Random(2), MemoryTopics(), MemoryStorage()
    fill(topics, rng, 300)
    run(storage, topics, Time())
    paths = [path for path in storage.objects if path.startswith("data/")]
    assert all(".." not in path for path in paths)
    assert any("/date=2026-01-05/topic=dip.outbound/channel=IF-021/" in f"/{path}" for path in paths)
    assert any("channel=other/" in path for path in paths)
    assert not any("topic=dip.audit/channel" in path for path in paths)


def test_any_avro_tool_reads_what_a_record_says():
    import io

    from avro.datafile import DataFileReader  # Apache's own package
    from avro.io import DatumReader

    rng, topics, storage = Random(3), MemoryTopics(), MemoryStorage()
    fill(topics, rng, 100)
    run(storage, topics, Time())
    said = []
    for path, content in storage.objects.items():
        if "topic=dip.audit" in path and path.endswith(".avro"):
            said += [row["value"] for row in DataFileReader(io.BytesIO(content), DatumReader())]
    assert sum(isinstance(one, dict) and one["status"] == "OK" for one in said) > 30


def test_while_the_storage_is_away_nothing_is_read_beyond_the_buffer_and_all_comes_later(caplog):
    rng, topics, time = Random(4), MemoryTopics(), Time()
    fill(topics, rng, 800)
    storage = MemoryStorage(faults=["before"] * 40)
    made = archiver(storage, topics, time, buffer_bytes=8_000)
    for _ in range(100):
        made.step()
        time.seconds += 0.1
    standing = made.standing()
    assert caplog.text.count("ALARM: nothing is archived") >= 2, "again and again, not once"
    time.seconds += 20 * 86_400.0  # everything is old enough to go, had it been archived
    for _ in range(20):
        made.step()
        time.seconds += 3_600.0
    assert not topics.lows_by, "nothing left a topic"
    assert topics.held, "and what a topic would delete by itself is held"
    assert "no space left" in (standing.trouble or "")
    assert standing.trouble_s > 0
    assert standing.records == 0
    assert standing.lag_records >= 700
    assert standing.buffered_bytes < 8_000 + 40 * 400
    for _ in range(3_000):
        made.step()
        time.seconds += 60.0
    assert made.finish()
    assert made.standing().trouble is None
    assert archived_records(storage) == everything(topics)


def test_two_archivers_of_one_place_do_not_double_anything():
    rng, topics, storage, time = Random(5), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 200)
    second = replace(topics)
    one, two = archiver(storage, topics, time), archiver(storage, second, time)

    def both() -> None:
        for _ in range(500):
            one.step()
            two.step()
            time.seconds += 5.0

    with pytest.raises(ArchiveTaken):
        both()
    run(storage, topics, time)
    assert archived_records(storage) == everything(topics)


def test_a_topic_made_anew_is_refused():
    rng, topics, storage, time = Random(6), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 50)
    run(storage, topics, time)
    topics.ends_by = dict.fromkeys(topics.ends_by, 1)
    with pytest.raises(ArchiveUnfit, match="made anew"):
        archiver(storage, topics, time)


def test_what_left_its_topic_unarchived_is_said_in_the_log_for_ever():
    rng, topics, storage, time = Random(7), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 60)
    run(storage, topics, time)
    fill(topics, rng, 60, first=60)
    place = ("dip.audit", 1)
    low = topics.logs[place][-2].offset
    topics.delete_before({place: low})
    run(storage, topics, time)
    told = [(one.topic, one.partition, one.lost_before) for one in manifests(storage) if one.lost_before]
    assert told == [("dip.audit", 1, low)]


def test_the_audit_topic_lets_go_only_what_is_archived_and_fourteen_days_old():
    rng, topics, storage, time = Random(8), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 400)
    before = everything(topics)
    made = archiver(storage, topics, time)
    for _ in range(300):
        made.step()
        time.seconds += 1.0
    assert everything(topics) == before  # nothing is old yet

    time.at, time.seconds = START + timedelta(days=40), time.seconds + 10_000
    fill(topics, rng, 100, first=400 + 50_000)
    fresh = everything(topics)
    for _ in range(400):
        made.step()
        time.seconds += 5.0
    made.finish()
    kept = set(everything(topics))
    archived = {one.name for one in archived_records(storage)}
    deleted = [one for one in fresh if one not in kept]
    assert deleted
    assert all(one.topic == "dip.audit" and one.name in archived for one in deleted)
    assert all(one.timestamp_ms < (START + timedelta(days=26)).timestamp() * 1000 for one in deleted)


def test_a_topic_that_would_delete_what_is_not_archived_is_held_and_let_go_again():
    rng, topics, time = Random(9), MemoryTopics(), Time()
    fill(topics, rng, 100)
    storage = MemoryStorage()
    made = archiver(storage, topics, time, age_s=1e9, segment_bytes=10**9, buffer_bytes=10**9)
    time.at = START + timedelta(days=12)
    made.keeping.tend({}, time.now())
    assert topics.held == ["dip.outbound"]
    while not topics.caught_up():
        made.step()
    assert made.finish()
    made.keeping.tend(topics.told, time.now())
    assert topics.released == ["dip.outbound"]
