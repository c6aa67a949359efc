"""Who calls: by key, by client certificate, by both or by either, and never by somebody else's."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.adapters.certificates import CertificateAuthority, Issued, Taken
from pipeline.domain.api_keys import kept
from pipeline.domain.client_certificates import (
    ClientCertificate,
    ClientPolicy,
    Unusable,
    check_client_certificate,
    read_client_certificate,
)
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import CertificatePeriod, Participant, Participants
from pipeline.domain.revocation import ExpiredList, Revocations, latest, read_lists
from pipeline.domain.signing import Flaw, Refused
from pipeline.ingress.identity import Caller, Credentials, IdentifiedBy, Identity, identify, signature_refusal
from pipeline.ingress.refusals import Refusal

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
SUPPLIER, OTHER, PROVIDER = (ParticipantId(one) for one in ("2300000001", "2300000002", "9900000001"))
ALL = tuple(IdentifiedBy)


@cache
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("TLS CA", now=NOW)


@cache
def issued(name: str, *, usage: str = "client", days: int = 30) -> Issued:
    return authority().issue(name, usage=usage, days=days, now=NOW, hosts=[f"{name}.Example".lower()])  # type: ignore[arg-type]  # a usage


def certificate(name: str, *, vouched: bool = True, **more: object) -> ClientCertificate:
    pem = issued(name, **more).certificate_pem  # type: ignore[arg-type]  # as given
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    found = read_client_certificate(der, vouched=vouched)
    assert isinstance(found, ClientCertificate)
    return found


def key_of(name: str) -> str:
    return f"key-of-{name}-0123456789"


def row(name: ParticipantId, *, providers: Iterable[ParticipantId] = (), tls: bool = True) -> Participant:
    return Participant(
        id=name,
        name=name,
        api_keys=(kept(key_of(name), b"salt"),),
        tls_certificates=frozenset({issued(name).fingerprint}) if tls else frozenset(),
        connection_providers=frozenset(providers),
    )


EVERYBODY = Participants([row(SUPPLIER, providers=[PROVIDER]), row(OTHER), row(PROVIDER)])


def _identify(
    key: str | None,
    client: ClientCertificate | Unusable | None = None,
    *,
    by: IdentifiedBy,
    everybody: Participants = EVERYBODY,
    now: datetime = NOW,
    policy: ClientPolicy | None = None,
) -> Caller | Refusal:
    shown = Credentials(key=key, certificate=client)
    return identify(shown, everybody, now=now, by=by, policy=policy)


def _refused(outcome: Caller | Refusal) -> tuple[int, str]:
    assert isinstance(outcome, Refusal), outcome
    assert outcome.help
    return int(outcome.status), outcome.slug


def _ids(outcome: Caller | Refusal) -> set[str]:
    assert isinstance(outcome, Caller), outcome
    return set(outcome.ids)


STRANGER = "a stranger"
UNKNOWN_KEY, NO_KEY = (401, "api-key-unknown"), (401, "api-key-unknown")
UNKNOWN_CERTIFICATE, NO_CERTIFICATE = (401, "client-certificate-unknown"), (401, "client-certificate-missing")
FOREIGN = (403, "client-certificate-foreign")

# What is shown, and what comes of it by key, certificate, both, either.
TABLE = [
    (None, None, NO_KEY, NO_CERTIFICATE, NO_KEY, NO_KEY),
    (SUPPLIER, None, SUPPLIER, NO_CERTIFICATE, NO_CERTIFICATE, SUPPLIER),
    (None, SUPPLIER, NO_KEY, SUPPLIER, NO_KEY, SUPPLIER),
    (SUPPLIER, SUPPLIER, SUPPLIER, SUPPLIER, SUPPLIER, SUPPLIER),
    (SUPPLIER, OTHER, FOREIGN, FOREIGN, FOREIGN, FOREIGN),
    (SUPPLIER, PROVIDER, SUPPLIER, SUPPLIER, SUPPLIER, SUPPLIER),
    (PROVIDER, SUPPLIER, FOREIGN, FOREIGN, FOREIGN, FOREIGN),
    (OTHER, PROVIDER, FOREIGN, FOREIGN, FOREIGN, FOREIGN),
    (SUPPLIER, STRANGER, SUPPLIER, UNKNOWN_CERTIFICATE, UNKNOWN_CERTIFICATE, SUPPLIER),
    (None, STRANGER, NO_KEY, UNKNOWN_CERTIFICATE, NO_KEY, UNKNOWN_CERTIFICATE),
    (STRANGER, None, UNKNOWN_KEY, UNKNOWN_KEY, UNKNOWN_KEY, UNKNOWN_KEY),
    (STRANGER, SUPPLIER, UNKNOWN_KEY, UNKNOWN_KEY, UNKNOWN_KEY, UNKNOWN_KEY),
]


@pytest.mark.parametrize(("key_owner", "shown", "outcomes"), [(one[0], one[1], one[2:]) for one in TABLE])
def test_the_table_of_keys_and_certificates(
    key_owner: str | None, shown: str | None, outcomes: tuple[object, ...]
) -> None:
    """Unknown is 401, somebody else's is 403, in every mode; a mode only says what must be there."""
    wanted = dict(zip(("key", "certificate", "both", "either"), outcomes, strict=True))
    for mode in IdentifiedBy:
        outcome = _identify(
            None if key_owner is None else key_of(key_owner),
            None if shown is None else certificate(shown),
            by=mode,
        )
        found = _ids(outcome) if isinstance(outcome, Caller) else _refused(outcome)
        assert found == ({wanted[mode]} if isinstance(wanted[mode], str) else wanted[mode]), mode


