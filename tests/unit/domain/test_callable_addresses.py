"""What a webhook's address may be (delivery.md 9, tests 48, 51, 53, 55)."""

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from pipeline.domain.callable_addresses import (
    AddressPolicy,
    Forbidden,
    Target,
    forbidden,
    networks_of,
    target_of,
)

ANYBODY = AddressPolicy()


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.0.1",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "10.0.0.1",
        "100.64.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.88.99.3",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[2001::1]",
        "[2001:db8::1]",
        "[5f00::1]",
        "[fc00::1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[ff02::1]",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.0x1",
        "1.2.3.4.5",
        "a@b.example",
        "user:word@b.example",
        "[::1]@b.example",
        "b.example\\@127.0.0.1",
        "b.example ",
        "b.example\t",
        "bücher.example",
        "127。0。0。1",
        "b.example%2f@x",
        "",
        ".",
        "[not.an.address]",
        "[1.2.3.4]x",
    ],
)
def test_hosts_that_lead_inside_or_can_be_read_in_two_ways_are_refused(host: str) -> None:
    found = target_of(f"https://{host}/hook", ANYBODY)
    assert isinstance(found, Forbidden), found
    assert found.help


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "unix:/var/run/docker.sock",
        "http://a.example/",
        "//a.example/",
        "a.example",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:44x/",
        "https://a.example/#part",
        "https://a.example/\r\nX-Header: 1",
        "https://a.example/" + "x" * 250,
        "",
    ],
)
def test_urls_that_are_no_https_address_are_refused(url: str) -> None:
    assert isinstance(target_of(url, ANYBODY), Forbidden)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://dip.example.co.uk/in", "dip.example.co.uk", 443),
        ("HTTPS://DIP.Example:8443", "dip.example", 8443),
        ("https://a.example./x?y=1&z=%20", "a.example", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2a00:1450::1]:444/", "2a00:1450::1", 444),
        ("https://under_score.example/", "under_score.example", 443),
        ("https://4.example/", "4.example", 443),
    ],
)
def test_public_addresses_are_called_and_read_as_the_client_reads_them(
    url: str, host: str, port: int
) -> None:
    """Where the rule and the client read a URL differently, the rule guards another door than the one used."""
    found = target_of(url, ANYBODY)
    assert isinstance(found, Target)
    assert (found.host, found.port) == (host, port)
    client = URL(url, encoded=True)
    assert ((client.host or "").rstrip("."), client.port) == (host, port)


def test_an_operator_opens_networks_ports_and_plain_http_by_name_only() -> None:
    policy = AddressPolicy(
        schemes=frozenset({"https", "http"}),
        ports=frozenset({443, 8080}),
        networks=networks_of("127.0.0.0/8, ::1/128"),
    )
    assert isinstance(target_of("http://127.0.0.1:8080/", policy), Target)
    assert isinstance(target_of("https://[::1]/", policy), Target)
    assert isinstance(target_of("https://10.0.0.1/", policy), Forbidden)
    assert isinstance(target_of("https://127.0.0.1:22/", policy), Forbidden)
    with pytest.raises(ValueError, match="has host bits set"):
        networks_of("10.0.0.1/8")


@given(st.ip_addresses())
def test_nothing_that_the_standard_library_calls_internal_is_called(address: object) -> None:
    """Its own list is shorter than ours (multicast, 6to4, NAT64); it must at least be contained in ours."""
    one = ip_address(str(address))
    if not one.is_global or one.is_multicast or one.is_reserved:
        assert forbidden(one, ANYBODY) is not None


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::", "::"]))
def test_an_ipv4_address_inside_of_an_ipv6_address_is_never_called(inner: object, prefix: str) -> None:
    carrier = IPv6Address(int(IPv6Address(prefix)) | int(ip_address(str(inner))))
    assert forbidden(carrier, ANYBODY) is not None
    assert forbidden(carrier, AddressPolicy(networks=(ip_network("0.0.0.0/0"),))) is not None
