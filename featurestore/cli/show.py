"""Numbers, times and tables as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featurestore.intervals import MICROS_PER_SECOND, in_words

_SIZES = ("bytes", "kB", "MB", "GB", "TB")


def age(micros: int) -> str:
    """A length of time in its two greatest units: "3 h 5 min"; below a second: "0 s"."""
    words = in_words(abs(micros) // MICROS_PER_SECOND)
    return ("-" if micros < 0 and words else "") + (words or "0 s")


def size(number: int) -> str:
    """Bytes, in thousands: "12.3 MB"."""
    amount, unit = float(number), _SIZES[0]
    for unit in _SIZES:
        if amount < 1000 or unit == _SIZES[-1]:
            break
        amount /= 1000
    return f"{number} {unit}" if unit == _SIZES[0] else f"{amount:.1f} {unit}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, indent: str = "") -> str:
    """Columns padded with spaces, numbers to the right."""
    body = [[cell(value) for value in row] for row in rows]
    numeric = (
        [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))] if body else [False] * len(header)
    )
    widths = [max(len(line[i]) for line in [list(header), *body]) for i in range(len(header))]
    lines = []
    for line in [list(header), *body]:
        cells = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def cell(value: Any) -> str:
    """One value on one line."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return str(value).replace("\n", "\\n")


def counts(counted: Mapping[str, int], *, plain: bool = False) -> str:
    """ "present 12, not found 3"; "none" for no counts. plain: names stay as they are, for they are somebody's; so does one
    with a colon, which holds somebody's words."""
    named = {name if plain or ":" in name else name.replace("_", " "): number for name, number in counted.items()}
    return ", ".join(f"{name} {number:,}" for name, number in named.items()) or "none"


def share(part: int, whole: int) -> str:
    """ "12.3 %"; what is not nothing is never told as none of it."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    return "below 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %".replace(".0 %", " %")


def bars(parts: Mapping[str, int], *, width: int = 30, indent: str = "") -> list[str]:
    """A line per part: its name, a bar as long as its share, and the share."""
    whole, names = sum(parts.values()), max(map(len, parts), default=0)
    lines = []
    for name, number in parts.items():
        bar = "█" * round(width * number / whole) if whole else ""
        lines.append(f"{indent}{name.ljust(names)}  {bar.ljust(width)}  {share(number, whole)}".rstrip())
    return lines


Branches = Mapping[str, Any]
"""The branches of a tree: label -> its own."""


def tree(label: str, branches: Branches) -> str:
    """A label, and below it its branches, each with its own: for people."""
    lines = [label]
    for number, (name, below) in enumerate(branches.items(), 1):
        first, others = ("└── ", "    ") if number == len(branches) else ("├── ", "│   ")
        head, *rest = tree(name, below).split("\n")
        lines += [first + head, *(others + line for line in rest)]
    return "\n".join(lines)
