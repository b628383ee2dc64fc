"""Patterns as Java reads them, which is what Spark has: the same texts match, and no text makes it slow.

Java tries one way after the other: in `(a|a)*b` a text decides how long it takes, and in `(a|b)*` how deep the stack grows.
So a pattern is either one where a single character tells how to go on, and nothing is ever tried twice (quantifiers are
possessive); or one with few ways to be tried. What is neither is refused; DuckDB takes any.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import inf

from featurestore import patterns
from featurestore.compiler.spark.refused import refusal
from featurestore.patterns import Chars, Either, Node, Repeat, Sequence, may_be_empty, written_times

MOST_WAYS = 1_000_000
"""In which a text may be tried against a pattern, one in which a quantifier without an end counts for a hundred."""
_ENDLESS = 100
_MOST_STATES = 5_000


@lru_cache(maxsize=256)
def in_java(pattern: str) -> str:
    """The pattern in Java's syntax, to be found in a text: it is anchored at both ends.

    Raises: DefinitionError FS224 for a pattern that is none, FS240 for one that Java could not be trusted with.
    """
    read = patterns.parse(pattern)
    decided = _decided(read)
    if not decided and _ways(read) > MOST_WAYS:
        raise refusal("FS240", f"pattern {pattern!r}")
    return rf"\A(?:{_written(read, '+' if decided else '')})\z"


# Whether one character decides.


def _decided(pattern: Sequence) -> bool:
    """Whether, after any beginning of a text, each character leaves one thing that may still follow."""
    if not _one_empty_option(pattern):
        return False
    seen, waiting = {pattern}, [pattern]
    while waiting and len(seen) <= _MOST_STATES:
        state = waiting.pop()
        for char in _told_apart(state):
            after = set(patterns.following(state, char))
            if len(after) > 1:
                return False
            waiting += after - seen
            seen |= after
    return not waiting


def _told_apart(state: Sequence) -> Iterator[str]:
    """Characters of which each stands for those that the first classes of a state do not tell from it."""
    begins = {0}
    for chars in _first(state):
        for first, last in chars.ranges:
            begins |= {first, last + 1}
    return (chr(code) for code in begins if code <= 0x10FFFF)


def _first(sequence: Sequence) -> Iterator[Chars]:
    for node in sequence:
        match node:
            case Chars():
                yield node
            case Either(options):
                for option in options:
                    yield from _first(option)
            case Repeat(inner, _, most) if most != 0:
                yield from _first(inner)
        if not may_be_empty(node):
            return


def _one_empty_option(sequence: Sequence) -> bool:
    """Whether of no two options both may be empty: the first would hide the second."""
    for node in sequence:
        match node:
            case Either(options):
                if sum(_empty(o) for o in options) > 1 or not all(map(_one_empty_option, options)):
                    return False
            case Repeat(inner, _, _):
                if not _one_empty_option(inner):
                    return False
    return True


def _empty(sequence: Sequence) -> bool:
    return all(map(may_be_empty, sequence))


def _ways(sequence: Sequence) -> float:
    """How many ways there are to go through a pattern, for who tries them all."""
    total = 1.0
    for node in sequence:
        match node:
            case Either(options):
                total *= sum(map(_ways, options))
            case Repeat((Chars(),), least, most):
                total *= _ENDLESS if most is None else most - least + 1
            case Repeat(inner, least, most):
                total *= inf if most is None else sum(_ways(inner) ** n for n in range(least, most + 1))
        if total > MOST_WAYS:
            return inf
    return total


# Java's spelling.


def _written(sequence: Sequence, possessive: str) -> str:
    return "".join(_written_node(node, possessive) for node in sequence)


def _written_node(node: Node, possessive: str) -> str:
    match node:
        case Chars(((first, last),), False) if first == last:
            return _char(first)
        case Chars(ranges, negated):
            return f"[{'^' if negated else ''}{''.join(map(_range, ranges))}]"
        case Either(options):
            longest_first = sorted(options, key=_empty)
            return f"(?:{'|'.join(_written(o, possessive) for o in longest_first)})"
        case Repeat(inner, least, most):
            atom = _written(inner, possessive)
            if len(inner) != 1 or not isinstance(inner[0], Chars):
                atom = f"(?:{atom})"
            return atom + written_times(least, most) + possessive


def _range(ends: tuple[int, int]) -> str:
    first, last = map(_char, ends)
    return first if first == last else f"{first}-{last}"


def _char(code: int) -> str:
    char = chr(code)
    return char if char.isalnum() else f"\\x{{{code:X}}}"
