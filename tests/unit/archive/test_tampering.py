"""Whoever alters the archive is found out, and nobody is accused who did not."""

from dataclasses import replace
from random import Random

import pytest

from pipeline.archive.reading import checkpoint_sizes
from pipeline.archive.verifying import Finding, Verification
from pipeline.domain.archive import Signed, signed_from
from pipeline.domain.archive_log import checkpoint_path
from tests.support.archive_fakes import MemoryStorage, MemoryTopics, Time, archiver, ring
from tests.support.archive_filling import fill
from tests.support.tampering import WAYS, Tampering, change_records


@pytest.fixture(scope="module")
def archive() -> MemoryStorage:
    rng, topics, storage, time = Random(42), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 300)
    made = archiver(storage, topics, time)
    while not topics.caught_up():
        made.step()
        time.seconds += 7.0
    assert made.finish()
    return storage


def last_checkpoint(storage: MemoryStorage) -> Signed:
    return signed_from(storage.objects[checkpoint_path(checkpoint_sizes(storage)[-1])])


def look(storage: MemoryStorage, trusted: Signed | None) -> list[Finding]:
    return list(Verification(storage=storage, verifier=ring(), trusted=trusted).run())


def falsified(archive: MemoryStorage, seed: int) -> tuple[MemoryStorage, Tampering]:
    rng = Random(seed)
    copy = MemoryStorage(objects=dict(archive.objects))
    return copy, rng.choice(WAYS)(copy, rng)


def campaign(archive: MemoryStorage, seeds: range) -> None:
    trusted = last_checkpoint(archive)
    for seed in seeds:
        storage, done = falsified(archive, seed)
        assert storage.objects != archive.objects, f"seed {seed} changed nothing: {done}"
        findings = look(storage, trusted)
        assert findings, f"seed {seed} was not found: {done}"
        assert any(done.path == one.path for one in findings), f"seed {seed}: {done} is not named: {findings}"
        if done.record and not done.kind.endswith("_reverse"):
            named = {one.record for one in findings}
            assert done.record in named, f"seed {seed}: {done} is not named: {findings}"
    assert look(archive, trusted) == [], "a sound archive was accused"


def test_tamperings_are_all_found_and_named_and_none_falsely(archive):
    campaign(archive, range(60))


@pytest.mark.soak
def test_a_thousand_tamperings_are_all_found_and_named_and_none_falsely(archive):
    campaign(archive, range(1_000, 2_000))


def test_the_altered_record_itself_is_named(archive):
    storage = MemoryStorage(objects=dict(archive.objects))
    done = change_records(storage, Random(3))
    findings = look(storage, None)
    assert done.record in {one.record for one in findings}
    assert {one.path for one in findings} >= {done.path}


def test_hashes_alone_are_enough_for_a_quick_look(archive):
    quick = Verification(storage=archive, verifier=ring(), deep=False)
    assert list(quick.run()) == []
    assert quick.counts.files > 0
    assert quick.counts.records == 0
    storage, done = falsified(archive, 1)
    found = list(
        Verification(storage=storage, verifier=ring(), trusted=last_checkpoint(archive), deep=False).run()
    )
    assert done.path in {one.path for one in found}


def test_a_key_that_is_not_trusted_proves_nothing(archive):
    from tests.support.archive_fakes import signer

    found = list(Verification(storage=archive, verifier=ring(signer(b"stranger"))).run())
    assert found
    assert all("not trusted" in one.what or "no signed checkpoint" in one.what for one in found)


def test_a_checkpoint_of_another_history_is_told(archive):
    trusted = last_checkpoint(archive)
    other = replace(trusted, checkpoint=replace(trusted.checkpoint, at="2026-01-01T00:00:00+00:00"))
    assert [one.what for one in look(archive, other)] == ["is not the checkpoint that was kept elsewhere"]
