"""The catalogue: all interface facts as one value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

import msgspec

from pipeline.catalogue.appointments import DatePath, Effect, load_date_paths, load_effects
from pipeline.catalogue.casing import Canonical, find_name
from pipeline.catalogue.channels import Channel, load_channels
from pipeline.catalogue.correlation import load_correlations
from pipeline.catalogue.dated import Dated
from pipeline.catalogue.explanation import Place, Problem, absent, misfit, problem, shown
from pipeline.catalogue.facts import PACKAGED, Facts, FactsInvalid, facts_with, load_items
from pipeline.catalogue.fast import FastReader
from pipeline.catalogue.shapes import load_blocks, load_messages
from pipeline.catalogue.validator import CompiledShape, PairValidator
from pipeline.domain.fanout import Correlation
from pipeline.domain.identifiers import EventCode, InterfaceId
from pipeline.domain.rejections import CheckId, Code
from pipeline.errors import SettingsInvalid
from pipeline.limits import PROBLEMS_PER_MESSAGE_MAX

Pair = tuple[InterfaceId, EventCode]

_VERSION = re.compile(r"[0-9]{3}", re.ASCII)
_TO_S0 = ("payload", "CommonBlock", "S0")
_EXPECTED = {
    "interfaceID": "the name of the channel as text, as IF-021",
    "eventCode": "an event of the interface as text, in brackets",
}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the facts say of one message.

    `interface` and `event` are what S0 names, as far as it names something known. `rewritten` is the message
    with the specification's letter case where the sender's differs, else None: the sender's bytes can travel
    as they are. Pointers use the specification's names.
    """

    problems: tuple[Problem, ...] = ()
    interface: InterfaceId | None = None
    event: EventCode | None = None
    rewritten: object | None = None

    @property
    def valid(self) -> bool:
        return not self.problems

    @property
    def code(self) -> Code | None:
        """Return the code of the first problem; None for a valid message."""
        return self.problems[0].code if self.problems else None

    @property
    def exact_case(self) -> bool:
        return self.rewritten is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Validators, channels, routing, appointment effects and applicable dates.

    `fingerprint` names the facts it was compiled from, `rule_files` the operator's files among them with their
    digests. Load it once per process and pass it on.
    """

    fingerprint: str
    rule_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    channels: Mapping[InterfaceId, Channel] = field(repr=False)
    pairs: Mapping[Pair, PairValidator] = field(repr=False)
    _effects: Mapping[Pair, Dated[tuple[Effect, ...]]] = field(repr=False)
    _date_paths: Mapping[Pair, Dated[tuple[DatePath, ...]]] = field(repr=False)
    _correlations: Mapping[Pair, Dated[Correlation]] = field(repr=False)
    _read_fast: FastReader = field(repr=False)

    def pair(self, interface: InterfaceId, event: EventCode) -> PairValidator:
        """Return the validator of a pair; KeyError for one that does not exist."""
        return self.pairs[interface, event]

    def effects(
        self, interface: InterfaceId, event: EventCode, at: datetime | None = None
    ) -> tuple[Effect, ...]:
        """Return what messages of a pair do to the addressing table by the edition of an instant; most do nothing."""
        found = self._effects.get((interface, event))
        return () if found is None else found.at(at)

    def date_paths(
        self, interface: InterfaceId, event: EventCode, at: datetime | None = None
    ) -> tuple[DatePath, ...]:
        """Return where messages of a pair name the days they are about; nowhere means the time of receipt."""
        found = self._date_paths.get((interface, event))
        return () if found is None else found.at(at)

    def correlation(
        self, interface: InterfaceId, event: EventCode, at: datetime | None = None
    ) -> Correlation:
        """Return what becomes of correlation ids on a channel; KeyError: unknown pair."""
        return self._correlations[interface, event].at(at)

    def edition_starts(self, interface: InterfaceId, event: EventCode) -> set[datetime]:
        """Return when editions of a pair's dates, effects and correlation begin."""
        found = (
            table.get((interface, event)) for table in (self._effects, self._date_paths, self._correlations)
        )
        return {start for one in found if one is not None for start, _ in one.editions}

    def canonical(self, message: object, interface: InterfaceId, event: EventCode) -> Canonical:
        """Return a message with the specification's letter case in all names; KeyError: unknown pair."""
        return self.pairs[interface, event].canonical(message)

    def read_plain(self, raw: bytes, channel: InterfaceId) -> tuple[Verdict, Any] | None:
        """Parse and judge the bytes of a message in one go; None says nothing: parse them, then `check`.

        What is returned is valid, in exact case, and what every strict reader makes of the bytes.
        """
        plain = self._read_fast(raw, channel)
        return None if plain is None else (Verdict(interface=plain.pair[0], event=plain.pair[1]), plain.value)

    def check(
        self, message: object, *, channel: InterfaceId | None = None, limit: int = PROBLEMS_PER_MESSAGE_MAX
    ) -> Verdict:
        """Judge a message by the pair its S0 names. `channel` is where it was submitted, if anywhere.

        An interface that is unknown, has no schema or is not the channel's is MSG1002; everything else,
        an unknown event included, is MSG1001.
        """
        pair = self._named_pair(message)
        if pair is not None and channel in (None, pair.shape.interface) and pair.compiled.is_exact(message):
            return Verdict(interface=pair.shape.interface, event=pair.shape.event)
        return self._explained(message, channel, limit)

    def _named_pair(self, message: object) -> PairValidator | None:
        """Find the pair by exact names: the hot path."""
        try:
            header = message["payload"]["CommonBlock"]["S0"]  # type: ignore[index] # whatever else it is, is caught
            event = header["eventCode"]
            return (
                self.pairs.get((header["interfaceID"], event[1:-1]))
                if event[0] == "[" and event[-1] == "]"
                else None
            )
        except (KeyError, TypeError, IndexError):
            return None

    def _explained(self, message: object, channel: InterfaceId | None, limit: int) -> Verdict:
        """Judge a message that is not plainly valid: any letter case, and every problem with its place."""
        interface, refusal = self._interface(message, channel)
        if interface is None or refusal is not None:
            return Verdict(problems=_some(refusal), interface=interface)
        event, refusal = self._event(message, interface)
        if event is None:
            return Verdict(problems=_some(refusal), interface=interface)
        pair = self.pairs[interface, event]
        named = pair.canonical(message)
        return Verdict(
            problems=(named.clashes or pair.problems(named.message, limit))[:limit],
            interface=interface,
            event=event,
            rewritten=named.message if named.renamed else None,
        )

    def _interface(
        self, message: object, channel: InterfaceId | None
    ) -> tuple[InterfaceId | None, Problem | None]:
        found = _header(message, "interfaceID")
        if isinstance(found, Problem):
            return None, found
        place = (*_TO_S0, "interfaceID")
        if found not in self.channels:
            text = f"{shown(found)} is no interface with a published schema"
            expected = "an interface with a published schema" if channel is None else channel
            return None, _refused(
                place, found, text, code=Code.INTERFACE, check=CheckId.INTERFACE, expected=expected
            )
        interface = InterfaceId(found)
        if channel is not None and interface != channel:
            text = f"{shown(found)} does not belong on channel {channel}"
            return interface, _refused(
                place, found, text, code=Code.INTERFACE, check=CheckId.CHANNEL, expected=channel
            )
        return interface, None

    def _event(self, message: object, interface: InterfaceId) -> tuple[EventCode | None, Problem | None]:
        found = _header(message, "eventCode")
        if isinstance(found, Problem):
            return None, found
        events = self.channels[interface].events
        event = EventCode(found[1:-1])
        if found != f"[{event}]" or event not in events:
            known = ", ".join(f"[{event}]" for event in events)
            text = f"{shown(found)} is no event of {interface}: expected {known}"
            place = (*_TO_S0, "eventCode")
            return None, _refused(
                place, found, text, code=Code.SCHEMA, check=CheckId.EVENT, expected=f"one of {known}"
            )
        return event, None


