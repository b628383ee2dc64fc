"""Regular expressions that mean the same everywhere: a safe subset, read once, and what it matches.

A pattern is compared with the whole text, code point by code point, without regard to locale, flags or lines. Allowed are
literals, `.` (anything but a line feed), classes such as `[a-z_]` and `[^0-9]`, `\\d \\w \\s` and their opposites (ASCII
only), groups, `|`, and the quantifiers `* + ? {n} {n,} {n,m}`. All else is refused: anchors say nothing where the whole text
is compared, and look-around, back-references, `\\b`, lazy or possessive quantifiers, flags and Unicode classes differ between
engines, or are not regular.

Two things are made of a pattern: text for an engine of the RE2 family (`rendered`), and a matcher of our own (`matches`) that
takes time in proportion to the text, whatever the pattern: nobody who sends a text can make it slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from featurestore.errors import DefinitionError

MOST = 1_000
"""Characters a pattern may ask for, its repetitions counted out; engines set bounds as well."""
_LAST = 0x10FFFF
_SHORTHANDS = {"d": ((0x30, 0x39),), "s": ((9, 13), (32, 32)), "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SPECIAL = "\\.+*?()|[]{}^$"
_KEPT = 10_000
"""Steps a matcher remembers before it begins anew."""
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chars:
    """One character out of some ranges of code points, or one in none of them."""

    ranges: Ranges
    negated: bool = False

    def has(self, char: str) -> bool:
        code = ord(char)
        return any(first <= code <= last for first, last in self.ranges) is not self.negated


@dataclass(frozen=True)
class Either:
    options: tuple[Sequence, ...]


@dataclass(frozen=True)
class Repeat:
    """most None: any number of times."""

    inner: Sequence
    least: int
    most: int | None


Node = Chars | Either | Repeat
Sequence = tuple[Node, ...]
"""One after the other; () is the empty text."""


def parse(pattern: str) -> Sequence:
    """Read a pattern. Raises: DefinitionError FS224, saying what is not allowed, and where."""
    if not isinstance(pattern, str) or not pattern:
        raise DefinitionError("FS224", f"{pattern!r} is not a pattern", hint=r"'c[0-9]{7}'")
    return _parsed(pattern)


@lru_cache(maxsize=1024)
def _parsed(pattern: str) -> Sequence:
    reader = _Reader(pattern)
    node = reader.either()
    if reader.at < len(pattern):
        raise reader.refused("a ) that closes nothing", r"\)")
    if _size(node) > MOST:
        raise DefinitionError(
            "FS224", f"pattern {pattern!r} counts out to more than {MOST:,} characters", hint="fewer repetitions"
        )
    return node


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.depth = pattern, 0, 0

    def refused(self, what: str, hint: str = "the constructs in docs/how-to/check-sources.md") -> DefinitionError:
        where = f"at character {self.at + 1}"
        return DefinitionError("FS224", f"{what} is not allowed in a pattern ({self.pattern!r}, {where})", hint=hint)

    @property
    def next(self) -> str:
        """The next character, "" at the end."""
        return self.pattern[self.at : self.at + 1]

    def took(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def either(self) -> Sequence:
        options = [self.sequence()]
        while self.took("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else (Either(tuple(options)),)

    def sequence(self) -> Sequence:
        found: list[Node] = []
        while self.next and self.next not in "|)":
            found.extend(self.quantified(self.atom()))
        return tuple(found)

    def quantified(self, inner: Sequence) -> Sequence:
        times = self.times()
        if times is None:
            return inner
        if self.next and self.next in "?+*{":
            raise self.refused(f"a quantifier followed by {self.next}", "a group, (?:…), where it is to be repeated")
        return (Repeat(inner, *times),)

    def times(self) -> tuple[int, int | None] | None:
        for sign, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.took(sign):
                return times
        if not self.took("{"):
            return None
        least = self.number()
        most = (self.number() if self.next.isdigit() else None) if self.took(",") else least
        if not self.took("}"):
            raise self.refused("a { that is not {n}, {n,} or {n,m}", r"\{")
        if most is not None and most < least:
            raise self.refused(f"{{{least},{most}}}", f"{{{most},{least}}}")
        return least, most

    def number(self) -> int:
        begin = self.at
        while self.next and self.next in "0123456789":
            self.at += 1
        if not 0 < self.at - begin <= 4:
            raise self.refused("a { that is not {n}, {n,} or {n,m}", r"\{")
        return int(self.pattern[begin : self.at])

    def atom(self) -> Sequence:
        if self.took("("):
            return self.group()
        if self.took("["):
            return (self.character_class(),)
        if self.took("."):
            return (Chars(((10, 10),), negated=True),)
        if self.next in "^$":
            raise self.refused(f"the anchor {self.next}", "leave it out: the whole text is compared")
        if self.next in "*+?{}]":
            raise self.refused(f"a {self.next} here", f"\\{self.next}")
        ranges, _ = self.char()
        return (Chars(ranges),)

    def group(self) -> Sequence:
        if self.next == "?" and not self.took("?:"):
            raise self.refused(f"the group ({self.pattern[self.at : self.at + 2]}", "(…) or (?:…)")
        self.depth += 1
        if self.depth > 50:
            raise self.refused("a group in fifty others")
        found = self.either()
        self.depth -= 1
        if not self.took(")"):
            raise self.refused("a ( that is never closed", r"\(")
        return found

    def character_class(self) -> Chars:
        negated, found = self.took("^"), list[tuple[int, int]]()
        if self.next == "]":
            raise self.refused("a class that begins with ]", r"\]")
        while not self.took("]"):
            if self.next in ("", "["):
                raise self.refused("a class that is never closed" if not self.next else "a [ in a class", r"\[")
            ranges, single = self.char()
            if self.next == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last, single_last = self.char()
                if not (single and single_last) or last[0][0] < ranges[0][0]:
                    raise self.refused("a range in a class that does not go from one character up to another", "[a-z]")
                ranges = ((ranges[0][0], last[0][0]),)
            found += ranges
        return Chars(tuple(sorted(set(found))), negated)

    def char(self) -> tuple[Ranges, bool]:
        """The ranges of one character or shorthand, and whether it is one character."""
        if not self.took("\\"):
            char, self.at = self.next, self.at + 1
            return ((ord(char), ord(char)),), True
        char, self.at = self.next, self.at + 1
        if char.lower() in _SHORTHANDS:
            ranges: Ranges = _SHORTHANDS[char.lower()]
            return (ranges if char.islower() else _complement(ranges)), False
        if char in _CONTROLS or (char and char.isascii() and not char.isalnum()):
            code = ord(_CONTROLS.get(char, char))
            return ((code, code),), True
        self.at -= 1
        raise self.refused(f"\\{char}" if char else "a \\ at the end", r"\\ for a backslash")


def _complement(ranges: Ranges) -> Ranges:
    """All other code points. ranges: sorted, disjoint."""
    begins = [0, *(last + 1 for _, last in ranges)]
    ends = [*(first - 1 for first, _ in ranges), _LAST]
    return tuple((first, last) for first, last in zip(begins, ends, strict=True) if first <= last)


def _size(sequence: Sequence) -> int:
    total = 0
    for node in sequence:
        match node:
            case Chars():
                total += 1
            case Either(options):
                total += sum(map(_size, options))
            case Repeat(inner, least, most):
                total += max(_size(inner), 1) * max(least if most is None else most, 1)
    return total


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text is what the pattern says. Raises: DefinitionError FS224 for a pattern that is none."""
    return _matcher(pattern).whole(text)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> _Matcher:
    return _Matcher(parse(pattern))


