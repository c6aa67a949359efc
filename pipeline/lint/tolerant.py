"""Reads JSON as people write it: comments, trailing commas, single quotes, names without quotes and the like.

Every deviation is a finding with its place. What has one meaning is read with that meaning; where a reader
would have to guess, reading ends with an error, since a wrong guess would change a message silently.
"""

import re
from typing import Final

from pipeline.limits import JSON_DEPTH_MAX
from pipeline.lint.findings import Finding, Kind, Place
from pipeline.lint.nodes import Entry, Leaf, Node, Sequence, Table

_QUOTES: Final = {'"': '"', "'": "'", "\u201c": "\u201d", "\u201d": "\u201d", "\u2018": "\u2019"}
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final = {"true": True, "false": False, "null": None}
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_STRICT_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_PLAIN_TEXT: Final = re.compile(r'"([^"\\\x00-\x1f]*)"')
_BLANK: Final = re.compile(r"[ \t\r\n\u00a0\u2028\u2029\ufeff]+")
_COMMENT: Final = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_HEX_DIGITS: Final = 4
_DIGITS_MAX: Final = 400  # Python refuses to read integers of some thousands
_HALF: Final = re.compile("[\ud800-\udfff]")
_SURROGATES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Unreadable(Exception):
    """The text has no certain meaning from here on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class Reader:
    """Reads one value after another from a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._place: list[str | int] = []
        self.findings: list[Finding] = []

    def values(self) -> list[Node]:
        """Return all values of the text: one, or many as in JSON lines; what could be read before an error."""
        found: list[Node] = []
        try:
            self._skip()
            while self._at < len(self._text):
                found.append(self._value())
                self._skip()
                if self._peek() == ",":
                    self._remark("comma-between", "a comma between values of the file", "leave it out")
                    self._at += 1
                    self._skip()
        except Unreadable as stopped:
            self.findings.append(stopped.finding)
        return found

    def _value(self) -> Node:
        char = self._peek()
        if len(self._place) > JSON_DEPTH_MAX:
            raise self._stuck("too-deep", f"more than {JSON_DEPTH_MAX} levels: no message has so many")
        if char == "{":
            return self._table()
        if char == "[":
            return self._sequence()
        if char in _QUOTES:
            at = self._at
            return Leaf(self._quoted(), at)
        return self._bare()

    def _table(self) -> Table:
        table = Table(self._at)
        names: set[str] = set()
        self._at += 1
        while self._more("}", first=not table.entries):
            at, name = self._at, self._name()
            self._place.append(name)
            if name in names:
                # Readers disagree on which one counts, so no mend is certain.
                self.findings.append(
                    self._finding(at, "named-twice", f'"{name}" is named twice in one object')
                )
            names.add(name)
            self._skip()
            if self._peek() == "=":
                self._remark("equals", "= between name and value", "write :")
            elif self._peek() != ":":
                raise self._stuck("no-colon", f'no : after the name "{name}"')
            self._at += 1
            self._skip()
            table.entries.append(Entry(name, at, self._value()))
            self._place.pop()
        return table

    def _sequence(self) -> Sequence:
        sequence = Sequence(self._at)
        self._at += 1
        while self._more("]", first=not sequence.parts):
            self._place.append(len(sequence.parts))
            sequence.parts.append(self._value())
            self._place.pop()
        return sequence

    def _more(self, end: str, *, first: bool) -> bool:
        """Move to the next part of a container; False, and past its end, when there is none."""
        self._skip()
        if not first and self._peek() not in (end, ","):
            if self._at >= len(self._text) or self._peek() in "]}:":
                raise self._stuck("not-closed", f"{end} is missing")
            self._remark("no-comma", "no comma between two parts", "write one")
            return True
        commas = 0
        while self._peek() == ",":
            if commas or first:
                self._remark("comma-alone", "a comma with nothing before it", "leave it out")
            commas, comma_at = commas + 1, self._at
            self._at += 1
            self._skip()
        if self._peek() == end:
            if commas and not first:
                self.findings.append(
                    self._finding(
                        comma_at, "trailing-comma", f"a comma before {end}", "leave it out", certain=True
                    )
                )
            self._at += 1
            return False
        if self._at >= len(self._text) or self._peek() in "]}":
            raise self._stuck("not-closed", f"{end} is missing")
        return True

    def _name(self) -> str:
        if self._peek() in _QUOTES:
            return self._quoted()
        if found := _NAME.match(self._text, self._at):
            self._remark("name-bare", f"the name {found.group()} has no quotes", f'write "{found.group()}"')
            self._at = found.end()
            return found.group()
        raise self._stuck("no-name", f"expected a name, found {self._peek()!r}")

    def _quoted(self) -> str:
        """Read a text in any quotes; the escapes of JSON, and line breaks that should have been escaped."""
        if found := _PLAIN_TEXT.match(self._text, self._at):  # nearly all: ten times as fast
            self._at = found.end()
            return found.group(1)
        opening = self._peek()
        if opening != '"':
            self._remark("quotes", f"{opening} for quotes", 'write "')
        closing = _QUOTES[opening]
        start, chars = self._at, []
        self._at += 1
        while (char := self._peek()) != closing:
            if char == "":
                self._at = start
                raise self._stuck("not-closed", "the text has no end")
            if char == "\\":
                chars.append(self._escape())
                continue
            if char < " ":
                self._remark("control", f"an unescaped control character {char!r} in a text", "escape it")
            chars.append(char)
            self._at += 1
        self._at += 1
        text = _SURROGATES.sub(_joined, "".join(chars))
        if _HALF.search(text):
            said = "half of a character: \\u escapes of D800 to DFFF come in pairs"
            self.findings.append(self._finding(start, "escape", said))
        return _HALF.sub("\ufffd", text)

    def _escape(self) -> str:
        char = self._text[self._at + 1 : self._at + 2]
        if char in _ESCAPES and char:
            self._at += 2
            return _ESCAPES[char]
        if char == "u":
            code = self._text[self._at + 2 : self._at + 2 + _HEX_DIGITS]
            if re.fullmatch(r"[0-9a-fA-F]{4}", code):
                self._at += 2 + _HEX_DIGITS
                return chr(int(code, 16))
        if char == "'":
            self._remark("escape", "\\' is no escape of JSON", "write '")
            self._at += 2
            return char
        raise self._stuck("escape", f"\\{char} is no escape of JSON")

    def _bare(self) -> Leaf:
        """Read a number or a word."""
        at = self._at
        if found := _NUMBER.match(self._text, at):
            return self._number(found.group())
        found = _NAME.match(self._text, at)
        word = found.group() if found else ""
        if word in _WORDS:
            self._at += len(word)
            return Leaf(_WORDS[word], at)
        meant = {"none": "null"}.get(word.lower(), word.lower())
        if meant in _WORDS:
            self._remark("word", f"{word} is not how JSON writes it", f"write {meant}")
            self._at += len(word)
            return Leaf(_WORDS[meant], at)
        shown = word or (repr(self._peek()) if self._peek() else "the end of the file")
        raise self._stuck("no-value", f"expected a value, found {shown}")

    def _number(self, raw: str) -> Leaf:
        at = self._at
        strict = raw if _STRICT_NUMBER.fullmatch(raw) else ""
        if not strict:
            strict = _strict(raw)
            self._remark("number", f"{raw} is not how JSON writes a number", f"write {strict}")
        self._at += len(raw)
        whole = strict.removeprefix("-").isdigit() and len(strict) <= _DIGITS_MAX
        return Leaf(int(strict) if whole else float(strict), at, source=raw, strict=strict)

    def _skip(self) -> None:
        while True:
            if found := _BLANK.match(self._text, self._at):
                strange = next((char for char in found.group() if char not in " \t\r\n"), "")
                if strange and not (self._at == 0 and strange == "\ufeff" and len(found.group()) == 1):
                    self._remark("blank", f"{strange!r} as a space", "use plain spaces")
                elif strange:
                    self._remark("bom", "a byte order mark before the text", "leave it out")
                self._at = found.end()
            elif found := _COMMENT.match(self._text, self._at):
                self._remark("comment", "a comment: JSON has none", "leave it out")
                self._at = found.end()
            else:
                return

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _remark(self, rule: str, text: str, mend: str) -> None:
        self.findings.append(self._finding(self._at, rule, text, mend, certain=True))

    def _stuck(self, rule: str, text: str) -> Unreadable:
        return Unreadable(self._finding(self._at, rule, f"{text}; nothing after this was read"))

    def _finding(self, at: int, rule: str, text: str, mend: str = "", *, certain: bool = False) -> Finding:
        place: Place = tuple(self._place)
        return Finding(at=at, place=place, kind=Kind.ERROR, rule=rule, text=text, mend=mend, certain=certain)


def _strict(raw: str) -> str:
    """Write a number as JSON does: no plus, no leading zeros, digits on both sides of the point."""
    sign = "-" if raw.startswith("-") else ""
    body = raw.lstrip("+-")
    mantissa, mark, power = (
        re.split(r"([eE])", body, maxsplit=1) if re.search("[eE]", body) else (body, "", "")
    )
    whole, point, fraction = mantissa.partition(".")
    whole = whole.lstrip("0") or "0"
    return f"{sign}{whole}{point if fraction else ''}{fraction}{mark}{power}"


def _joined(pair: re.Match[str]) -> str:
    return pair.group().encode("utf-16", "surrogatepass").decode("utf-16")
