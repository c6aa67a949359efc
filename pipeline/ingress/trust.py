"""The files by which the bridge is trusted and trusts: read at the start, and again whenever they change.

A set of files that cannot be used never replaces one that can: it is reported, and the last good set stays.
"""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from pipeline.adapters.certificate_files import (
    authorities,
    certificates_in,
    choice,
    read_files,
    revocation_lists,
)
from pipeline.domain.client_certificates import ClientPolicy
from pipeline.domain.revocation import ExpiredList, Revocations
from pipeline.domain.signing import Policy
from pipeline.errors import SettingsInvalid
from pipeline.ingress.addresses import public_urls
from pipeline.ingress.client_certificates import CertificateSource
from pipeline.ingress.identity import IdentifiedBy
from pipeline.ingress.server import tls_context
from pipeline.limits import CERTIFICATE_DAYS_WARNED, PUBLIC_URLS_MAX
from pipeline.ports import Clock
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_FILES: Final = ("tls_certificate", "tls_key", "tls_client_ca", "signing_ca", "tls_crl", "signing_crl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What holds until the files change."""

    signing: Policy
    clients: ClientPolicy = field(default_factory=ClientPolicy)
    identified_by: IdentifiedBy = IdentifiedBy.KEY
    source: CertificateSource = field(default_factory=CertificateSource)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    ends: Mapping[str, datetime] = field(default_factory=dict)
    """When our own certificates end, by what they are."""

    def missing(self, now: datetime) -> list[str]:
        """Name what keeps the bridge from serving: lists that have expired, where they are insisted on."""
        return [] if self.clients.revocations.expired_list is ExpiredList.WARN else self._expired(now)

    def warnings(self, now: datetime) -> list[str]:
        """Name what an operator has to see to."""
        warned = self._expired(now) if self.clients.revocations.expired_list is ExpiredList.WARN else []
        for what, end in self.ends.items():
            days = next((n for n in CERTIFICATE_DAYS_WARNED if end - now < timedelta(days=n)), None)
            if end <= now:
                warned.append(f"{what} ended at {end:%F %T} UTC")
            elif days is not None:
                warned.append(f"{what} ends at {end:%F %T} UTC, in less than {days} days")
        return warned

    def _expired(self, now: datetime) -> list[str]:
        lists = (*self.clients.revocations.expired(now), *self.signing.revocations.expired(now))
        texts = (f"the revocation list {one.name} expired at {one.expires_at:%F %T} UTC" for one in lists)
        return list(dict.fromkeys(texts))  # one file may serve both


class TrustSource(Protocol):
    """Where the bridge looks for every request."""

    def current(self) -> Trust:
        """Return what holds now; cheap enough for every request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedTrust:
    """A trust that no file changes."""

    trust: Trust

    def current(self) -> Trust:
        return self.trust


class TrustFiles:
    """Implements TrustSource with the files that the settings name. Raises SettingsInvalid that names a bad one."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._contents = read_files(settings, _FILES)
        self._trust = _built(settings, self._contents)
        self._trouble: str | None = None
        self._said: list[str] = []

    def current(self) -> Trust:
        return self._trust

    def refresh(self) -> bool:
        """Look at the files again; tell whether something else holds now. Blocks for as long as reading takes."""
        changed = False
        try:
            contents = read_files(self._settings, _FILES)
            if contents != self._contents:
                self._trust = _built(self._settings, contents)
                self._contents, changed = contents, True
                log.info("certificate files have changed; the new ones are in use")
            self._trouble = None
        except SettingsInvalid as error:
            # Half of a change, or a mistake: connections go on with what was good.
            self._trouble = f"{error}; the files read before stay in use"
        warned = self.warnings()
        for text in warned:
            if text not in self._said:
                log.warning("%s", text)
        self._said = warned
        return changed

    def missing(self) -> list[str]:
        """Name what keeps the bridge from serving."""
        return self._trust.missing(self._clock.now())

    def warnings(self) -> list[str]:
        """Name what an operator has to see to."""
        trouble = [] if self._trouble is None else [self._trouble]
        return [*trouble, *self._trust.warnings(self._clock.now())]


def _built(settings: Settings, contents: Mapping[str, Mapping[str, bytes]]) -> Trust:
    expired = choice(ExpiredList, "crl_expired", settings.crl_expired)
    identified_by = choice(IdentifiedBy, "client_identified_by", settings.client_identified_by)
    clients, signers = (authorities(name, contents[name]) for name in ("tls_client_ca", "signing_ca"))
    source = CertificateSource.of(settings)
    _check_reach(settings, identified_by)
    return Trust(
        signing=Policy(
            skew_s=settings.clock_skew_s,
            trusted=signers,
            revocations=Revocations(
                lists=revocation_lists("signing_crl", contents["signing_crl"], signers), expired_list=expired
            ),
        ),
        clients=ClientPolicy(
            trusted=clients,
            revocations=Revocations(
                lists=revocation_lists("tls_crl", contents["tls_crl"], clients), expired_list=expired
            ),
            id_name=settings.client_id_name,
        ),
        identified_by=identified_by,
        source=source,
        tls=tls_context(settings),
        ends={
            f"the server certificate {path}": certificates_in("tls_certificate", path, content)[
                0
            ].not_valid_after_utc
            for path, content in contents["tls_certificate"].items()
        },
    )


def _check_reach(settings: Settings, identified_by: IdentifiedBy) -> None:
    """Refuse settings by which nobody could call, or anybody as anybody."""
    certificates_come = bool(settings.tls_certificate and settings.tls_client_ca) or bool(
        settings.proxy_certificate_header
    )
    if identified_by in {IdentifiedBy.CERTIFICATE, IdentifiedBy.BOTH} and not certificates_come:
        raise SettingsInvalid(
            f"DIP_CLIENT_IDENTIFIED_BY={identified_by}: no client certificate can come; set DIP_TLS_CERTIFICATE and"
            " DIP_TLS_CLIENT_CA, or DIP_PROXY_CERTIFICATE_HEADER"
        )
    urls = public_urls(settings)
    if len(urls) > PUBLIC_URLS_MAX or not all(one.startswith(("https://", "http://")) for one in urls):
        raise SettingsInvalid(
            f"DIP_PUBLIC_URL={settings.public_url}: expected at most {PUBLIC_URLS_MAX} of scheme://host[:port], comma"
            " separated"
        )
    if settings.client_id_name and settings.client_id_name.count("{id}") != 1:
        raise SettingsInvalid(
            f"DIP_CLIENT_ID_NAME={settings.client_id_name}: expected a name with {{id}}, as CN={{id}}"
        )
    if settings.client_id_name and not settings.tls_client_ca:
        raise SettingsInvalid(
            "DIP_CLIENT_ID_NAME needs DIP_TLS_CLIENT_CA: a name is worth what its authority is"
        )
