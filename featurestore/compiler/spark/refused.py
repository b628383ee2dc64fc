"""What Spark does not answer: refused when it is asked for, with a reason, never answered otherwise.

docs/reference/spark.md is written from these tables. All else the contract has, Spark gives bit for bit; `DIFFERS` lists what
the contract itself lets differ between engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from featurestore.errors import DefinitionError


@dataclass(frozen=True)
class Refusal:
    """what: is refused; it follows what was written. why, and what to do instead."""

    what: str
    why: str
    instead: str


REFUSED: Mapping[str, Refusal] = {
    "FS240": Refusal(
        "a pattern that a text can match in more than a million ways",
        "Spark has Java's regular expressions, which try one way after the other: a text could make them slow, or their stack "
        "too deep",
        r"a pattern in which each character tells what it belongs to: a+(\.a+)+ for (a+\.)+a+; or DuckDB",
    ),
}
"""By error code."""

DIFFERS: Mapping[str, str] = {
    "exp(a), ln(a), power(a, b)": "by 2 units in the last place at most: IEEE leaves them to the library",
    "var_…, stddev_…": "by 1e-9 of the variance and 1e-15 of the squared mean at most",
}
"""What the contract lets differ: by how much."""


def refusal(code: str, written: str) -> DefinitionError:
    """The error for something `written` that is refused."""
    found = REFUSED[code]
    return DefinitionError(code, f"{written} is not for Spark: {found.what}", hint=found.instead)
