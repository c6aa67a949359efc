"""The document and its pages as anybody's browser or generator gets them from a bridge."""

import asyncio
import gzip
import json

import aiohttp
import pytest
import yaml

from pipeline.ingress.openapi import openapi_document
from tests.support.bridge import catalogue, open_world


@pytest.fixture
async def world():
    opened = await open_world(public_url="https://dip.example")
    yield opened
    await opened.close()


async def get(world, path, *, method="GET", **headers):
    """Ask without key and certificate, and show what is on the wire."""
    url = world.origin + path
    headers = {"Accept-Encoding": "identity"} | headers
    async with (
        aiohttp.ClientSession(auto_decompress=False) as client,
        client.request(method, url, headers=headers) as response,
    ):
        return response.status, response.headers, await response.read()


async def test_the_document_is_served_as_json_and_as_yaml_and_says_where_the_bridge_is(world):
    expected = openapi_document(catalogue(), server="https://dip.example")
    status, headers, body = await get(world, "/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == expected
    assert expected["servers"] == [{"url": "https://dip.example"}]
    status, headers, body = await get(world, "/OpenAPI.yaml")
    assert (status, headers["Content-Type"]) == (200, "application/yaml")
    assert yaml.load(body, Loader=yaml.CSafeLoader) == expected


async def test_pages_hold_every_interface_and_may_load_nothing_from_elsewhere(world):
    status, headers, body = await get(world, "/docs")
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    page = body.decode()
    for channel in catalogue().channels.values():
        assert f'href="docs/{channel.interface}"' in page
    assert "src=" not in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("interface", list(catalogue().channels))
async def test_a_page_of_a_channel_shows_each_event_with_its_example(world, interface):
    status, _, body = await get(world, f"/docs/{interface.lower()}")
    assert status == 200
    for event in catalogue().channels[interface].events:
        assert f'<section id="{event}">' in body.decode()
        assert f'"[{event}]"' in body.decode()


async def test_who_has_the_document_already_is_told_so_and_who_unpacks_gets_it_packed(world):
    _, headers, body = await get(world, "/openapi.json")
    status, _, nothing = await get(world, "/openapi.json", **{"If-None-Match": headers["ETag"]})
    assert (status, nothing) == (304, b"")
    _, headers, packed = await get(world, "/openapi.json", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == body
    assert len(packed) < len(body) / 5


async def test_many_who_ask_at_once_get_the_same(world):
    answers = await asyncio.gather(*(get(world, path) for path in ["/docs", "/openapi.json"] * 10))
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/docs", 405), ("HEAD", "/docs", 200), ("GET", "/docs/IF-999", 404), ("GET", "/docs/IF-030", 404),
     ("GET", "/docs/%3Cscript%3E", 404), ("GET", "/docs/a/b", 404), ("GET", "/docsx", 404)],
)  # fmt: skip
async def test_what_is_no_document_is_refused(world, method, path, status):
    answer = await get(world, path, method=method)
    assert answer[0] == status
    if method == "HEAD":
        assert answer[2] == b""
    if status == 405:
        assert answer[1]["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(("path", "place"), [("/docs/", "../docs"), ("/docs/IF-021/?find=x", "../if-021")])
async def test_a_last_slash_is_led_to_where_relative_links_fit(world, path, place):
    async with (
        aiohttp.ClientSession() as client,
        client.get(world.origin + path, allow_redirects=False) as answer,
    ):
        assert (answer.status, answer.headers["Location"]) == (308, place)
    async with aiohttp.ClientSession() as client, client.get(world.origin + path) as answer:
        assert answer.status == 200
        assert not str(answer.url).endswith("/")