def _header(message: object, name: str) -> str | Problem:
    """Return a text of S0 by its name in any letter case, or what keeps it from being found."""
    value: object = message
    place: Place = ()
    for step in (*_TO_S0, name):
        if not isinstance(value, Mapping):
            return misfit(place, value, "an object")
        place = (*place, step)
        key = find_name(value, step)
        if key is None:
            return absent(place, _EXPECTED.get(step, "an object"))
        value = value[key]
    if not isinstance(value, str):
        return misfit(place, value, _EXPECTED[name])
    return value


def _refused(place: Place, value: str, text: str, *, code: Code, check: CheckId, expected: str) -> Problem:
    return problem(place, text, code, value=shown(value), expected=expected, check=check)


def load_catalogue(*, versions_accepted: tuple[str, ...] = (), rules: str = "") -> Catalogue:
    """Compile the fact tables of the package (some 20 ms); schemas are compiled when first used.

    `rules` is a folder of an operator's files that are laid over them (empty: none); FactsInvalid names what is
    wrong in them.

    `versions_accepted` are schema versions that coexist with the published one: `009` on every channel,
    `IF-021=010` on one. Raises SettingsInvalid for a channel that does not exist and a version that is none.
    """
    if not rules:
        return _compiled(PACKAGED, versions_accepted)
    try:
        catalogue = _compiled(facts_with(FilePath(rules)), versions_accepted)
    except (KeyError, ValueError) as error:  # a name or a value that the tables refer to and nothing defines
        raise FactsInvalid(f"{rules}: {error} is not known, or not of the form that its column has") from None
    named = {(one.interface, event) for one in catalogue.channels.values() for event in one.events}
    if strange := sorted(named ^ catalogue.pairs.keys()):
        raise FactsInvalid(f"{rules}: {strange[0]} must be in both channels.tsv and messages.tsv")
    return catalogue


