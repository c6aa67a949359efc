"""Which channel a path names, and which URLs a caller may have signed."""

from http import HTTPStatus

import pytest
from aiohttp.test_utils import make_mocked_request

from pipeline.ingress.addresses import called_urls, channel_of
from pipeline.ingress.refusals import Refusal
from pipeline.settings import Settings
from tests.support.bridge import catalogue


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ("/dip-channel/IF-021", "IF-021"),
        ("/DIP-CHANNEL/if-021/", "IF-021"),
        ("/dip-channel/REP-002A?x=y", "REP-002A"),
        ("/dip-channel/IF-030", "IF-030"),
        ("/statusMessage", "status"),
    ],
)
def test_paths_name_channels_in_any_letter_case(path: str, channel: str) -> None:
    assert channel_of("POST", path, catalogue()) == channel


@pytest.mark.parametrize("path", ["", "/", "//", "/dip-channel/", "/dip-channel/status", "/x/IF-021", "*"])
def test_other_paths_are_nowhere(path: str) -> None:
    refusal = channel_of("POST", path, catalogue())
    assert isinstance(refusal, Refusal)
    assert refusal.status is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("settings", "host", "urls"),
    [
        ({}, "Dip:80", {"http://dip:80/p?Q=1", "http://dip/p?Q=1"}),
        ({}, "dip:8443", {"http://dip:8443/p?Q=1"}),
        ({"tls_certificate": "x"}, "dip", {"https://dip/p?Q=1", "https://dip:443/p?Q=1"}),
        ({"tls_certificate": "x"}, "[::1]", {"https://[::1]/p?Q=1", "https://[::1]:443/p?Q=1"}),
        ({"public_url": "https://DIP.example/"}, "inside:1", {"https://dip.example/p?Q=1", "https://dip.example:443/p?Q=1"}),
        ({"public_url": "https://a.example/dip"}, "inside:1", {"https://a.example/dip/p?Q=1", "https://a.example:443/dip/p?Q=1"}),
        ({"public_url": "https://a.example:9, HTTP://B.example:8,"}, "x", {"https://a.example:9/p?Q=1", "http://b.example:8/p?Q=1"}),
        ({"public_url": "https://[::1]"}, "x", {"https://[::1]/p?Q=1", "https://[::1]:443/p?Q=1"}),
        ({"public_url": "https://dip.example:8443"}, "inside:1", {"https://dip.example:8443/p?Q=1"}),
    ],
)  # fmt: skip
def test_the_signed_url_is_the_one_called_or_the_public_one(
    settings: dict[str, str], host: str, urls: set[str]
) -> None:
    request = make_mocked_request("POST", "/p?Q=1", headers={"Host": host})
    assert set(called_urls(request, Settings(**settings))) == urls
