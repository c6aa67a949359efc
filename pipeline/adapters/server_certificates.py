"""Remembers when the certificates of webhook servers end, as they are shown in the handshake."""

import hashlib
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.limits import CERTIFICATES_SEEN_MAX

_FORM: Final = "%b %d %H:%M:%S %Y GMT"


class ServerCertificates:
    """What was seen last of each host; the oldest goes where there are too many."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, datetime]] = {}

    def watch(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Let every verified handshake of a context tell what it saw; return the context."""
        note = self.note

        class Watched(ssl.SSLObject):
            def do_handshake(self) -> None:
                super().do_handshake()
                note(self.server_hostname, self.getpeercert(binary_form=True), self.getpeercert())

        context.sslobject_class = Watched
        return context

    def note(self, host: str | None, der: bytes | None, read: dict[str, Any] | None) -> None:
        """Remember one certificate; what cannot be read is not remembered: TLS has judged it already."""
        end = (read or {}).get("notAfter")
        if not host or der is None or not isinstance(end, str):
            return
        try:
            ends = datetime.strptime(end, _FORM).replace(tzinfo=UTC)
        except ValueError:
            return
        self._seen.pop(host.lower(), None)
        self._seen[host.lower()] = (hashlib.sha256(der).hexdigest(), ends)
        while len(self._seen) > CERTIFICATES_SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def __call__(self) -> Iterable[tuple[str, str, datetime]]:
        """Return host, fingerprint and end of everything that was seen."""
        return [(host, name, end) for host, (name, end) in self._seen.items()]
