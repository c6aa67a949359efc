"""Who may come in, through real HTTPS with client certificates: refused with the reason, and nothing stored."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from pipeline.adapters.certificates import CertificateAuthority, Issued
from pipeline.domain.api_keys import kept
from pipeline.domain.participants import Participants
from pipeline.domain.signing import Signer
from tests.support.bridge import OTHER, PROVIDER, SENDER, Answer, array, authority, certificate_of, reading
from tests.support.secure_bridge import (
    client_certificate,
    expired_certificate,
    registered,
    secure_world,
    strangers_certificate,
    tls_authority,
)

KEY = "X-API-Key"
HEADER = "X-Forwarded-Client-Cert"
WAIT_S_MAX = 60


def _refused(answer: Answer, status: int, *pieces: str) -> None:
    assert answer.status == status, (answer.status, answer.headers)
    assert answer.body == b"", "the wire protocol gives these statuses no body"
    for piece in pieces:
        assert piece in answer.headers["X-DIP-Help"]


async def _until(status: int, send: Callable[[], Awaitable[Answer]]) -> Answer:
    """Send until the answer has a status; nothing else than it and 201 may come."""
    async with asyncio.timeout(WAIT_S_MAX):
        while (answer := await send()).status != status:
            assert answer.status == 201, (answer.status, answer.headers)
            await asyncio.sleep(0.02)
    return answer


async def test_without_a_client_certificate_tls_itself_refuses(tmp_path: Path) -> None:
    async with secure_world(tmp_path) as world:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await world.post(array(reading()), None)
        assert world.publisher.records == []
        assert (await world.post(array(reading()), client_certificate(SENDER.id))).status == 201


@pytest.mark.parametrize("mode", ["require", "request"])
async def test_an_expired_certificate_or_one_of_an_unknown_authority_ends_the_handshake(
    mode: str, tmp_path: Path
) -> None:
    async with secure_world(tmp_path, tls_client_certificate=mode) as world:
        for certificate in (expired_certificate(SENDER.id), strangers_certificate()):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await world.post(array(reading()), certificate)
        assert world.publisher.records == []
        assert (await world.post(array(reading()), client_certificate(SENDER.id))).status == 201


async def test_by_both_a_missing_certificate_a_missing_key_and_an_unknown_one_are_401(tmp_path: Path) -> None:
    async with secure_world(tmp_path, client_identified_by="both", tls_client_certificate="request") as world:
        body = array(reading())
        _refused(await world.post(body, None), 401, "No TLS client certificate came")
        own = client_certificate(SENDER.id)
        _refused(await world.post(body, own, without=[KEY]), 401, "X-API-Key is missing")
        _refused(await world.post(body, own, headers={KEY: "x" * 20}), 401, "not known here")
        _refused(await world.post(body, client_certificate("2300000009")), 401, "is not registered")
        assert world.publisher.records == []
        assert (await world.post(body, own)).status == 201


@pytest.mark.parametrize("mode", ["key", "certificate", "both", "either"])
async def test_the_certificate_of_another_participant_is_403(mode: str, tmp_path: Path) -> None:
    async with secure_world(tmp_path, client_identified_by=mode) as world:
        answer = await world.post(array(reading()), client_certificate(OTHER.id))
        _refused(answer, 403, SENDER.id, OTHER.id)
        assert world.publisher.records == []


async def test_clients_that_send_only_a_key_and_clients_that_send_only_a_certificate_are_both_served(
    tmp_path: Path,
) -> None:
    async with secure_world(
        tmp_path, client_identified_by="either", tls_client_certificate="request"
    ) as world:
        assert (await world.post(array(reading(1)), None)).status == 201
        assert (
            await world.post(array(reading(2)), client_certificate(SENDER.id), without=[KEY])
        ).status == 201
        _refused(await world.post(array(reading(3)), None, without=[KEY]), 401, "no TLS client certificate")


async def test_by_certificate_alone_one_may_not_send_as_another_participant(tmp_path: Path) -> None:
    """The certificate takes the place of the key in every check."""
    async with secure_world(tmp_path, client_identified_by="certificate") as world:
        body = array(reading(sender=SENDER))
        theirs = client_certificate(OTHER.id)
        _refused(
            await world.post(body, theirs, party=SENDER, without=[KEY]),
            403,
            "not registered for the participant",
        )
        _refused(
            await world.post(body, theirs, party=OTHER, without=[KEY]), 403, "names the sender", SENDER.id
        )
        assert world.publisher.records == []


async def test_a_nominated_provider_comes_with_its_own_certificate_and_others_do_not(tmp_path: Path) -> None:
    async with secure_world(tmp_path, client_identified_by="certificate") as world:
        named, unnamed = (array(reading(provider=one)) for one in (PROVIDER, None))
        theirs = client_certificate(PROVIDER.id)
        answer = await world.post(named, theirs, party=PROVIDER, without=[KEY])
        assert answer.status == 201, answer.headers
        _refused(await world.post(unnamed, theirs, party=PROVIDER, without=[KEY]), 403, "names the sender")
        for_other = array(reading(sender=OTHER, provider=PROVIDER))
        answer = await world.post(for_other, theirs, party=PROVIDER, without=[KEY])
        assert answer.status == 400
        assert answer.bodies[0]["message"].startswith("MSG1011"), "known, and not nominated"


async def test_the_providers_connection_serves_a_participants_key_only_where_the_message_names_it(
    tmp_path: Path,
) -> None:
    async with secure_world(tmp_path, client_identified_by="both") as world:
        theirs = client_certificate(PROVIDER.id)
        answer = await world.post(array(reading(provider=PROVIDER)), theirs, party=SENDER)
        assert answer.status == 201, answer.headers
        _refused(await world.post(array(reading(2)), theirs, party=SENDER), 403, "names the sender")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_revoked_certificate_is_refused_at_once_on_open_and_on_fresh_connections(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """The list changes while a connection is open: neither it nor a fresh one outlives the certificate."""
    async with secure_world(tmp_path) as world:
        own, other = client_certificate(SENDER.id), client_certificate(OTHER.id)
        async with world.client(own, version) as client, world.client(other, version) as bystander:
            assert (await world.send(client, array(reading()))).status == 201
            world.write_lists(own)
            answer = await _until(401, lambda: world.send(client, array(reading())))
            _refused(answer, 401, "revoked", "keyCompromise", SENDER.id)
            stored = len(world.publisher.records)
            async with world.client(own, version) as fresh:
                _refused(await world.send(fresh, array(reading(2))), 401, "revoked")
            assert len(world.publisher.records) == stored
            served = await world.send(bystander, array(reading(sender=OTHER)), party=OTHER)
            assert served.status == 201, served.headers


async def test_a_revoked_signing_certificate_is_refused_at_once_with_the_reason(tmp_path: Path) -> None:
    async with secure_world(tmp_path) as world, world.client(client_certificate(SENDER.id)) as client:
        assert (await world.send(client, array(reading()))).status == 201
        world.write_lists(signing=[certificate_of(SENDER.id)])
        answer = await _until(401, lambda: world.send(client, array(reading())))
        _refused(answer, 401, "The signing certificate is revoked", "keyCompromise")


async def test_an_expired_revocation_list_warns_or_refuses_as_it_is_set(tmp_path: Path) -> None:
    for policy, status in (("warn", 201), ("refuse", 503)):
        folder = tmp_path / policy
        folder.mkdir()
        async with secure_world(folder, crl_expired=policy) as world:
            (folder / "tls-crl.pem").write_bytes(tls_authority().revocation_list([], number=2, days=-1))
            async with world.client(client_certificate(SENDER.id)) as client, asyncio.timeout(WAIT_S_MAX):
                while not (world.files.missing() or world.files.warnings()):
                    await asyncio.sleep(0.02)
                answer = await world.send(client, array(reading()))
            assert answer.status == status, answer.headers
            said = world.files.missing() if policy == "refuse" else world.files.warnings()
            assert ["tls-crl.pem" in one for one in said] == [True]
            if status == 503:
                _refused(answer, 503, "cannot be told", "Its operator")
                assert int(answer.headers["Retry-After"]) > 0


async def test_an_authority_added_to_the_bundle_is_trusted_without_a_restart(tmp_path: Path) -> None:
    following = CertificateAuthority.create("TLS CA of next year")
    own = following.issue(SENDER.id, usage="client")
    async with secure_world(tmp_path) as world:
        world.participants.everybody = Participants([registered(SENDER, own)])
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await world.post(array(reading()), own)
        bundle = tls_authority().certificate_pem + following.certificate_pem
        (tmp_path / "tls-ca.pem").write_bytes(bundle)
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                try:
                    answer = await world.post(array(reading()), own)
                    break
                except (aiohttp.ClientError, ssl.SSLError):
                    await asyncio.sleep(0.05)
        assert answer.status == 201


async def test_keys_and_certificates_rotate_with_overlap_and_a_compromised_one_ends_at_once(
    tmp_path: Path,
) -> None:
    """Old and new count side by side; what is taken off the participant is refused by the very next request."""
    new_key, new_tls = "the-new-key-of-the-sender", client_certificate(SENDER.id, 2)
    new_signing = authority().issue(SENDER.id, usage="signing", days=3_000)
    new_signer = Signer.from_pem(key_pem=new_signing.key_pem, certificate_pem=new_signing.certificate_pem)
    old = registered(SENDER, client_certificate(SENDER.id))
    both = replace(
        old,
        api_keys=(*old.api_keys, kept(new_key, b"salt")),
        certificates=old.certificates | {new_signing.fingerprint},
        tls_certificates=old.tls_certificates | {new_tls.fingerprint},
    )
    new = replace(
        both,
        api_keys=both.api_keys[1:],
        certificates=frozenset({new_signing.fingerprint}),
        tls_certificates=frozenset({new_tls.fingerprint}),
    )
    async with secure_world(tmp_path, client_identified_by="both") as world:

        async def answers(
            certificate: Issued, *, key: str | None = None, signer: Signer | None = None
        ) -> int:
            from pipeline.adapters.clock import SystemClock

            body, headers = array(reading()), {}
            if key is not None:
                headers[KEY] = key
            if signer is not None:
                url = f"{world.origin}/dip-channel/IF-021"
                headers |= signer.headers("POST", url, body, SystemClock().now())
            return (await world.post(body, certificate, headers=headers)).status

        async def seen() -> list[int]:
            first = client_certificate(SENDER.id)
            return [
                await answers(first),
                await answers(first, key=new_key),
                await answers(first, signer=new_signer),
                await answers(new_tls),
                await answers(new_tls, key=new_key, signer=new_signer),
            ]

        for row, statuses in (
            (old, [201, 401, 401, 401, 401]),
            (both, [201, 201, 201, 201, 201]),
            (new, [401, 401, 401, 401, 201]),
        ):
            world.participants.everybody = Participants([row])
            assert await seen() == statuses


@pytest.mark.parametrize("form", ["envoy", "nginx", "haproxy"])
async def test_behind_a_proxy_its_header_is_the_certificate_with_every_check(
    form: str, tmp_path: Path
) -> None:
    async with secure_world(
        tmp_path, tls=False, client_identified_by="certificate",
        proxy_certificate_header=HEADER, proxy_addresses="127.0.0.1",
    ) as world:  # fmt: skip

        def header(one: Issued) -> dict[str, str]:
            pem = one.certificate_pem.decode()
            der = "".join(pem.splitlines()[1:-1])
            return {
                HEADER: {"envoy": f'Hash=0;Cert="{quote(pem)}"', "nginx": quote(pem), "haproxy": der}[form]
            }

        async def post(one: Issued, **more: str) -> Answer:
            return await world.post(array(reading()), None, without=[KEY], headers=header(one) | more)

        assert (await post(client_certificate(SENDER.id))).status == 201
        stored = len(world.publisher.records)
        _refused(await post(client_certificate(OTHER.id)), 403)
        _refused(await post(client_certificate("2300000009")), 401, "is not registered")
        _refused(await post(expired_certificate(SENDER.id)), 401, "is valid from")
        _refused(await post(strangers_certificate()), 401, "not issued by an authority")
        _refused(await post(client_certificate(SENDER.id), **{HEADER: "nonsense"}), 401, "cannot be read")
        world.write_lists(client_certificate(SENDER.id))
        assert len(world.publisher.records) == stored
        _refused(await _until(401, lambda: post(client_certificate(SENDER.id))), 401, "revoked")


async def test_a_header_from_anywhere_but_the_proxy_is_nothing(tmp_path: Path) -> None:
    """Or anybody could be anybody."""
    async with secure_world(
        tmp_path, tls=False, client_identified_by="certificate",
        proxy_certificate_header=HEADER, proxy_addresses="10.0.0.7",
    ) as world:  # fmt: skip
        der = base64.b64encode(
            ssl.PEM_cert_to_DER_cert(client_certificate(SENDER.id).certificate_pem.decode())
        )
        answer = await world.post(array(reading()), None, headers={HEADER: der.decode()})
        _refused(answer, 401, "No TLS client certificate came")
        assert world.publisher.records == []


async def test_several_public_urls_are_each_accepted_and_no_other(tmp_path: Path) -> None:
    urls = ("https://dip.example.org", "https://dip.example.net:8443/gateway")
    async with secure_world(tmp_path, public_url=",".join(urls)) as world:
        from pipeline.adapters.clock import SystemClock

        body = array(reading())
        for url, status in ((urls[0], 201), (urls[1], 201), ("https://elsewhere.example", 401)):
            signature = SENDER.signer.headers("POST", f"{url}/dip-channel/IF-021", body, SystemClock().now())
            answer = await world.post(body, client_certificate(SENDER.id), headers=signature)
            assert answer.status == status, answer.headers
