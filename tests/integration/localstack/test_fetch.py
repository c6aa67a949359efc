"""Real downloads through the real Maven client, from a repository on loopback that misbehaves."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.localstack.artifacts import Artifact
from pipeline.localstack.errors import ChecksumMismatch, FetchFailed
from pipeline.localstack.fetch import Cache, fetch

GOOD = b"what the lock list names" * 100


class Repository:
    """An HTTP server that gives these bytes for any jar, and counts."""

    def __init__(self):
        self.body, self.status, self.cut, self.asked = GOOD, 200, False, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.endswith(".sha1"):
                    self.send_error(404)
                    return
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body[: len(outer.body) // 2] if outer.cut else outer.body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def repository():
    made = Repository()
    yield made
    made.close()


@pytest.fixture
def cache(tmp_path, repository):
    return Cache(directory=tmp_path / "cache", mirror=repository.url)


def artifact(name, body=GOOD):
    return Artifact(
        group="org.example",
        name=name,
        version="1",
        classifier="",
        packaging="jar",
        sha256=hashlib.sha256(body).hexdigest(),
    )


def left_over(cache):
    kept = {".lock"}
    return [path for path in cache.directory.rglob("*") if path.is_file() and path.suffix not in kept]


def test_what_is_locked_arrives_and_is_not_asked_for_again(cache, repository):
    wanted = [artifact(f"jar{n}") for n in range(5)]
    paths = fetch(wanted, cache, what="test")
    assert [path.read_bytes() for path in paths] == [GOOD] * 5
    assert fetch(wanted, cache, what="test") == paths
    assert repository.asked == 5


def test_other_bytes_than_the_locked_ones_are_refused_and_nothing_is_kept(cache, repository):
    repository.body = b"something else"
    with pytest.raises(ChecksumMismatch, match="thrown away"):
        fetch([artifact("jar")], cache, what="test")
    assert left_over(cache) == []


def test_a_torn_download_is_refused_and_nothing_is_kept(cache, repository):
    repository.cut = True
    with pytest.raises(FetchFailed):
        fetch([artifact("jar")], cache, what="test")
    assert left_over(cache) == []


def test_a_file_damaged_in_the_cache_is_fetched_again(cache, repository):
    (path,) = fetch([artifact("jar")], cache, what="test")
    path.write_bytes(GOOD[:-1])
    (path,) = fetch([artifact("jar")], cache, what="test")
    assert path.read_bytes() == GOOD
    assert repository.asked == 2


def test_what_the_repository_lacks_is_named_with_what_to_do(cache, repository):
    repository.status = 404
    with pytest.raises(FetchFailed, match=r"org\.example:jar:1 could not be downloaded.*KAFKA_BOOTSTRAP"):
        fetch([artifact("jar")], cache, what="test")


def test_no_network_is_a_clear_error(tmp_path, free_port):
    cache = Cache(directory=tmp_path / "cache", mirror=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(FetchFailed, match="Check the network"):
        fetch([artifact("jar")], cache, what="test")


def test_no_network_does_not_matter_when_the_cache_is_complete(cache, repository):
    (path,) = fetch([artifact("jar")], cache, what="test")
    repository.status = 500
    assert fetch([artifact("jar")], cache, what="test") == (path,)


def test_progress_ends_complete(cache):
    seen = []
    fetch([artifact(f"jar{n}") for n in range(3)], cache, what="test", notify=seen.append)
    assert [(one.done, one.total) for one in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
