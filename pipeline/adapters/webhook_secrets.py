"""The secrets that recipients share with the router for Standard Webhooks: one file each, named by the DIP ID."""

from pathlib import Path

from pipeline.domain.identifiers import ParticipantId
from pipeline.domain.standard_webhooks import read_secrets


class WebhookSecrets:
    """Reads them when they are needed, and again when a file has changed. No secret is in any text it returns."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[ParticipantId, tuple[int, tuple[bytes, ...]]] = {}

    def of(self, recipient: ParticipantId) -> tuple[bytes, ...] | str:
        """Return a recipient's secrets, newest first as the file has them; or in words why there are none."""
        if not self._folder:
            return "DIP_WEBHOOK_SECRETS is not set: the directory of recipients' secrets"
        path = Path(self._folder) / recipient
        try:
            changed = path.stat().st_mtime_ns
            known = self._known.get(recipient)
            if known is None or known[0] != changed:
                known = self._known[recipient] = (changed, read_secrets(path.read_text(encoding="ascii")))
        except OSError as error:
            return f"{path}: cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            return f"{path}: not ASCII"
        except ValueError as error:
            return f"{path}: {error}"
        return known[1]
