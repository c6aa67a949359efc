"""What the audit shows of text that somebody else wrote: short, on one line, and without what looks like a secret.

A recipient's error page may echo the request's headers, or its own configuration; the audit is read by many and kept
for years. What is hidden wrongly can be asked for; what is shown wrongly cannot be taken back.
"""

import re
from typing import Final

from pipeline.limits import EXCERPT_BYTES_READ, EXCERPT_CHARS_MAX

_HIDDEN: Final = "***"
_SECRETS: Final = (
    re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?<=bearer )[^\s\"'<>]+|(?<=basic )[^\s\"'<>]+"),
    # name: value, name=value, "name":"value"
    re.compile(
        r"(?i)(?<![a-z0-9])((?:[a-z0-9]{1,20}[-_]){0,4}"
        r"(?:authorization|cookie|password|passwd|pwd|secret|token|api[-_ ]?key|credentials?))"
        r"([\"']?\s*[:=]\s*[\"']?)([^\"'\r\n,;}&<]+)"
    ),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.?[\w-]*"),  # a JSON web token
    # Keys, signatures, certificates: digits, capitals and small letters in one run. No transaction id is one.
    re.compile(r"(?=[A-Za-z+/_]*[0-9])(?=[a-z0-9+/_]*[A-Z])(?=[A-Z0-9+/_]*[a-z])[A-Za-z0-9+/_]{40,}={0,2}"),
)


def excerpt(content: bytes) -> str | None:
    """Return the beginning of a body as the audit may show it; None where there is none.

    Bytes that are no UTF-8 and characters that would break a line or a terminal are written as escapes.
    """
    if not content:
        return None
    return escaped(redacted(content[:EXCERPT_BYTES_READ].decode(errors="backslashreplace")))[
        :EXCERPT_CHARS_MAX
    ]


def redacted(text: str) -> str:
    """Return text with what looks like a secret replaced by ***."""
    for pattern in _SECRETS:
        text = pattern.sub(_hide, text)
    return text


def _hide(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{_HIDDEN}" if found.re.groups else _HIDDEN


def escaped(text: str) -> str:
    """Return text on one line, whatever is in it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
