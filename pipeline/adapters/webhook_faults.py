"""Sorts what the HTTP client raises: whose fault a call is that has no answer."""

import errno
import socket
import ssl
from typing import Final

import aiohttp

from pipeline.adapters.callable_network import AddressForbidden
from pipeline.domain.answers import cleaned
from pipeline.domain.attempt_times import UNTIMED, Timings
from pipeline.domain.delivery import ErrorClass, Failed

_OUR_ERRNO: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENETUNREACH}
)
_OUR_ALERTS: Final = ("UNKNOWN_CA", "CERTIFICATE")
"""TLS alerts by which a server refuses *our* certificate."""


def failure(error: Exception, *, duration_ms: int, timings: Timings = UNTIMED) -> Failed:
    """Sort what the client raises. The text names no secret: addresses are the recipient's own."""
    kind = _kind(error)
    detail = cleaned(str(error)) or type(error).__name__
    return Failed(error=kind, text=f"{kind.value}: {detail}", duration_ms=duration_ms, timings=timings)


def _kind(error: Exception) -> ErrorClass:  # noqa: PLR0911  # one line per class of fault reads best
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, AddressForbidden):
        return ErrorClass.BLOCKED
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ErrorClass.TLS
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ErrorClass.TLS
    if (tls := _tls_error(error)) is not None:
        return ErrorClass.OURS if _refuses_us(tls) else ErrorClass.TLS
    if isinstance(cause, socket.gaierror):
        # "Try again" is our resolver; "no such name" is the registered address.
        return ErrorClass.OURS if cause.errno == socket.EAI_AGAIN else ErrorClass.DNS
    if isinstance(error, TimeoutError):
        return ErrorClass.TIMEOUT
    if isinstance(cause, OSError) and cause.errno in _OUR_ERRNO:
        return ErrorClass.OURS
    if isinstance(error, aiohttp.InvalidURL) or not isinstance(error, aiohttp.ClientError | OSError):
        return ErrorClass.BLOCKED
    if isinstance(error, aiohttp.ClientConnectorError):
        return ErrorClass.CONNECT
    return ErrorClass.RESET


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS fault behind an error: TLS 1.3 reports a refused client certificate while reading."""
    seen: BaseException | None = error
    while seen is not None:
        # aiohttp's own error is an SSLError as well, an empty shell round the one that says why.
        for one in (getattr(seen, "os_error", None), seen):
            if isinstance(one, ssl.SSLError):
                return one
        seen = seen.__cause__ or seen.__context__
    return None


def _refuses_us(error: ssl.SSLError) -> bool:
    reason = getattr(error, "reason", None) or ""
    return "ALERT" in reason and any(word in reason for word in _OUR_ALERTS)
