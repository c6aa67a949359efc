"""The archive's storage: a directory, or any object storage that fsspec knows, under one URL.

A directory is written through a file beside the target that is synced and then linked: whole or not there, and of
two that create one name only one succeeds. Object storages put whole objects anyway; for creation they are asked for a
conditional write, which S3, GCS and Azure have.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import AlreadyThere, ObjectMissing, SettingsInvalid, StorageUnavailable
from pipeline.limits import ARCHIVE_OBJECT_BYTES_MAX

_HIDDEN: Final = "."


def open_storage(url: str, options: str = "") -> "FolderStorage | ObjectStorage":
    """Return the storage of a URL (`/srv/archive`, `s3://bucket/prefix`); options as `key=value;key=value`.

    Raises SettingsInvalid for a scheme whose package is not installed, or options that make no sense.
    """
    try:
        given = dict(part.strip().split("=", 1) for part in options.split(";") if part.strip())
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **given)
    except (ImportError, ValueError, TypeError) as error:
        raise SettingsInvalid(
            f"DIP_ARCHIVE_URL={url}: {error}; expected a directory, or a URL whose fsspec package is installed"
            " (s3fs for s3://, gcsfs for gs://, adlfs for abfs://)"
        ) from None
    return FolderStorage(Path(root)) if isinstance(files, LocalFileSystem) else ObjectStorage(files, root)


class FolderStorage:
    """Implements `pipeline.archive.ports.Storage` in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def create(self, path: str, data: bytes) -> None:
        with self._draft(path, data) as (draft, target):
            try:
                os.link(draft, target)
            except FileExistsError:
                raise AlreadyThere(str(target)) from None

    def put(self, path: str, data: bytes) -> None:
        with self._draft(path, data) as (draft, target):
            draft.replace(target)

    @contextlib.contextmanager
    def _draft(self, path: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """Lend a synced file with the data, beside its target; make durable what the caller makes of it."""
        target = self.root / path
        draft = target.with_name(f"{_HIDDEN}{target.name}.{secrets.token_hex(4)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield draft, target
            finally:
                with contextlib.suppress(FileNotFoundError):
                    draft.unlink()
            _sync(target.parent)
        except OSError as error:
            raise StorageUnavailable(f"{target}: {error.strerror or error}") from None

    def read(self, path: str) -> bytes:
        target = self.root / path
        try:
            return target.read_bytes()
        except FileNotFoundError:
            raise ObjectMissing(f"{target} is not there") from None
        except OSError as error:
            raise StorageUnavailable(f"{target}: {error.strerror or error}") from None

    def names(self, folder: str) -> list[str]:
        target = self.root / folder
        try:
            return sorted(one.name for one in target.iterdir() if not one.name.startswith(_HIDDEN))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageUnavailable(f"{target}: {error.strerror or error}") from None

    def delete(self, path: str) -> None:
        target = self.root / path
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(f"{target}: {error.strerror or error}") from None


def _sync(folder: Path) -> None:
    """Make a directory's new entry survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ObjectStorage:
    """Implements `pipeline.archive.ports.Storage` on an fsspec file system."""

    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    def __str__(self) -> str:
        return str(self._files.unstrip_protocol(self._root))

    def create(self, path: str, data: bytes) -> None:
        try:
            self._files.pipe_file(self._at(path), data, mode="create")
        except FileExistsError:
            raise AlreadyThere(self._at(path)) from None
        except Exception as error:  # noqa: BLE001  # each storage's library raises its own kinds
            raise self._away(path, error) from None

    def put(self, path: str, data: bytes) -> None:
        try:
            self._files.pipe_file(self._at(path), data)
        except Exception as error:  # noqa: BLE001  # as above
            raise self._away(path, error) from None

    def read(self, path: str) -> bytes:
        try:
            # One byte more than allowed: what is larger is refused, not cut.
            data: bytes = self._files.cat_file(self._at(path), start=0, end=ARCHIVE_OBJECT_BYTES_MAX + 1)
        except FileNotFoundError:
            raise ObjectMissing(f"{self._at(path)} is not there") from None
        except Exception as error:  # noqa: BLE001  # as above
            raise self._away(path, error) from None
        if len(data) > ARCHIVE_OBJECT_BYTES_MAX:
            raise ObjectMissing(f"{self._at(path)} is too large to be one of ours")
        return data

    def names(self, folder: str) -> list[str]:
        try:
            self._files.invalidate_cache()
            found = self._files.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:  # noqa: BLE001  # as above
            raise self._away(folder, error) from None
        names = {str(one).rstrip("/").rsplit("/", 1)[-1] for one in found}
        return sorted(one for one in names if one and not one.startswith(_HIDDEN))

    def delete(self, path: str) -> None:
        try:
            self._files.rm_file(self._at(path))
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001  # as above
            raise self._away(path, error) from None

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _away(self, path: str, error: Exception) -> StorageUnavailable:
        return StorageUnavailable(f"{self._at(path)}: {type(error).__name__}: {error}"[:500])