@pytest.mark.parametrize("by", ALL)
def test_an_expired_or_future_certificate_is_refused_in_every_mode(by: IdentifiedBy) -> None:
    for now in (NOW + timedelta(days=31), NOW - timedelta(hours=2)):
        outcome = _identify(key_of(SUPPLIER), certificate(SUPPLIER), by=by, now=now)
        assert _refused(outcome) == (401, "client-certificate-expired")
        assert isinstance(outcome, Refusal)
        assert "2026-02-04 09:00:00" in outcome.help


@pytest.mark.parametrize("by", ALL)
def test_a_revoked_certificate_is_refused_in_every_mode_with_the_reason(by: IdentifiedBy) -> None:
    policy = _policy(Taken(serial=issued(SUPPLIER).serial, at=NOW, reason="keyCompromise"))
    outcome = _identify(key_of(SUPPLIER), certificate(SUPPLIER), by=by, policy=policy)
    assert _refused(outcome) == (401, "client-certificate-revoked")
    assert isinstance(outcome, Refusal)
    assert "keyCompromise" in outcome.help
    assert _ids(_identify(key_of(OTHER), certificate(OTHER), by=by, policy=policy)) == {OTHER}


def test_where_a_list_has_expired_and_is_insisted_on_the_router_is_at_fault() -> None:
    """503 and not 401: the participant can do nothing, and a try later may help."""
    policy = _policy(days=1, expired_list=ExpiredList.REFUSE)
    outcome = _identify(
        None, certificate(SUPPLIER), by=IdentifiedBy.CERTIFICATE, policy=policy, now=NOW + timedelta(days=2)
    )
    assert _refused(outcome) == (503, "revocation-unknown")
    assert isinstance(outcome, Refusal)
    assert outcome.retry_after_s


def _policy(
    *taken: Taken, days: int = 30, expired_list: ExpiredList = ExpiredList.WARN, id_name: str = ""
) -> ClientPolicy:
    trusted = (authority().certificate,)
    data = authority().revocation_list(taken, days=days, now=NOW)
    revocations = Revocations(lists=latest(read_lists("list", data, trusted)), expired_list=expired_list)
    return ClientPolicy(trusted=trusted, revocations=revocations, id_name=id_name)