def _compiled(facts: Facts, versions_accepted: tuple[str, ...]) -> Catalogue:
    channels = load_channels(facts)
    shapes = load_messages(
        load_blocks(load_items(facts), facts), _versions(versions_accepted, channels), facts
    )
    compiled: dict[tuple[InterfaceId, str], CompiledShape] = {}
    pairs = {}
    for pair, shape in shapes.items():
        key = (shape.interface, shape.variant)
        pairs[pair] = PairValidator(shape=shape, compiled=compiled.setdefault(key, CompiledShape(shape.root)))
    return Catalogue(
        fingerprint=facts.fingerprint(*versions_accepted),
        rule_files=facts.digests(),
        channels=channels,
        pairs=pairs,
        _effects=load_effects(shapes, facts),
        _date_paths=load_date_paths(shapes, facts),
        _correlations=load_correlations(shapes, facts),
        _read_fast=FastReader(shapes),
    )


def _versions(
    accepted: tuple[str, ...], channels: Mapping[InterfaceId, Channel]
) -> Mapping[InterfaceId, tuple[str, ...]]:
    """Return the further versions of each channel."""
    versions: dict[InterfaceId, tuple[str, ...]] = dict.fromkeys(channels, ())
    for text in map(str.strip, accepted):
        channel, _, version = text.rpartition("=")
        if not _VERSION.fullmatch(version) or (channel and channel not in channels):
            raise SettingsInvalid(
                f"DIP_SCHEMA_VERSIONS: {text!r}: expected three digits, or IF-nnn= and them"
            )
        for one in [InterfaceId(channel)] if channel else channels:
            versions[one] = (*versions[one], version)
    return versions


def _some(refusal: Problem | None) -> tuple[Problem, ...]:
    return () if refusal is None else (refusal,)
