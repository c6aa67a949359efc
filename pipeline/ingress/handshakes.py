"""TLS handshakes that fail and say why: to the client by its alert, to the operator by a line in the log.

The event loops close a connection whose handshake failed before the alert has left: the client sees a connection
that ended, and nobody learns that its certificate expired last night.
"""

import logging
import ssl
from typing import Any

log = logging.getLogger(__name__)


class TellingHandshake(ssl.SSLObject):
    """Holds a failure back for one turn, in which the loop writes what OpenSSL has to say.

    The turn ends when the client answers or goes; the time limit of handshakes ends it in any case.
    """

    _failure: ssl.SSLError | None = None

    _peer: tuple[bytes | None] | None = None

    def getpeercert(self, binary_form: bool = False) -> Any:  # noqa: FBT001, FBT002  # the signature of the base
        """Return the client's certificate; the one of a connection does not change, and every request asks for it."""
        if not binary_form:
            return super().getpeercert()
        if self._peer is None:
            self._peer = (super().getpeercert(binary_form=True),)
        return self._peer[0]

    def do_handshake(self) -> None:
        """Go on with the handshake; of a failure "more is needed" is said first, for which the loops write."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            log.info("a TLS handshake failed: %s", _reason(error))
            self._failure = error
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is on its way") from None


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client certificate was refused: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")
