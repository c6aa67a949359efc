"""The lock lists pin every byte that is run, and nothing malformed gets past them."""

import pytest

from pipeline.localstack.artifacts import KAFKA_LOCK, REGISTRY_LOCK, STREAMS_LOCK, parse_lock, read_lock
from pipeline.localstack.errors import LockInvalid

SUM = "a" * 64


def test_the_committed_lists_name_kafka_402_and_apicurio_333():
    """Not newer: 4.1-4.3 on one node lose transaction markers (engine.md 5)."""
    kafka = {artifact.name: artifact.version for artifact in read_lock(KAFKA_LOCK)}
    assert (len(kafka), kafka["kafka_2.13"], kafka["kafka-clients"]) == (91, "4.0.2", "4.0.2")
    (registry,) = read_lock(REGISTRY_LOCK)
    assert (registry.version, registry.classifier, registry.packaging) == ("3.3.3", "all", "tar.gz")


def test_files_in_the_cache_never_share_a_name():
    artifacts = (*read_lock(KAFKA_LOCK), *read_lock(REGISTRY_LOCK), *read_lock(STREAMS_LOCK))
    assert len({artifact.filename for artifact in artifacts}) == len(artifacts)


@pytest.mark.parametrize(
    "row",
    [
        f"a:b {SUM}",
        "a:b:1",
        f"a:b:1 {SUM[:-1]}",
        f"a:b:1 {SUM.upper()}",
        f"a:b:1 {SUM} extra",
        f"a:../b:1 {SUM}",
        f"a:b:../../1 {SUM}",
        f"a:b/c:1 {SUM}",
        f"a:b:1:all {SUM}",
    ],
)
def test_a_malformed_line_is_refused_with_its_place(row):
    with pytest.raises(LockInvalid, match="x line 2"):
        parse_lock(f"g:n:1 {SUM}\n{row}\n", name="x")


def test_an_empty_list_is_refused():
    with pytest.raises(LockInvalid, match="empty"):
        parse_lock("\n \n", name="x")


def test_a_missing_list_is_a_clear_error():
    with pytest.raises(LockInvalid, match="restore it"):
        read_lock("absent.lock")
