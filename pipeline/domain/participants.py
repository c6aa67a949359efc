"""Who exists: roles over time, keys, certificates and webhooks (topic `dip.participants`)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar, overload

from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId, Role

if TYPE_CHECKING:
    from pipeline.domain.standing_data import CompanyRow

ANY_CHANNEL = InterfaceId("*")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGrant:
    """A role held in `[valid_from, valid_to)`; no end means: until further notice."""

    role: Role
    valid_from: datetime
    valid_to: datetime | None = None

    def covers(self, instant: datetime) -> bool:
        """Tell whether the grant holds at an instant."""
        return self.valid_from <= instant and (self.valid_to is None or instant < self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key as it is kept: never the key itself.

    `lookup` is the first 16 hex digits of the key's SHA-256 (finds the row), `salt` and `digest` (hex) prove it:
    `digest = SHA-256(salt bytes + key)`. Keys are long random strings, so a slow hash would buy nothing.
    It counts in `[valid_from, valid_to)`; an open end has no bound. Keys overlap while one replaces another.
    """

    lookup: str
    salt: str
    digest: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def covers(self, instant: datetime) -> bool:
        """Tell whether the key counts at an instant."""
        return _covers(self.valid_from, self.valid_to, instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePeriod:
    """Bounds the registration of one certificate to `[valid_from, valid_to)`, inside of its own dates."""

    fingerprint: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def covers(self, instant: datetime) -> bool:
        """Tell whether the registration holds at an instant."""
        return _covers(self.valid_from, self.valid_to, instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where copies of a channel go. `channel` is an interface, `status`, or `*` for all but status.

    `messages_max` and `payload_kb_max` are the participant's own maxMessageCount and maxPayloadSize (kB of
    1,000 bytes); None means the platform's limits.
    """

    channel: InterfaceId
    url: str
    messages_max: int | None = None
    payload_kb_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One DIP ID.

    `certificates` are the SHA-256 fingerprints (hex) of the signing certificates it may use, `tls_certificates`
    those of the client certificates it may connect with; one may be both only where it is registered as both.
    `certificate_periods` bounds some of either; without one a registration holds until it is taken away.
    `tls_names` are names that a client certificate may carry instead of being registered itself: `CN=...`,
    `DNS:...`, `URI:...`, `EMAIL:...` or `DN=...` (RFC 4514).
    `connection_providers` are the DIP IDs it lets send for it; a provider is a participant without roles.
    `webhook_signatures` are the schemes of Standard Webhooks (v1, v1a) that calls to it carry beside the DIP's signature,
    `webhook_oauth2` says that they carry a bearer token as well.
    `closed` are channels whose webhook it has taken away itself; it is no part of the stored record (domain/market).
    """

    id: ParticipantId
    name: str
    roles: tuple[RoleGrant, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    certificates: frozenset[str] = frozenset()
    tls_certificates: frozenset[str] = frozenset()
    tls_names: frozenset[str] = frozenset()
    certificate_periods: tuple[CertificatePeriod, ...] = ()
    connection_providers: frozenset[ParticipantId] = frozenset()
    webhooks: tuple[Webhook, ...] = ()
    webhook_signatures: frozenset[str] = frozenset()
    webhook_oauth2: bool = False
    closed: frozenset[InterfaceId] = frozenset()

    def roles_at(self, instant: datetime) -> frozenset[Role]:
        """Return the roles held at an instant."""
        return frozenset(grant.role for grant in self.roles if grant.covers(instant))

    def holds(self, role: Role, instant: datetime) -> bool:
        """Tell whether a role is held at an instant."""
        for grant in self.roles:  # noqa: SIM110  # runs for every message: a generator costs twice the loop
            if grant.role == role and grant.covers(instant):
                return True
        return False

    def signing_at(self, instant: datetime) -> frozenset[str]:
        """Return the fingerprints that may sign at an instant."""
        return self._registered(self.certificates, instant)

    def connecting_at(self, instant: datetime) -> frozenset[str]:
        """Return the fingerprints of the client certificates that count at an instant."""
        return self._registered(self.tls_certificates, instant)

    def _registered(self, fingerprints: frozenset[str], instant: datetime) -> frozenset[str]:
        if not self.certificate_periods:
            return fingerprints
        outside = {one.fingerprint for one in self.certificate_periods if not one.covers(instant)}
        return fingerprints - outside if outside else fingerprints

    def webhook(self, channel: InterfaceId) -> Webhook | None:
        """Return the webhook of a channel: its own, else the `*` one (which never stands for status).

        A channel whose webhook the participant has taken away has none: its copies wait.
        """
        if channel in self.closed:
            return None
        own = {hook.channel: hook for hook in self.webhooks}
        if channel == STATUS_CHANNEL:
            return own.get(channel)
        return own.get(channel) or own.get(ANY_CHANNEL)


class Participants(Mapping[ParticipantId, Participant]):
    """An immutable picture of everybody, with the look-ups that routing and the bridge need."""

    __slots__ = ("_by_certificate", "_by_id", "_by_key", "_by_role", "companies")

    def __init__(self, everybody: Iterable[Participant], *, companies: "tuple[CompanyRow, ...]" = ()) -> None:
        self.companies = companies
        self._by_id = {one.id: one for one in everybody}
        self._by_key: dict[str, tuple[Participant, ...]] = {}
        self._by_role: dict[Role, tuple[Participant, ...]] = {}
        self._by_certificate: dict[str, tuple[Participant, ...]] = {}
        for one in sorted(self._by_id.values(), key=lambda participant: participant.id):
            for key in one.api_keys:
                self._by_key[key.lookup] = (*self._by_key.get(key.lookup, ()), one)
            for mark in one.tls_certificates | one.tls_names:
                self._by_certificate[mark] = (*self._by_certificate.get(mark, ()), one)
            for role in dict.fromkeys(grant.role for grant in one.roles):
                self._by_role[role] = (*self._by_role.get(role, ()), one)

    def __getitem__(self, participant: ParticipantId) -> Participant:
        return self._by_id[participant]

    @overload
    def get(self, participant: ParticipantId, /) -> Participant | None: ...

    @overload
    def get(self, participant: ParticipantId, /, default: D) -> Participant | D: ...

    def get(self, participant: ParticipantId, /, default: object = None) -> object:
        """Return a participant, or the default. Mapping's own is three calls for every message."""
        return self._by_id.get(participant, default)

    def __iter__(self) -> Iterator[ParticipantId]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(
        self, participant: object
    ) -> bool:  # Mapping's own would ask for the row and catch KeyError
        return participant in self._by_id

    def holders(self, role: Role, instant: datetime) -> tuple[Participant, ...]:
        """Return everybody who holds a role at an instant, ordered by DIP ID."""
        return tuple(one for one in self._by_role.get(role, ()) if one.holds(role, instant))

    def with_key(self, lookup: str) -> tuple[Participant, ...]:
        """Return the candidates for an API key's lookup digits."""
        return self._by_key.get(lookup, ())

    def with_client_certificate(self, mark: str) -> tuple[Participant, ...]:
        """Return everybody who registered a client certificate, by its fingerprint or by one of its names."""
        return self._by_certificate.get(mark, ())

    def as_mapping(self) -> Mapping[ParticipantId, Participant]:
        """Return a read-only view by DIP ID."""
        return MappingProxyType(self._by_id)


NOBODY = Participants(())


def _covers(start: datetime | None, end: datetime | None, instant: datetime) -> bool:
    return (start is None or start <= instant) and (end is None or instant < end)
