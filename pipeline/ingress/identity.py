"""Who calls, and for whom it may speak: key, certificates and sender belong together (protocol.md 10, docs/SECURITY.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from pipeline.domain.api_keys import lookup_digits, proves
from pipeline.domain.client_certificates import (
    ClientCertificate,
    ClientPolicy,
    Unusable,
    check_client_certificate,
)
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import Participant, Participants
from pipeline.domain.signing import Flaw, Refused
from pipeline.ingress.refusals import Refusal
from pipeline.limits import UNAVAILABLE_RETRY_AFTER_S

KEY_HEADER: Final = "X-API-Key"


class IdentifiedBy(StrEnum):
    """What a caller must show. Whatever it shows beyond that must be its own all the same."""

    KEY = "key"
    CERTIFICATE = "certificate"
    BOTH = "both"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a request shows before its body is read; Unusable stands for a certificate that could not be read."""

    key: str | None
    certificate: ClientCertificate | Unusable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who was identified. Providers may share one key, or one certificate, over the participants they send for.

    `owners` are those of the key, where there is one, else of the client certificate. `connected` are the owners
    of a registered client certificate, None where none was shown. `at` is when that was so.
    """

    owners: tuple[Participant, ...]
    connected: frozenset[ParticipantId] | None = None
    at: datetime

    @property
    def name(self) -> str:
        """Return a stable name to count by."""
        return self.owners[0].id

    @property
    def ids(self) -> frozenset[ParticipantId]:
        return frozenset(one.id for one in self.owners)

    def may_sign(self, participants: Participants) -> Mapping[str, frozenset[ParticipantId]]:
        """Return the certificates that may sign for this caller, by fingerprint, each with whose it is.

        They are the owners', and those of the providers that they have nominated.
        """
        found: dict[str, frozenset[ParticipantId]] = {}
        for one in with_providers(self.owners, participants):
            mine = frozenset((one.id,))
            for fingerprint in one.signing_at(self.at):
                found[fingerprint] = found[fingerprint] | mine if fingerprint in found else mine
        return found

    def identity(self, signers: frozenset[ParticipantId]) -> "Identity":
        """Return the verified caller of a request that was signed with a certificate of theirs."""
        return Identity(key_owners=self.ids, signers=signers, connected=self.connected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A verified caller: the owners of its key, of the certificate that signed, and of the one that connected."""

    key_owners: frozenset[ParticipantId]
    signers: frozenset[ParticipantId]
    connected: frozenset[ParticipantId] | None = None

    def speaks_for(self, sender: ParticipantId, provider: ParticipantId | None) -> bool:
        """Tell whether key, signature and connection each are the sender's or its provider's.

        That the sender has nominated the provider is checked with the message's header.
        """
        named = {sender} if provider is None else {sender, provider}
        shown = (self.key_owners, self.signers, self.connected)
        return all(named & owners for owners in shown if owners is not None)


def with_providers(owners: tuple[Participant, ...], participants: Participants) -> tuple[Participant, ...]:
    """Return participants and the connection providers that they have nominated."""
    providers = {name for one in owners for name in one.connection_providers}
    if not providers:
        return owners
    return (*owners, *(participants[name] for name in sorted(providers) if name in participants))


def identify(
    shown: Credentials,
    participants: Participants,
    *,
    now: datetime,
    by: IdentifiedBy = IdentifiedBy.KEY,
    policy: ClientPolicy | None = None,
) -> Caller | Refusal:
    """Find out who calls: 401 where nobody vouches for it, 403 where the proofs belong to different participants."""
    certificate = shown.certificate
    if isinstance(certificate, ClientCertificate):
        certificate = check_client_certificate(certificate, policy or ClientPolicy(), now) or certificate
    if isinstance(certificate, Unusable):
        return _certificate_refusal(certificate)
    by_key = _owners_of_key(shown.key, participants, now)
    if isinstance(by_key, Refusal):
        return by_key
    connected = _owners_of_certificate(certificate, participants, policy or ClientPolicy(), now)
    missing = _missing(by, by_key, connected, certificate)
    if missing is not None:
        return missing
    if by_key and connected and not _together(by_key, connected, participants):
        return Refusal(
            status=HTTPStatus.FORBIDDEN,
            slug="client-certificate-foreign",
            help=f"The API key is that of {_ids(by_key)}, the TLS client certificate that of {_ids(connected)}. Use"
            " both of one participant, or the certificate of a connection provider that it has nominated.",
        )
    return Caller(
        owners=by_key or connected,
        connected=frozenset(one.id for one in connected) if connected else None,
        at=now,
    )


def signature_refusal(refused: Refused, participants: Participants, *, now: datetime) -> Refusal:
    """Say 403 where the certificate is somebody else's, 401 where nobody vouches for the request, 503 if we cannot."""
    if refused.flaw is Flaw.REVOCATION_UNKNOWN:
        return _unsure(refused.help)
    status, text = HTTPStatus.UNAUTHORIZED, refused.help
    if refused.flaw is Flaw.CERTIFICATE_FOREIGN and refused.fingerprint is not None:
        status, text = _foreign(refused.fingerprint, refused.help, participants, now)
    return Refusal(status=status, slug=refused.flaw.value, help=text)


