"""Deletion by rule takes what is two years old, whole segments only, and leaves a note that verification accepts."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from pipeline.archive import pruning
from pipeline.archive.reading import Span, manifests, pruned_numbers, segments
from pipeline.archive.verifying import Verification
from pipeline.domain.archive import pruned_from
from pipeline.domain.archive_log import pruned_path
from tests.support.archive_fakes import START, MemoryStorage, MemoryTopics, Time, archiver, ring, signer
from tests.support.archive_filling import fill

KEEP = 731
NOW = START + timedelta(days=KEEP, hours=5)


@pytest.fixture
def storage() -> MemoryStorage:
    rng, topics, made, time = Random(31), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 600)  # ten hours
    one = archiver(made, topics, time, segment_bytes=3_000)
    while not topics.caught_up():
        one.step()
        time.seconds += 9.0
    assert one.finish()
    return made


def test_only_whole_segments_beyond_two_years_go_and_the_rest_verifies(storage):
    before = dict(storage.objects)
    due = list(pruning.due(storage, now=NOW, keep_days=KEEP))
    assert storage.objects == before, "looking deletes nothing"
    assert 0 < len(due) < len(list(manifests(storage)))
    limit_ms = (NOW - timedelta(days=KEEP)).timestamp() * 1000
    assert all(one.manifest.last_ms < limit_ms for one in due)
    for one in due:
        pruning.prune(storage, one, signer=signer(), now=NOW, keep_days=KEEP)
        pruning.prune(storage, one, signer=signer(), now=NOW, keep_days=KEEP)  # after a crash
    look = Verification(storage=storage, verifier=ring())
    assert list(look.run()) == []
    assert look.counts.pruned == len(due) == len(pruned_numbers(storage))
    assert list(pruning.due(storage, now=NOW, keep_days=KEEP)) == []
    told = [found for found in segments(storage, Span()) if found.pruned]
    assert {one.manifest.sequence for one in told} == {one.manifest.sequence for one in due}


def test_standing_data_never_goes(storage):
    due = pruning.due(storage, now=NOW + timedelta(days=900), keep_days=KEEP, standing=("dip.outbound",))
    assert {one.manifest.topic for one in due} == {"dip.audit"}


def test_a_deletion_before_its_time_or_by_somebody_else_is_found(storage):
    youngest = max(manifests(storage), key=lambda one: one.last_ms)
    goes = pruning.Goes(manifest=youngest, paths=tuple(one.path for one in youngest.parts), bytes=0)
    pruning.prune(storage, goes, signer=signer(), now=NOW, keep_days=KEEP)
    path = pruned_path(youngest.sequence)
    assert [(one.path, one.what) for one in Verification(storage=storage, verifier=ring()).run()] == [
        (path, "deleted before its time")
    ]
    note = pruned_from(storage.objects[path])
    storage.objects[path] = replace(note, at="2099-01-01T00:00:00+00:00").encode()
    found = list(Verification(storage=storage, verifier=ring()).run())
    assert [one.what for one in found] == ["the signature is not one of a trusted key"]


def test_leftovers_are_files_that_no_manifest_names(storage):
    assert list(pruning.leftovers(storage, older_than="2027-01-01")) == []
    storage.objects["data/date=2026-01-05/topic=dip.audit/left.avro"] = b"of a crash"
    assert list(pruning.leftovers(storage, older_than="2027-01-01")) == [
        "data/date=2026-01-05/topic=dip.audit/left.avro"
    ]
    assert list(pruning.leftovers(storage, older_than="2026-01-05")) == []
