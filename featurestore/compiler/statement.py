"""A statement and the way its steps are laid out: named CTEs, one comment each, byte-stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import indent


@dataclass(frozen=True)
class Statement:
    """SQL of one part of a plan.

    relations: the inputs an engine must bind by name (`spine`, `source__payments`).
    parameters: the named parameters it must give ($known_before, $known_shift).
    """

    name: str
    sql: str
    relations: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass
class Steps:
    """CTEs in order, then the final select."""

    steps: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, name: str, comment: str, sql: str, *, materialized: bool | None = None) -> None:
        """Add a step. materialized: kept once (True), inlined wherever it is used (False), or as the engine likes."""
        hint = {True: "MATERIALIZED ", False: "NOT MATERIALIZED ", None: ""}[materialized]
        self.steps.append((name, comment, sql, hint))

    def finish(self, comment: str, select: str) -> str:
        blocks = []
        for name, note, sql, hint in self.steps:
            blocks.append(f"-- {note}\n{name} AS {hint}(\n{indent(sql, '  ')}\n)")
        return "WITH\n" + ",\n".join(blocks) + f"\n-- {comment}\n{select}\n"


def listed(items: Sequence[str], per_line: int = 1) -> str:
    """Items of a select list, each on its own line, indented."""
    return ",\n".join(f"  {item}" for item in items)