@pytest.mark.parametrize("name", [f"CN={SUPPLIER}", f"DN=CN={SUPPLIER}", f"DNS:{SUPPLIER}.example"])
def test_a_certificate_may_be_registered_by_a_name_that_it_carries(name: str) -> None:
    everybody = Participants(
        [replace(row(SUPPLIER, tls=False), tls_names=frozenset({name})), row(OTHER, tls=False)]
    )

    def find(who: str, *, vouched: bool = True) -> Caller | Refusal:
        shown = certificate(who, vouched=vouched)
        return _identify(None, shown, by=IdentifiedBy.CERTIFICATE, everybody=everybody)

    assert _ids(find(SUPPLIER)) == {SUPPLIER}
    assert _refused(find(OTHER)) == UNKNOWN_CERTIFICATE
    assert _refused(find(SUPPLIER, vouched=False)) == UNKNOWN_CERTIFICATE, "nobody vouches for the name"


def test_a_rule_makes_names_of_dip_ids_count() -> None:
    everybody = Participants([row(SUPPLIER, tls=False), row(OTHER, tls=False)])
    for rule in ("CN={id}", "DNS:{id}.example"):
        policy = _policy(id_name=rule)
        for client in (certificate(SUPPLIER), certificate(SUPPLIER, vouched=False)):
            outcome = _identify(None, client, by=IdentifiedBy.CERTIFICATE, everybody=everybody, policy=policy)
            assert _ids(outcome) == {SUPPLIER}
        stranger = _identify(
            None, certificate(STRANGER), by=IdentifiedBy.CERTIFICATE, everybody=everybody, policy=policy
        )
        assert _refused(stranger) == UNKNOWN_CERTIFICATE


@pytest.mark.parametrize(
    ("rule", "name", "spelled"),
    [
        ("CN={id}", "CN=2300000001", "2300000001"), ("CN={id}", "DNS:2300000001", None), ("CN={id}", "CN=", None),
        ("URI:urn:dip:{id}:tls", "URI:urn:dip:2300000001:tls", "2300000001"),
        ("URI:a{id}a", "URI:a", None), ("", "CN=2300000001", None),
    ],
)  # fmt: skip
def test_the_rule_reads_an_id_out_of_the_whole_name(rule: str, name: str, spelled: str | None) -> None:
    assert ClientPolicy(id_name=rule).id_in(name) == spelled


def test_registrations_hold_for_their_periods_and_keys_overlap() -> None:
    start, end = NOW, NOW + timedelta(days=1)
    digits = issued(SUPPLIER).fingerprint
    new = "the-new-key-0123456789"
    bounded = replace(
        row(SUPPLIER),
        api_keys=(kept(key_of(SUPPLIER), b"a", valid_to=end), kept(new, b"b", valid_from=start)),
        certificate_periods=(CertificatePeriod(fingerprint=digits, valid_from=start, valid_to=end),),
    )
    everybody = Participants([bounded])
    second = timedelta(seconds=1)
    for now, old_counts, new_counts, certificate_counts in (
        (start - second, True, False, False), (start, True, True, True),
        (end - second, True, True, True), (end, False, True, False),
    ):  # fmt: skip
        for key, counts in ((key_of(SUPPLIER), old_counts), (new, new_counts)):
            outcome = _identify(key, by=IdentifiedBy.KEY, everybody=everybody, now=now)
            assert isinstance(outcome, Caller) == counts
            if isinstance(outcome, Refusal):
                assert "time" in outcome.help, "a known key out of its time is told so"
        outcome = _identify(
            None, certificate(SUPPLIER), by=IdentifiedBy.CERTIFICATE, everybody=everybody, now=now
        )
        assert isinstance(outcome, Caller) == certificate_counts


