"""Why Kafka does not answer, where its client knows: calls say "timed out" when a password or certificate is refused."""

from typing import Any, Final

_ADVICE: Final = {
    "_AUTHENTICATION": "check user and password, and that they belong to this cluster",
    "_SSL": "check the CA and the certificates, and that this is the brokers' TLS port",
}
"""By the client's names of its errors. What to correct is in DIP_KAFKA_OPTIONS both times."""
_HANDSHAKE: Final = "SSL handshake failed"
"""How librdkafka begins it when the other side just closes, as a port without TLS does: the code says "transport"."""
_CHARS_MAX: Final = 200


class Refusals:
    """Remembers what a client reports of refused credentials. `options` go into the client's settings.

    The client reports inside of its `poll`: call that before `explain`.
    """

    def __init__(self) -> None:
        self._reason: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Return the client's settings that make it report here."""
        return {"error_cb": self.on_error}

    def on_error(self, error: Any) -> None:
        """Take what a client reports outside of calls; what is no refusal passes."""
        advice = _ADVICE.get("_SSL" if _HANDSHAKE in error.str() else error.name())
        if advice is not None:
            self._reason = f"{str(error.str())[:_CHARS_MAX]}; {advice} (DIP_KAFKA_OPTIONS)"

    def explain(self, otherwise: str) -> str:
        """Return that Kafka refused us and what to do, or the other text where nothing was refused."""
        return otherwise if self._reason is None else f"Kafka does not let us in: {self._reason}"
