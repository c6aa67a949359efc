"""How long the parts of a webhook call took."""

from typing import Final

import msgspec


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the parts of an attempt took, in milliseconds; None for what did not happen, as on a kept connection.

    `tls_ms` is the handshake alone. `first_byte_ms` is from the beginning of the attempt to the answer's head.
    """

    dns_ms: int | None = None
    connect_ms: int | None = None
    tls_ms: int | None = None
    first_byte_ms: int | None = None


UNTIMED: Final = Timings()
