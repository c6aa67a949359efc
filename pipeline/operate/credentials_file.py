"""Reads what identifies a participant in its file: API keys and certificates, each with an optional period."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from pipeline import limits
from pipeline.adapters.certificates import fingerprint
from pipeline.domain.api_keys import kept
from pipeline.domain.participants import ApiKey, CertificatePeriod
from pipeline.domain.times import effective_instant

_HEX: Final = re.compile(r"[0-9a-f]+", re.ASCII)
_FINGERPRINT_DIGITS: Final = 64
_LOOKUP_DIGITS: Final = 16
_NAME: Final = re.compile(r"(?:(?:CN|DN)=|(?:DNS|URI|EMAIL):)\S.*")
_ANY_CASE: Final = ("DNS", "EMAIL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Reads single values; `wrong` notes a mistake at a JSON Pointer, and the value is then None."""

    wrong: Callable[[str, str], None]
    salt: Callable[[], bytes] = field(repr=False)
    folder: Path

    def key(self, value: Any, place: str) -> ApiKey | None:
        """Read an API key: plain text, `{key, from, to}`, or as kept `{lookup, salt, digest, from, to}`."""
        if not isinstance(value, dict):
            return self._plain_key(value, place, None, None)
        kept_form = "key" not in value
        if not self._names(value, ("lookup", "salt", "digest") if kept_form else ("key",), place):
            return None
        period = self._period(value, place)
        if period is None:
            return None
        return (
            self._kept_key(value, place, *period)
            if kept_form
            else self._plain_key(value["key"], place, *period)
        )

    def certificate(self, value: Any, place: str) -> CertificatePeriod | None:
        """Read a certificate: a fingerprint, PEM text or a path, or `{certificate, from, to}` of one of these."""
        if not isinstance(value, dict):
            digits = self._fingerprint(value, place)
            return None if digits is None else CertificatePeriod(fingerprint=digits)
        if not self._names(value, ("certificate",), place):
            return None
        digits = self._fingerprint(value.get("certificate"), f"{place}/certificate")
        period = self._period(value, place)
        if digits is None or period is None:
            return None
        return CertificatePeriod(fingerprint=digits, valid_from=period[0], valid_to=period[1])

    def name(self, value: Any, place: str) -> str | None:
        """Read a name that client certificates carry."""
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self.wrong(
                place,
                f"{value!r}: expected CN=name, DN=name as in RFC 4514, DNS:host, URI:address or EMAIL:address",
            )
            return None
        kind, colon, text = value.partition(":")
        return f"{kind}:{text.lower()}" if colon and kind in _ANY_CASE else value

    def _plain_key(
        self, value: Any, place: str, start: datetime | None, end: datetime | None
    ) -> ApiKey | None:
        if not isinstance(value, str) or not (
            limits.API_KEY_CHARS_MIN <= len(value) <= limits.API_KEY_CHARS_MAX
        ):
            self.wrong(
                place,
                f"expected a key of {limits.API_KEY_CHARS_MIN} to {limits.API_KEY_CHARS_MAX} characters"
                " (make one: openssl rand -hex 32)",
            )
            return None
        if not value.isascii() or not value.isprintable() or value != value.strip():
            self.wrong(place, "a key travels in a header: printable ASCII only, no spaces at its ends")
            return None
        return kept(value, self.salt(), valid_from=start, valid_to=end)

    def _kept_key(
        self, value: Mapping[str, Any], place: str, start: datetime | None, end: datetime | None
    ) -> ApiKey | None:
        for name, count in {"lookup": _LOOKUP_DIGITS, "salt": None, "digest": _FINGERPRINT_DIGITS}.items():
            text = value.get(name)
            fits = isinstance(text, str) and _HEX.fullmatch(text) and len(text) % 2 == 0
            if not fits or (count is not None and len(str(text)) != count):
                self.wrong(
                    f"{place}/{name}", f"expected {count or 'an even number of'} lower-case hex digits"
                )
                return None
        return ApiKey(
            lookup=value["lookup"], salt=value["salt"], digest=value["digest"], valid_from=start, valid_to=end
        )

    def _fingerprint(self, value: Any, place: str) -> str | None:
        if not isinstance(value, str) or not value.strip():
            self.wrong(place, "expected a SHA-256 fingerprint in hex, PEM text, or the path of a PEM file")
            return None
        digits = value.replace(":", "").lower()
        if len(digits) == _FINGERPRINT_DIGITS and _HEX.fullmatch(digits):
            return digits
        try:
            pem = value.encode() if "-----BEGIN" in value else (self.folder / value).read_bytes()
            return fingerprint(x509.load_pem_x509_certificates(pem)[0])
        except OSError as error:
            self.wrong(place, f"{value!r} cannot be read: {error.strerror}")
        except ValueError:
            self.wrong(place, "not a PEM certificate")
        return None

    def _period(self, value: Mapping[str, Any], place: str) -> tuple[datetime | None, datetime | None] | None:
        """Read `from` and `to`; None if one of them is wrong."""
        found: list[datetime | None] = []
        for name in ("from", "to"):
            text = value.get(name)
            instant = effective_instant(text) if isinstance(text, str) else None
            if text is not None and instant is None:
                self.wrong(
                    f"{place}/{name}",
                    f"{text!r}: expected a date (2026-01-05: midnight in the UK) or an instant of 25 characters",
                )
                return None
            found.append(instant)
        start, end = found
        if start is not None and end is not None and end <= start:
            self.wrong(f"{place}/to", "must be after from")
            return None
        return start, end

    def _names(self, value: Mapping[str, Any], known: tuple[str, ...], place: str) -> bool:
        unknown = [name for name in value if name not in (*known, "from", "to")]
        for name in unknown:
            self.wrong(f"{place}/{name}", f"unknown field; expected {', '.join((*known, 'from', 'to'))}")
        return not unknown