def _foreign(
    fingerprint: str, text: str, participants: Participants, now: datetime
) -> tuple[HTTPStatus, str]:
    """Tell somebody else's certificate from one of the wrong kind, one out of its time, and an unknown one."""
    if any(fingerprint in one.signing_at(now) for one in participants.values()):
        return HTTPStatus.FORBIDDEN, text
    if any(fingerprint in one.certificates for one in participants.values()):
        return (
            HTTPStatus.UNAUTHORIZED,
            f"The registration of the signing certificate (SHA-256 {fingerprint}) has not begun yet or is over.",
        )
    if participants.with_client_certificate(fingerprint):
        return (
            HTTPStatus.FORBIDDEN,
            f"The certificate (SHA-256 {fingerprint}) is registered for TLS, not for signing.",
        )
    return HTTPStatus.UNAUTHORIZED, text


def not_allowed(sender: ParticipantId, place: str) -> Refusal:
    """Refuse a caller that speaks for somebody it does not belong to."""
    return Refusal(
        status=HTTPStatus.FORBIDDEN,
        slug="sender-not-yours",
        help=f"{place} names the sender {sender}, but the API key or a certificate belongs to somebody"
        " else. Send with the sender's own, or as its nominated connection provider named in"
        " DIPConnectionProviderID.",
    )


def _owners_of_key(
    key: str | None, participants: Participants, now: datetime
) -> tuple[Participant, ...] | Refusal:
    """Return the owners of a key, nobody where there is none. A key that is sent must be known, in every mode."""
    if not key:
        return ()
    candidates = participants.with_key(lookup_digits(key))
    proved = [(one, row) for one in candidates for row in one.api_keys if proves(key, row)]
    owners = {one.id: one for one, row in proved if row.covers(now)}
    if owners:
        return tuple(owners.values())
    if proved:
        return _unknown(
            "The API key is known, but its time has not come yet or is over. Use the current key."
        )
    return _unknown("The API key is not known here: check the key and the environment it was issued for.")


def _owners_of_certificate(
    client: ClientCertificate | None, participants: Participants, policy: ClientPolicy, now: datetime
) -> tuple[Participant, ...]:
    """Return whose client certificate it is: registered itself, by a name, or by the rule for names."""
    if client is None:
        return ()
    found = [
        one
        for one in participants.with_client_certificate(client.fingerprint)
        if client.fingerprint in one.connecting_at(now)
    ]
    if client.vouched or policy.trusted:  # what a name is worth, its authority says
        for name in sorted(client.names):
            found += participants.with_client_certificate(name)
            spelled = ParticipantId(policy.id_in(name) or "")
            if spelled in participants:
                found.append(participants[spelled])
    return tuple({one.id: one for one in found}.values())


def _missing(
    by: IdentifiedBy,
    by_key: tuple[Participant, ...],
    connected: tuple[Participant, ...],
    certificate: ClientCertificate | None,
) -> Refusal | None:
    """Say what a caller must show and does not."""
    if not by_key and (
        by in {IdentifiedBy.KEY, IdentifiedBy.BOTH} or (by is IdentifiedBy.EITHER and not connected)
    ):
        if by is IdentifiedBy.EITHER and certificate is not None:
            return _certificate_unknown(certificate)
        more = ", and no TLS client certificate came with the connection" if by is IdentifiedBy.EITHER else ""
        return _unknown(f"The header {KEY_HEADER} is missing or empty{more}.")
    if connected or by in {IdentifiedBy.KEY, IdentifiedBy.EITHER}:
        return None
    if certificate is not None:
        return _certificate_unknown(certificate)
    return Refusal(
        status=HTTPStatus.UNAUTHORIZED,
        slug="client-certificate-missing",
        help="No TLS client certificate came with the connection. Connect with the one that is registered for you.",
    )


def _together(
    by_key: tuple[Participant, ...], connected: tuple[Participant, ...], participants: Participants
) -> bool:
    allowed = {one.id for one in with_providers(by_key, participants)}
    return any(one.id in allowed for one in connected)


def _certificate_unknown(client: ClientCertificate) -> Refusal:
    return Refusal(
        status=HTTPStatus.UNAUTHORIZED,
        slug="client-certificate-unknown",
        help=f"The TLS client certificate (SHA-256 {client.fingerprint}) is not registered for any participant.",
    )


def _certificate_refusal(unusable: Unusable) -> Refusal:
    if unusable.ours:
        return _unsure(unusable.help)
    return Refusal(status=HTTPStatus.UNAUTHORIZED, slug=unusable.slug, help=unusable.help)


def _unsure(text: str) -> Refusal:
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        slug="revocation-unknown",
        help=text,
        retry_after_s=UNAVAILABLE_RETRY_AFTER_S,
    )


def _ids(participants: tuple[Participant, ...]) -> str:
    return ", ".join(one.id for one in participants)


def _unknown(text: str) -> Refusal:
    return Refusal(status=HTTPStatus.UNAUTHORIZED, slug="api-key-unknown", help=text)