State = frozenset[Sequence]
"""What may still follow: the text goes on by any one of these."""


@dataclass
class _Matcher:
    pattern: Sequence
    steps: dict[tuple[State, str], State] = field(default_factory=dict)

    def whole(self, text: str) -> bool:
        state: State = frozenset([self.pattern])
        for char in text:
            after = self.steps.get((state, char))
            if after is None:
                after = frozenset(rest for sequence in state for rest in following(sequence, char))
                if len(self.steps) >= _KEPT:
                    self.steps.clear()
                self.steps[state, char] = after
            state = after
            if not state:
                return False
        return any(all(map(may_be_empty, sequence)) for sequence in state)


def following(sequence: Sequence, char: str) -> Iterator[Sequence]:
    """What may follow a character that a sequence begins with: its partial derivatives."""
    for i, node in enumerate(sequence):
        for rest in _after_node(node, char):
            yield rest + sequence[i + 1 :]
        if not may_be_empty(node):
            return


def _after_node(node: Node, char: str) -> Iterator[Sequence]:
    match node:
        case Chars():
            if node.has(char):
                yield ()
        case Either(options):
            for option in options:
                yield from following(option, char)
        case Repeat(inner, least, most):
            if most == 0:
                return
            again = Repeat(inner, max(least - 1, 0), None if most is None else most - 1)
            for rest in following(inner, char):
                yield (*rest, again) if again.most != 0 else rest


@lru_cache(maxsize=4096)
def may_be_empty(node: Node) -> bool:
    match node:
        case Chars():
            return False
        case Either(options):
            return any(all(map(may_be_empty, option)) for option in options)
        case Repeat(inner, least, _):
            return least == 0 or all(map(may_be_empty, inner))


def rendered(pattern: str) -> str:
    """The same pattern with nothing left to flags or to an engine's idea of \\d, as engines of the RE2 family read it.

    Raises: DefinitionError FS224 for a pattern that is none.
    """
    return _written(parse(pattern))


def _written(sequence: Sequence) -> str:
    alone = len(sequence) == 1
    return "".join(_written_node(node, alone) for node in sequence)


def _written_node(node: Node, alone: bool = False) -> str:
    match node:
        case Chars(((first, last),), False) if first == last:
            return _escaped(chr(first), _SPECIAL)
        case Chars(ranges, negated):
            return f"[{'^' if negated else ''}{''.join(map(_written_range, ranges))}]"
        case Either(options):
            either = "|".join(map(_written, options))
            return either if alone else f"(?:{either})"
        case Repeat(inner, least, most):
            atom = _written(inner)
            if len(inner) != 1 or not isinstance(inner[0], Chars):
                atom = f"(?:{atom})"
            return atom + written_times(least, most)


def written_times(least: int, most: int | None) -> str:
    signs = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    if (least, most) in signs:
        return signs[least, most]
    return f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"


def _written_range(ends: tuple[int, int]) -> str:
    first, last = (_escaped(chr(end), "\\[]^-") for end in ends)
    return first if first == last else f"{first}-{last}"


def _escaped(char: str, special: str) -> str:
    if char in special:
        return f"\\{char}"
    return char if char.isprintable() else f"\\x{{{ord(char):X}}}"
