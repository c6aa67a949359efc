"""One record can be proved to be in the signed archive, without the archive; anything else cannot."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from pipeline.archive.errors import ArchiveUnfit
from pipeline.archive.proving import Inclusion, Path, check, prove
from pipeline.archive.reading import manifests, rows_in
from pipeline.domain.merkle import leaf_hash, node_hash, proof_of, root_by, root_of
from tests.support.archive_fakes import MemoryStorage, MemoryTopics, Time, archiver, ring, signer
from tests.support.archive_filling import fill


@pytest.fixture(scope="module")
def archive() -> MemoryStorage:
    rng, topics, storage, time = Random(12), MemoryTopics(), MemoryStorage(), Time()
    fill(topics, rng, 200)
    made = archiver(storage, topics, time)
    while not topics.caught_up():
        made.step()
        time.seconds += 9.0
    assert made.finish()
    return storage


def test_every_record_is_proved_by_a_file_of_hashes(archive):
    for manifest in manifests(archive):
        for row in rows_in(archive, manifest):
            one = row.record
            proof, found = prove(archive, one.topic, one.partition, one.offset)
            assert found == one
            written = msgspec.json.decode(msgspec.json.encode(proof), type=Inclusion)
            assert check(written, ring(), one) is None


def test_a_proof_proves_its_own_record_under_its_own_key_only(archive):
    manifest = next(one for one in manifests(archive) if one.records > 3)
    first, second = (row.record for row, _ in zip(rows_in(archive, manifest), range(2), strict=False))
    proof, _ = prove(archive, first.topic, first.partition, first.offset)
    assert check(proof, ring(), second) == "it is of another record"
    assert "not trusted" in (check(proof, ring(signer(b"other"))) or "")
    assert check(replace(proof, leaf=second.leaf().hex()), ring()) is not None
    moved = replace(proof.in_segment, index=proof.in_segment.index + 1)
    assert check(replace(proof, in_segment=moved), ring()) is not None
    assert check(replace(proof, in_log=Path(index=0, size=1, hashes=("zz",))), ring()) is not None
    assert check(replace(proof, manifest=replace(proof.manifest, records=1)), ring()) is not None


@pytest.mark.parametrize("place", [("dip.audit", 0, 10**9), ("dip.nothing", 0, 0), ("dip.audit", 77, 0)])
def test_what_is_not_there_is_not_proved(archive, place):
    with pytest.raises(ArchiveUnfit, match="not in the archive"):
        prove(archive, *place)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def test_roots_and_proofs_are_those_of_rfc_6962():
    known = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"PQRSTUVW",
        b"`abcdefghijklmno",
    ]
    vector = (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"  # the well-known tree of eight
    )
    assert root_of(map(leaf_hash, known)).hex() == vector
    for size in range(1, 40):
        leaves = [leaf_hash(bytes([number])) for number in range(size)]
        assert root_of(leaves) == naive_root(leaves)
        for place in range(size):
            proof = proof_of(leaves, place)
            assert root_by(proof, leaves[place]) == naive_root(leaves)
            assert root_by(proof, leaf_hash(b"other")) != naive_root(leaves)
            assert root_by(replace(proof, path=(*proof.path, leaves[0])), leaves[place]) is None