def test_a_signing_certificate_opens_no_connection_and_a_tls_one_signs_nothing() -> None:
    signing = issued(SUPPLIER, usage="signing")
    everybody = Participants([replace(row(SUPPLIER), certificates=frozenset({signing.fingerprint}))])
    outcome = _identify(
        None, certificate(SUPPLIER, usage="signing"), by=IdentifiedBy.CERTIFICATE, everybody=everybody
    )
    assert _refused(outcome) == UNKNOWN_CERTIFICATE
    caller = _identify(key_of(SUPPLIER), by=IdentifiedBy.KEY, everybody=everybody)
    assert isinstance(caller, Caller)
    assert caller.may_sign(everybody).keys() == {signing.fingerprint}
    foreign = Refused(flaw=Flaw.CERTIFICATE_FOREIGN, help="x", fingerprint=issued(SUPPLIER).fingerprint)
    refusal = signature_refusal(foreign, everybody, now=NOW)
    assert refusal.status == 403
    assert "registered for TLS, not for signing" in refusal.help


def test_signing_certificates_are_known_foreign_out_of_time_or_unknown() -> None:
    bounded = replace(
        row(SUPPLIER),
        certificates=frozenset({"aa", "bb"}),
        certificate_periods=(CertificatePeriod(fingerprint="bb", valid_to=NOW),),
    )
    for digits, status in (("aa", 403), ("bb", 401), ("cc", 401)):
        refused = Refused(flaw=Flaw.CERTIFICATE_FOREIGN, help="x", fingerprint=digits)
        assert signature_refusal(refused, Participants([bounded]), now=NOW).status == status
    revoked = Refused(flaw=Flaw.CERTIFICATE_REVOKED, help="x", fingerprint="aa")
    assert signature_refusal(revoked, Participants([bounded]), now=NOW).status == 401


def test_key_signature_and_connection_all_have_to_be_the_senders_or_its_named_providers() -> None:
    ids = {"s": frozenset({SUPPLIER}), "p": frozenset({PROVIDER}), "o": frozenset({OTHER}), "-": None}
    for pattern, provider, speaks in (
        ("ss-", None, True), ("sss", None, True), ("ssp", None, False), ("ssp", PROVIDER, True),
        ("ppp", PROVIDER, True), ("ppp", None, False), ("sso", PROVIDER, False), ("sp-", PROVIDER, True),
        ("so-", None, False), ("os-", None, False),
    ):  # fmt: skip
        key, signer, connected = (ids[letter] for letter in pattern)
        assert key is not None
        assert signer is not None
        identity = Identity(key_owners=key, signers=signer, connected=connected)
        assert identity.speaks_for(SUPPLIER, provider) is speaks, (pattern, provider)


def test_one_that_a_proxy_hands_over_has_its_authority_and_its_use_checked_here() -> None:
    policy = ClientPolicy(trusted=(authority().certificate,))
    stranger = ClientPolicy(trusted=(CertificateAuthority.create("TLS CA", now=NOW).certificate,))
    handed_over = certificate(SUPPLIER, vouched=False)
    assert check_client_certificate(handed_over, policy, NOW) is None
    found = check_client_certificate(handed_over, stranger, NOW)
    assert found is not None
    assert found.slug == "client-certificate-untrusted"
    server = check_client_certificate(certificate(SUPPLIER, vouched=False, usage="server"), policy, NOW)
    assert server is not None
    assert server.slug == "client-certificate-unfit"


def test_bytes_that_are_no_certificate_are_unusable() -> None:
    found = read_client_certificate(b"nonsense", vouched=True)
    assert isinstance(found, Unusable)
    for by in IdentifiedBy:
        assert _refused(_identify(key_of(SUPPLIER), found, by=by)) == (401, "client-certificate-unreadable")


def test_a_key_that_is_too_short_is_unfit_whoever_vouches_for_it() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    key, name = rsa.generate_private_key(65537, 1024), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    found = read_client_certificate(der, vouched=True)
    assert isinstance(found, ClientCertificate)
    assert _refused(_identify(None, found, by=IdentifiedBy.KEY)) == (401, "client-certificate-unfit")
