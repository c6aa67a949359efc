"""Who calls, and for whom it may speak: API key, signing certificate and sender belong together (protocol.md 10)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pipeline.domain.api_keys import lookup_digits, proves
from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.participants import Participant, Participants
from pipeline.domain.signing import Flaw, Refused
from pipeline.ingress.refusals import Refusal

KEY_HEADER: Final = "X-API-Key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose API key it is. Providers may share one key over the participants they send for."""

    owners: tuple[Participant, ...]

    @property
    def name(self) -> str:
        """Return a stable name to count by."""
        return self.owners[0].id

    @property
    def ids(self) -> frozenset[ParticipantId]:
        return frozenset(one.id for one in self.owners)

    def may_sign(self, participants: Participants) -> frozenset[str]:
        """Return the fingerprints that may sign for this key: its owner's, and its nominated providers'."""
        return frozenset().union(*(one.certificates for one in self._signers(participants)))

    def signed_by(self, fingerprint: str, participants: Participants) -> frozenset[ParticipantId]:
        """Return whose certificate it was, among those that may sign."""
        return frozenset(one.id for one in self._signers(participants) if fingerprint in one.certificates)

    def _signers(self, participants: Participants) -> tuple[Participant, ...]:
        providers = {name for one in self.owners for name in one.connection_providers}
        return (*self.owners, *(participants[name] for name in sorted(providers) if name in participants))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A verified caller: the owners of its key, and the owners of the certificate that signed."""

    key_owners: frozenset[ParticipantId]
    signers: frozenset[ParticipantId]

    def speaks_for(self, sender: ParticipantId, provider: ParticipantId | None) -> bool:
        """Tell whether key and signature both are the sender's or its provider's.

        That the sender has nominated the provider is checked with the message's header.
        """
        named = {sender} if provider is None else {sender, provider}
        return bool(named & self.key_owners) and bool(named & self.signers)


def identify(key: str | None, participants: Participants) -> Caller | Refusal:
    """Find the owners of an API key."""
    if not key:
        return _unknown(f"The header {KEY_HEADER} is missing or empty.")
    owners = tuple(
        one
        for one in participants.with_key(lookup_digits(key))
        if any(proves(key, kept) for kept in one.api_keys)
    )
    if not owners:
        return _unknown("The API key is not known here: check the key and the environment it was issued for.")
    return Caller(owners=owners)


def signature_refusal(refused: Refused, participants: Participants) -> Refusal:
    """Say 403 where the certificate is somebody else's, 401 where nobody vouches for the request."""
    known = refused.flaw is Flaw.CERTIFICATE_FOREIGN and any(
        refused.fingerprint in one.certificates for one in participants.values()
    )
    return Refusal(
        status=HTTPStatus.FORBIDDEN if known else HTTPStatus.UNAUTHORIZED,
        slug=refused.flaw.value,
        help=refused.help,
    )


def not_allowed(sender: ParticipantId, place: str) -> Refusal:
    """Refuse a caller that speaks for somebody it does not belong to."""
    return Refusal(
        status=HTTPStatus.FORBIDDEN,
        slug="sender-not-yours",
        help=f"{place} names the sender {sender}, but the API key or the signing certificate belongs to somebody"
        " else. Send with the sender's own, or as its nominated connection provider named in"
        " DIPConnectionProviderID.",
    )


def _unknown(text: str) -> Refusal:
    return Refusal(status=HTTPStatus.UNAUTHORIZED, slug="api-key-unknown", help=text)
