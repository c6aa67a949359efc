"""The router's own certificates and keys towards webhooks, taken over when their files change."""

import asyncio
import logging
import ssl
from typing import Final

from pipeline.adapters.certificate_files import read_files
from pipeline.adapters.webhook import WebhookClient
from pipeline.adapters.webhook_credentials import signer_of, tls_of
from pipeline.domain.signing import Signer
from pipeline.errors import SettingsInvalid
from pipeline.settings import Settings

log = logging.getLogger(__name__)

_FILES: Final = (
    "signing_certificate", "signing_key", "signing_key_other", "webhook_ca", "webhook_crl",
    "webhook_certificate", "webhook_key",
)  # fmt: skip


class WebhookFiles:
    """Reads them, whole or not at all. Raises SettingsInvalid at first; later the last good ones stay in use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._contents = read_files(settings, _FILES)
        self._trouble: str | None = None

    def changed(self) -> tuple[Signer, ssl.SSLContext] | None:
        """Return what to sign and connect with from now on, None while nothing has changed or can be used."""
        try:
            contents = read_files(self._settings, _FILES)
            if contents == self._contents:
                self._trouble = None
                return None
            found = signer_of(self._settings), tls_of(self._settings)
        except SettingsInvalid as error:
            # Half of a change, or a mistake: calls go on with what was good.
            if str(error) != self._trouble:
                log.warning("%s; the files read before stay in use", error)
            self._trouble = str(error)
            return None
        self._contents, self._trouble = contents, None
        return found


async def follow(files: WebhookFiles, client: WebhookClient, every_s: float) -> None:
    """Look at the files every so often, for ever; calls that begin afterwards use what they say."""
    while True:
        await asyncio.sleep(every_s)
        try:
            found = await asyncio.to_thread(files.changed)
            if found is not None:
                await client.renew(signer=found[0], tls=found[1])
                log.info("certificate files towards webhooks have changed; the new ones are in use")
        except Exception:
            log.exception("changed certificate files towards webhooks could not be taken over")
