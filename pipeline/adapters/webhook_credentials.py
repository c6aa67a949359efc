"""What the router shows recipients: the TLS context with its client certificate, and the key that signs; both from files."""

import ssl
from pathlib import Path

from pipeline.adapters.webhook_revocation import require_unrevoked
from pipeline.domain.signing import Signer
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings


def tls_of(settings: Settings) -> ssl.SSLContext:
    """Make the one TLS context: verified chain and host, TLS 1.2 at least, our client certificate.

    Raises SettingsInvalid naming the file that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.webhook_ca or None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(f"DIP_WEBHOOK_CA={settings.webhook_ca}: cannot be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.webhook_certificate:
        try:
            context.load_cert_chain(settings.webhook_certificate, settings.webhook_key or None)
        except (OSError, ssl.SSLError) as error:
            raise SettingsInvalid(
                f"DIP_WEBHOOK_CERTIFICATE={settings.webhook_certificate}, DIP_WEBHOOK_KEY={settings.webhook_key}:"
                f" cannot be used: {error}"
            ) from None
    require_unrevoked(context, settings)
    return context


def signer_of(settings: Settings) -> Signer:
    """Load the signing key and certificate. Raises SettingsInvalid naming what is wrong."""
    paths = {"DIP_SIGNING_KEY": settings.signing_key, "DIP_SIGNING_CERTIFICATE": settings.signing_certificate}
    if settings.signing_key_other:
        paths["DIP_SIGNING_KEY_OTHER"] = settings.signing_key_other
    found: dict[str, bytes] = {}
    for name, path in paths.items():
        if not path:
            raise SettingsInvalid(f"{name} is not set: the PEM file the router signs its deliveries with")
        try:
            found[name] = Path(path).read_bytes()
        except OSError as error:
            raise SettingsInvalid(f"{name}={path}: cannot be read: {error.strerror}") from None
    try:
        return Signer.from_pem(
            key_pem=found["DIP_SIGNING_KEY"],
            certificate_pem=found["DIP_SIGNING_CERTIFICATE"],
            other_pem=found.get("DIP_SIGNING_KEY_OTHER"),
        )
    except ValueError as error:
        raise SettingsInvalid(f"{', '.join(paths)}: {error}") from None
