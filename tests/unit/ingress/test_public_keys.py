"""The bridge shows the router's public keys to anybody, and never anything else of the file it was given."""

import json
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from pipeline.adapters.certificates import CertificateAuthority
from pipeline.domain.signing import extension_key_of
from pipeline.operate.jwks import jwks
from tests.support.bridge import open_world

PATH = "/.well-known/jwks.json"


def signing_key(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(CertificateAuthority.create("signers").issue("router", usage="signing").key_pem)
    return path


def set_of(*paths: Path) -> str:
    found = CliRunner().invoke(jwks, [str(one) for one in paths])
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(set_of(signing_key(tmp_path, "one.key")))
    return path


@pytest.fixture
async def world(file: Path):
    opened = await open_world(jwks=str(file))
    yield opened
    await opened.close()


async def get(world, method="GET", **headers):
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, world.origin + PATH, headers=headers) as response,
    ):
        return response.status, response.headers, await response.read()


async def test_the_set_is_shown_to_anybody_and_may_be_kept_for_a_while(world, file) -> None:
    status, headers, body = await get(world)
    assert (status, body) == (200, file.read_bytes())
    assert headers["Content-Type"].startswith("application/jwk-set+json")
    assert headers["Cache-Control"] == "public, max-age=300"
    status, _, body = await get(world, **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")
    assert (await get(world, "POST"))[0] == 405


async def test_a_next_key_is_there_without_a_restart_and_a_bad_file_changes_nothing(
    world, file, tmp_path
) -> None:
    first = json.loads(file.read_text())["keys"]
    file.write_text(set_of(tmp_path / "one.key", signing_key(tmp_path, "next.key")))
    keys = json.loads((await get(world))[2])["keys"]
    assert keys[0] == first[0]
    assert len(keys) == 2
    for bad in (b"", b'{"keys":[{"kty":"OKP","d":"private"}]}', (tmp_path / "one.key").read_bytes()):
        file.write_bytes(bad)
        status, _, body = await get(world)
        assert (status, json.loads(body)["keys"]) == (200, keys)
    file.unlink()
    assert json.loads((await get(world))[2])["keys"] == keys


async def test_a_bridge_without_a_set_has_no_such_path() -> None:
    world = await open_world()
    try:
        assert (await get(world))[0] == 404
    finally:
        await world.close()


def test_the_command_shows_public_keys_only_and_names_a_file_that_is_no_key(tmp_path: Path) -> None:
    path = signing_key(tmp_path, "one.key")
    shown = set_of(path)
    secret = extension_key_of(path.read_bytes()).key.private_bytes_raw().hex()
    assert secret not in shown
    assert set(json.loads(shown)["keys"][0]) == {"kty", "crv", "x", "kid", "use", "alg"}
    wrong = tmp_path / "wrong.key"
    wrong.write_text("no key")
    found = CliRunner().invoke(jwks, [str(wrong)])
    assert found.exit_code == 1
    assert str(wrong) in found.output
    assert "Traceback" not in found.output
