"""A statement that serves a part of a training set, or some outputs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from featurestore.plan.nodes import Output


@dataclass(frozen=True)
class PartStatement:
    """Columns: __row, of latest and static __event and __match, then the outputs; in any order of rows.

    plan: the window plan it follows, "" for other parts. parameters: of its own, beside :known_before and :known_shift.
    listed: outputs that come as lists of numbers, of which `engines.exact.MOMENTS` makes the value. A sum of integers or
    decimals that may leave its type has a flag beside it, `<name>__overflow`.
    """

    outputs: tuple[Output, ...]
    sql: str
    plan: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
