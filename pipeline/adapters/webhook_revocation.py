"""Webhook servers whose certificates were taken back: refused before a byte of a message has left."""

import ssl
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from pipeline.adapters.certificate_files import authorities, choice, read_files, revocation_lists
from pipeline.adapters.clock import SystemClock
from pipeline.domain.revocation import ExpiredList, Revocations
from pipeline.domain.signing_certificates import chain_above
from pipeline.limits import CERTIFICATES_CACHED_MAX
from pipeline.settings import Settings


def require_unrevoked(context: ssl.SSLContext, settings: Settings) -> None:
    """Let every handshake of a client's context ask the lists that the settings name, if they name any.

    OpenSSL's own check refuses every server whose authority has no list; webhooks have authorities of all kinds.
    Raises SettingsInvalid that names the setting.
    """
    contents = read_files(settings, ("webhook_ca", "webhook_crl"))
    policy = choice(ExpiredList, "crl_expired", settings.crl_expired)
    trusted = authorities("webhook_ca", contents["webhook_ca"])
    lists = revocation_lists("webhook_crl", contents["webhook_crl"], trusted)
    if lists:
        revocations = Revocations(lists=lists, expired_list=policy)
        context.sslobject_class = _checked(trusted, revocations, SystemClock().now)


def _checked(
    trusted: tuple[x509.Certificate, ...], revocations: Revocations, now: Callable[[], datetime]
) -> type[ssl.SSLObject]:
    parsed = lru_cache(maxsize=CERTIFICATES_CACHED_MAX)(x509.load_der_x509_certificate)

    class CheckedHandshake(ssl.SSLObject):
        """A handshake that ends well only with a certificate that nobody has taken back."""

        def do_handshake(self) -> None:
            super().do_handshake()
            certificate = parsed(self.getpeercert(binary_form=True) or b"")
            found = revocations.find((certificate, *chain_above(certificate, trusted)), now())
            if found is not None:
                raise ssl.SSLCertVerificationError(found.text("certificate of the webhook's server"))

    return CheckedHandshake
