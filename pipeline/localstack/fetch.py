"""Brings locked artifacts into the cache, in parallel, and lets nothing in whose checksum is not the locked one.

The cache is content-addressed and shared by every checkout and every `--fresh`: a file is there whole or not at all
(downloaded beside it, verified, then renamed).
"""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import limits
from pipeline.localstack.artifacts import Artifact
from pipeline.localstack.errors import ChecksumMismatch, FetchFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one piece of slow work is; `done == total` is its end."""

    what: str
    done: int
    total: int


Notify = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where artifacts are kept, and where they come from."""

    directory: Path
    mirror: str | None = None  # a Maven repository to use instead of the client's default

    def path(self, artifact: Artifact) -> Path:
        """Return where the artifact is, once it is there."""
        return self.directory / "artifacts" / artifact.filename

    def holds(self, artifact: Artifact) -> bool:
        """Return whether the artifact is there with the bytes that the lock list names."""
        path = self.path(artifact)
        return path.is_file() and sha256(path) == artifact.sha256


def fetch(
    artifacts: Sequence[Artifact], cache: Cache, *, what: str, notify: Notify = silent
) -> tuple[Path, ...]:
    """Return the paths of all artifacts, downloading what the cache lacks or holds damaged.

    Raises FetchFailed or ChecksumMismatch; what came in before the failure stays for the next try.
    """
    with exclusive(cache, what, notify=notify):
        missing = [artifact for artifact in artifacts if not cache.holds(artifact)]
        if missing:
            _download_all(missing, cache, what=what, notify=notify)
    return tuple(cache.path(artifact) for artifact in artifacts)


def _download_all(missing: Sequence[Artifact], cache: Cache, *, what: str, notify: Notify) -> None:
    (cache.directory / "artifacts").mkdir(parents=True, exist_ok=True)
    notify(Progress(what=what, done=0, total=len(missing)))
    with (
        tempfile.TemporaryDirectory(prefix="incoming-", dir=cache.directory) as incoming,
        ThreadPoolExecutor(limits.FETCH_THREADS, thread_name_prefix="fetch") as pool,
    ):
        context = _maven(Path(incoming), cache.mirror)
        downloads = [pool.submit(_download, artifact, context, cache) for artifact in missing]
        try:
            for done, download in enumerate(as_completed(downloads), start=1):
                download.result()
                notify(Progress(what=what, done=done, total=len(missing)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _maven(incoming: Path, mirror: str | None) -> Any:
    from jgo.maven import MavenContext

    return MavenContext(
        repo_cache=incoming,
        remote_repos=None if mirror is None else {"mirror": mirror.rstrip("/")},
        timeout=limits.FETCH_TIMEOUT_S_MAX,
    )


def _download(artifact: Artifact, context: Any, cache: Cache) -> None:
    reasons: list[str] = []
    for _ in range(limits.FETCH_TRIES_MAX):
        try:
            found = _resolve(artifact, context)
        except Exception as error:  # noqa: BLE001  # the client raises bare and library errors alike; all mean "did not come"
            reasons.append(f"{type(error).__name__}: {error}"[:300])
            continue
        _admit(found, artifact, cache)
        return
    raise FetchFailed(
        f"{artifact} could not be downloaded ({reasons[-1]}). Check the network and proxy settings and try again, or "
        "set KAFKA_BOOTSTRAP and SCHEMA_REGISTRY_URL to use a broker and registry that already run."
    )


def _resolve(artifact: Artifact, context: Any) -> Path:
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    wanted = component.artifact(classifier=artifact.classifier, packaging=artifact.packaging)
    try:
        return Path(wanted.resolve())
    except BaseException:
        # The client leaves a torn file where it looks first the next time.
        if wanted.cached_path is not None:
            Path(wanted.cached_path).unlink(missing_ok=True)
        raise


def _admit(found: Path, artifact: Artifact, cache: Cache) -> None:
    actual = sha256(found)
    if actual != artifact.sha256:
        found.unlink()
        raise ChecksumMismatch(
            f"{artifact} came with SHA-256 {actual}, the lock list says {artifact.sha256}: it was thrown away. "
            "Try again; if it stays so, the download is tampered with or a proxy answers in its place."
        )
    shutil.move(found, cache.path(artifact))


def sha256(path: Path) -> str:
    """Return the checksum of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(cache: Cache, what: str, *, notify: Notify) -> Iterator[None]:
    """Fill this part of the cache alone among all processes and threads; the kernel frees it when a holder dies."""
    cache.directory.mkdir(parents=True, exist_ok=True)
    with (cache.directory / f"{what.replace(' ', '-')}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notify(Progress(what=f"{what} (another process is fetching it)", done=0, total=1))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
