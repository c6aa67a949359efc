"""Reads the participants file: checks all of it, names every mistake with its place, and only then returns it."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pipeline import limits
from pipeline.domain.identifiers import STATUS_CHANNEL, InterfaceId, ParticipantId, Role
from pipeline.domain.participants import ANY_CHANNEL, CertificatePeriod, Participant, RoleGrant, Webhook
from pipeline.domain.standard_webhooks import Scheme
from pipeline.domain.times import effective_instant
from pipeline.operate.credentials_file import Credentials

_ID: Final = re.compile(r"[0-9A-Za-z]{10}", re.ASCII)
_BETWEEN: Final = re.compile(r"[ \t\r\n,]*")
_FIELDS: Final = (
    "id", "name", "roles", "api_keys", "certificates", "tls_certificates", "tls_names", "connection_providers", "webhooks",
    "webhook_signatures", "webhook_oauth2",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong. `line` is where its participant begins, or where the JSON breaks."""

    line: int
    pointer: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.pointer or 'the file'}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What reading needs besides the text.

    `known_roles` and `channels` are the facts; `salt` gives fresh chance; `folder` is where relative paths of
    PEM files start.
    """

    known_roles: Collection[Role]
    channels: Collection[InterfaceId]
    salt: Callable[[], bytes] = field(repr=False)
    folder: Path

    def read(self, text: str) -> tuple[tuple[Participant, ...], tuple[Mistake, ...]]:
        """Return the participants, or every mistake; never both."""
        found: list[Participant] = []
        mistakes: list[Mistake] = []
        seen: dict[str, tuple[int, int]] = {}
        for number, line, value in _elements(text, mistakes):
            entry = _Entry(reader=self, line=line, pointer=f"/{number}", mistakes=mistakes)
            participant = entry.participant(value)
            if participant is None:
                continue
            first = seen.setdefault(participant.id, (number, line))
            if first[0] != number:
                entry.wrong("/id", f"{participant.id} is there already: /{first[0]}, from line {first[1]} on")
            found.append(participant)
        if not found and not mistakes:
            mistakes.append(Mistake(line=1, pointer="", text="the array is empty"))
        return ((), tuple(mistakes)) if mistakes else (tuple(found), ())


def _elements(text: str, mistakes: list[Mistake]) -> Iterator[tuple[int, int, Any]]:
    """Yield the elements of a JSON array with their numbers and the lines they begin on."""
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    try:
        whole = decoder.decode(text)
    except json.JSONDecodeError as error:
        mistakes.append(Mistake(line=error.lineno, pointer="", text=f"not JSON: {error.msg}"))
        return
    except ValueError as error:
        mistakes.append(Mistake(line=1, pointer="", text=str(error)))
        return
    if not isinstance(whole, list):
        mistakes.append(Mistake(line=1, pointer="", text="expected a JSON array of participants"))
        return
    place, line = text.index("[") + 1, text.count("\n", 0, text.index("[")) + 1
    for number, value in enumerate(whole):
        start = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]  # it also matches nothing
        line += text.count("\n", place, start)
        yield number, line, value
        place = decoder.raw_decode(text, start)[1]
        line += text.count("\n", start, place)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object names {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One participant being read; mistakes are noted and reading goes on, so that all are found at once."""

    reader: Reader
    line: int
    pointer: str
    mistakes: list[Mistake]

    def wrong(self, place: str, text: str) -> None:
        self.mistakes.append(Mistake(line=self.line, pointer=self.pointer + place, text=text))

    def participant(self, value: Any) -> Participant | None:
        """Read the whole entry; None if anything is wrong with it."""
        before = len(self.mistakes)
        if not isinstance(value, dict):
            self.wrong("", "expected an object")
            return None
        self._names(value, _FIELDS, "")
        name = value.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            self.wrong("/id", f"{name!r}: expected a DIP ID of 10 characters")
        label = value.get("name")
        if not isinstance(label, str) or not label.strip():
            self.wrong("/name", "expected a name")
        roles = tuple(self._each(value, "roles", self._role))
        read = Credentials(wrong=self.wrong, salt=self.reader.salt, folder=self.reader.folder)
        keys = tuple(self._each(value, "api_keys", read.key))
        signing = tuple(self._each(value, "certificates", read.certificate))
        connecting = tuple(self._each(value, "tls_certificates", read.certificate))
        names = frozenset(self._each(value, "tls_names", read.name))
        providers = frozenset(self._each(value, "connection_providers", self._provider))
        webhooks = tuple(self._webhooks(value))
        schemes = frozenset(self._each(value, "webhook_signatures", self._scheme))
        oauth2 = value.get("webhook_oauth2", False)
        if not isinstance(oauth2, bool):
            self.wrong("/webhook_oauth2", f"{oauth2!r}: expected true or false")
        self._overlaps(roles)
        self._repeated("certificates", signing)
        self._repeated("tls_certificates", connecting)
        self._twice([hook.channel for hook in webhooks])
        if len(self.mistakes) > before:
            return None
        return Participant(
            id=ParticipantId(str(name)),
            name=str(label),
            roles=roles,
            api_keys=keys,
            certificates=frozenset(one.fingerprint for one in signing),
            tls_certificates=frozenset(one.fingerprint for one in connecting),
            tls_names=names,
            certificate_periods=_periods(signing, connecting),
            connection_providers=providers,
            webhooks=webhooks,
            webhook_signatures=schemes,
            webhook_oauth2=oauth2,
        )

    def _each(self, value: Mapping[str, Any], name: str, read: Callable[[Any, str], Any]) -> Iterator[Any]:
        items = value.get(name, [])
        if not isinstance(items, list):
            self.wrong(f"/{name}", "expected an array")
            return
        for index, item in enumerate(items):
            found = read(item, f"/{name}/{index}")
            if found is not None:
                yield found

    def _webhooks(self, value: Mapping[str, Any]) -> Iterator[Webhook]:
        """Yield webhooks, one for a channel at most: 100,000 of them are one mistake, not 100,000 lines of them."""
        most, items = len(self.reader.channels) + 2, value.get("webhooks")  # `*` and `status`
        if isinstance(items, list) and len(items) > most:
            self.wrong("/webhooks", f"{len(items)} webhooks: expected at most {most}, one for a channel")
            return
        yield from self._each(value, "webhooks", self._webhook)

    def _names(self, value: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
        for name in value:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                self.wrong(
                    f"{place}/{name}", f"unknown field{f'; did you mean {close[0]}?' if close else ''}"
                )

    def _role(self, value: Any, place: str) -> RoleGrant | None:
        if not isinstance(value, dict):
            self.wrong(place, "expected an object with role, from and to")
            return None
        self._names(value, ("role", "from", "to"), place)
        role, start, end = value.get("role"), self._instant(value, "from", place), None
        if role not in self.reader.known_roles:
            known = ", ".join(sorted(self.reader.known_roles))
            self.wrong(f"{place}/role", f"{role!r}: expected one of {known}")
            return None
        if value.get("to") is not None:
            end = self._instant(value, "to", place)
            if end is not None and start is not None and end <= start:
                self.wrong(f"{place}/to", "must be after from")
        return None if start is None else RoleGrant(role=Role(str(role)), valid_from=start, valid_to=end)

    def _instant(self, value: Mapping[str, Any], name: str, place: str) -> datetime | None:
        text = value.get(name)
        found = effective_instant(text) if isinstance(text, str) else None
        if found is None:
            self.wrong(
                f"{place}/{name}",
                f"{text!r}: expected a date (2026-01-05: midnight in the UK) or an instant of 25 characters",
            )
        return found

    def _overlaps(self, grants: tuple[RoleGrant, ...]) -> None:
        ordered = sorted(grants, key=lambda grant: (grant.role, grant.valid_from))
        for one, next_one in pairwise(ordered):
            if one.role == next_one.role and (one.valid_to is None or one.valid_to > next_one.valid_from):
                self.wrong("/roles", f"two periods of {one.role} overlap")

    def _repeated(self, name: str, certificates: tuple[CertificatePeriod, ...]) -> None:
        seen = [one.fingerprint for one in certificates]
        for index, digits in enumerate(seen):
            if digits in seen[:index]:
                self.wrong(f"/{name}/{index}", f"{digits} is there already")

    def _provider(self, value: Any, place: str) -> ParticipantId | None:
        if isinstance(value, str) and _ID.fullmatch(value):
            return ParticipantId(value)
        self.wrong(place, f"{value!r}: expected a DIP ID of 10 characters")
        return None

    def _scheme(self, value: Any, place: str) -> str | None:
        if isinstance(value, str) and value in {*Scheme}:
            return value
        self.wrong(place, f"{value!r}: expected {' or '.join(Scheme)} (Standard Webhooks)")
        return None

    def _webhook(self, value: Any, place: str) -> Webhook | None:
        if not isinstance(value, dict):
            self.wrong(place, "expected an object with channel and callbackURL")
            return None
        self._names(value, ("channel", "callbackURL", "maxMessageCount", "maxPayloadSize"), place)
        before = len(self.mistakes)
        channel, url = value.get("channel"), value.get("callbackURL")
        if channel not in {ANY_CHANNEL, STATUS_CHANNEL, *self.reader.channels}:
            self.wrong(f"{place}/channel", f"{channel!r}: expected an interface like IF-021, status, or *")
        if not isinstance(url, str) or not _is_web_address(url):
            self.wrong(
                f"{place}/callbackURL", f"{url!r}: expected an https:// address of at most 250 characters"
            )
        count = self._positive(value, "maxMessageCount", int, place)
        size = self._positive(value, "maxPayloadSize", (int, float), place)
        if len(self.mistakes) > before:
            return None
        return Webhook(
            channel=InterfaceId(str(channel)),
            url=str(url),
            messages_max=count,
            payload_kb_max=None if size is None else float(size),
        )

    def _positive(self, value: Mapping[str, Any], name: str, kind: Any, place: str) -> Any:
        found = value.get(name)
        if found is None or (isinstance(found, kind) and not isinstance(found, bool) and found > 0):
            return found
        self.wrong(f"{place}/{name}", f"{found!r}: expected a number above 0")
        return None

    def _twice(self, channels: list[InterfaceId]) -> None:
        for channel in dict.fromkeys(channels):
            if channels.count(channel) > 1:
                self.wrong("/webhooks", f"two webhooks for {channel}")


def _periods(*groups: tuple[CertificatePeriod, ...]) -> tuple[CertificatePeriod, ...]:
    """Return the periods that bound anything, in a stable order; one certificate may be of both kinds."""
    bounded = {one for group in groups for one in group if one.valid_from or one.valid_to}
    return tuple(sorted(bounded, key=lambda one: (one.fingerprint, str(one.valid_from), str(one.valid_to))))


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"https", "http"}
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc
            and len(url) <= limits.URL_CHARS_MAX
        )
    except ValueError:
        return False
