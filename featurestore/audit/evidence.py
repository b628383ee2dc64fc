"""Show some wrong cells in full: what was found, what is true, and the source row that explains it, by file and row number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.findings import FUTURE, LATE, LEAKS, STALE, TIE, Example
from featurestore.audit.judged import AS_OF
from featurestore.audit.reask import Asking, Timed
from featurestore.audit.wrong import Group, Settled, Wrong
from featurestore.intervals import format_instant

EXAMPLES = 3
"""How many cells of each feature and cause are shown."""
_RELATION = {TIE: "tie", LATE: "late", FUTURE: "future", STALE: "older"}
"""Cause -> what `holders` calls the fact that explains it. Of windows a stale one is no single fact."""


def examples(asking: Asking, groups: Sequence[Group]) -> list[Example]:
    """The first cells of each feature and cause, in the order of features."""
    found = []
    for group in groups:
        for wrong in group.wrong:
            for cells, settled in _chosen(wrong):
                found += _shown(asking, group, wrong, cells, settled)
    return found


def _chosen(wrong: Wrong) -> Iterator[tuple[pa.Array, Settled]]:
    """(numbers of cells, what they share): EXAMPLES of each cause, those of the commonest explanation first."""
    left: dict[str, int] = {}
    for settled in sorted(wrong.settled, key=lambda one: -pc.sum(one.cells).as_py()):
        cells = pc.indices_nonzero(settled.cells).cast(pa.int64()).slice(0, left.setdefault(settled.cause, EXAMPLES))
        left[settled.cause] -= len(cells)
        if len(cells):
            yield cells, settled


def _shown(asking: Asking, group: Group, wrong: Wrong, cells: pa.Array, settled: Settled) -> list[Example]:
    cause, until = settled.cause, [None] * len(cells)
    if settled.instants is not None:
        until = settled.instants.take(cells).to_pylist()
    rows = wrong.rows.take(cells)
    asked = asking.questions.take(rows)
    at = asked[AS_OF].cast(pa.int64()).to_pylist()
    keys = asked.select(list(asking.service.spine_keys)).to_pylist()
    found, truth = wrong.found.take(cells).to_pylist(), wrong.truth.take(cells).to_pylist()
    shown = []
    for n, (row, fact) in enumerate(zip(rows.to_pylist(), _facts(asking, group, wrong, cells, cause), strict=True)):
        end = until[n]
        if fact is not None and cause == FUTURE and end is not None and fact.event >= end:
            fact = None  # the value changed because a window or ttl ran out
        source = None if fact is None else fact.told()
        ahead = fact.visible - at[n] if fact is not None and cause in LEAKS else None
        ahead = None if ahead is not None and ahead < 0 else ahead  # known before as_of, and after the set's cut-off
        values = found[n], truth[n]
        shown.append(Example(wrong.feature, row, keys[n], format_instant(at[n]), *values, cause, settled.why, source, ahead))
    return shown


@dataclass(frozen=True)
class _Fact:
    """A row of a source. event, known: microseconds."""

    event: int
    known: int
    file: str
    row: int

    @property
    def visible(self) -> int:
        return max(self.event, self.known)

    def told(self) -> dict[str, Any]:
        times = {"event_timestamp": format_instant(self.event), "known_at": format_instant(self.known)}
        return {"file": self.file, "row": self.row, **times}


def _facts(asking: Asking, group: Group, wrong: Wrong, cells: pa.Array, cause: str) -> list[_Fact | None]:
    """The fact that explains each cell, None where no single one does."""
    own = next((part for part, one in group.latest if one is wrong), None)
    parts: list[Timed] = [own] if own is not None else [parts[0] for parts in group.views if parts]
    nothing: list[_Fact | None] = [None] * len(cells)
    if cause not in _RELATION or not parts or (cause == STALE and own is None):
        return nothing
    found = [_held(asking, part, wrong, cells, cause, valued=own is not None) for part in parts]
    every = [[fact for fact in facts if fact is not None] for facts in zip(*found, strict=True)]
    return [min(facts, key=lambda fact: fact.visible, default=None) for facts in every]


def _held(asking: Asking, part: Timed, wrong: Wrong, cells: pa.Array, cause: str, *, valued: bool) -> list[_Fact | None]:
    rows, events = wrong.rows.take(cells), wrong.events.take(cells)
    asked = {"truth_event": events, **({"found": wrong.found.take(cells)} if valued else {})}
    held = asking.holders(part, wrong.feature if valued else None, rows, asked, placed=True)
    columns = [held[f"{_RELATION[cause]}_{what}"].to_pylist() for what in ("event", "known", "file", "row")]
    parts = asking.source_of(part).parts
    return [None if e is None else _Fact(e, k, parts[file].name, row) for e, k, file, row in zip(*columns, strict=True)]


__all__ = ["examples"]
