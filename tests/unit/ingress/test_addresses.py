"""What a path names, and which URLs a caller may have signed."""

from http import HTTPStatus

import pytest
from aiohttp.test_utils import make_mocked_request

from pipeline.ingress.addresses import called_urls, resolved
from pipeline.ingress.refusals import Refusal
from pipeline.ingress.route_table import Match, RouteTable
from pipeline.ingress.routes import ROUTES, Route
from pipeline.settings import Settings
from tests.support.bridge import catalogue


def _find(method: str, path: str) -> Match | Refusal:
    match = RouteTable().find(method, path)
    return match if isinstance(match, Refusal) else resolved(match, catalogue())


@pytest.mark.parametrize(
    ("method", "path", "operation", "found"),
    [
        ("POST", "/dip-channel/IF-021", "submitMessages", {"id": "IF-021"}),
        ("POST", "/DIP-CHANNEL/if-021/", "submitMessages", {"id": "IF-021"}),
        ("POST", "/dip-channel/REP-002A?x=y", "submitMessages", {"id": "REP-002A"}),
        ("POST", "/dip-channel/rep-002a", "submitMessages", {"id": "REP-002A"}),
        ("POST", "/dip-channel/IF-030", "submitMessages", {"id": "IF-030"}),
        ("POST", "/statusMessage", "submitStatusMessages", {}),
        ("DELETE", "/dip-channel/if-021/PubConfig/7", "deleteWebhook", {"id": "IF-021", "recipient-id": "7"}),
        ("POST", "/dip-channel/pub-021/pubconfig/7", "configureWebhook", {"id": "IF-021", "recipient-id": "7"}),
        ("POST", "/statusmessage/config/23%30", "configureStatusWebhook", {"recipient-id": "230"}),
        ("GET", "/dip-channel/IF-001/requeuestatus/7?requeue-id=7", "requeueStatus", {"id": "IF-001", "recipient-id": "7"}),
        ("POST", "/Validate/if-021/activepower", "validateMessages", {"interface": "IF-021", "event": "ActivePower"}),
        ("GET", "/companydetails", "readCompanyDetails", {}),
    ],
)  # fmt: skip
def test_paths_name_calls_and_channels_in_any_letter_case(
    method: str, path: str, operation: str, found: dict[str, str]
) -> None:
    match = _find(method, path)
    assert isinstance(match, Match)
    assert (match.route.operation, match.path) == (operation, found)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//", "/dip-channel/PUB-021", "/dip-channel/PUB-999/pubconfig/7",
        "/dip-channel/", "/dip-channel/status", "/x/IF-021", "*", "/dip-channel/IF-021/replay",
        "/dip-channel/IF-030/pubconfig/2300000001", "/dip-channel//pubconfig/2300000001", "/validate/IF-021/Nothing",
        "/validate/IF-030/x", "/statusmessage/config/" + "2" * 257,
    ],
)  # fmt: skip
def test_other_paths_are_nowhere(path: str) -> None:
    refusal = _find("POST", path)
    assert isinstance(refusal, Refusal)
    assert refusal.status is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_every_path_refuses_the_methods_it_has_not_and_names_those_it_has(route: Route) -> None:
    path = route.path.format_map(
        {
            "id": "IF-021",
            "recipient-id": "2300000001",
            "message-id": "x",
            "interface": "IF-021",
            "event": "ActivePower",
        }
    )
    allowed = sorted(one.method for one in ROUTES if one.path == route.path)
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(allowed):
        refusal = _find(method, path)
        assert isinstance(refusal, Refusal)
        assert (refusal.status, refusal.allow) == (HTTPStatus.METHOD_NOT_ALLOWED, ", ".join(allowed))
    assert isinstance(_find(route.method, path), Match)


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
