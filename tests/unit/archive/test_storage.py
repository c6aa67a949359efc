"""Storages write whole objects or none, create only once, and say clearly when they cannot."""

import pytest

from pipeline.adapters.storage import open_storage
from pipeline.errors import AlreadyThere, ObjectMissing, SettingsInvalid, StorageUnavailable


@pytest.fixture(params=["folder", "memory"])
def storage(request, tmp_path, prefix):
    return open_storage(str(tmp_path / "archive") if request.param == "folder" else f"memory://{prefix}/a")


def test_an_object_is_created_once_put_often_read_listed_and_deleted(storage):
    storage.create("log/000000/1.json", b"one")
    with pytest.raises(AlreadyThere):
        storage.create("log/000000/1.json", b"two")
    assert storage.read("log/000000/1.json") == b"one"
    storage.put("log/000000/1.json", b"three")
    storage.put("log/000001/2.json", b"")
    assert storage.read("log/000000/1.json") == b"three"
    assert storage.names("log") == ["000000", "000001"]
    assert storage.names("log/000000") == ["1.json"]
    assert storage.names("nothing") == []
    storage.delete("log/000000/1.json")
    storage.delete("log/000000/1.json")
    with pytest.raises(ObjectMissing):
        storage.read("log/000000/1.json")


def test_a_folder_shows_no_drafts_and_leaves_none(tmp_path):
    storage = open_storage(str(tmp_path))
    storage.create("a/b", b"x")
    with pytest.raises(AlreadyThere):
        storage.create("a/b", b"y")
    (tmp_path / "a" / ".b.0123").write_bytes(b"of a process that was killed")
    assert storage.names("a") == ["b"]
    assert sorted(one.name for one in (tmp_path / "a").iterdir()) == [".b.0123", "b"]


def test_a_disk_that_is_full_or_not_there_is_unavailable(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    storage = open_storage(str(tmp_path / "file"))
    for call in (lambda: storage.put("x", b""), lambda: storage.create("x", b""), lambda: storage.names("x")):
        with pytest.raises(StorageUnavailable):
            call()


@pytest.mark.parametrize("url", ["nosuch://bucket/x", "s3://bucket/x"])
def test_a_scheme_without_its_package_is_a_setting_to_correct(url):
    with pytest.raises(SettingsInvalid, match="DIP_ARCHIVE_URL"):
        open_storage(url)
    with pytest.raises(SettingsInvalid):
        open_storage("var", "not a pair")
