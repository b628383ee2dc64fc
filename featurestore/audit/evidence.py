"""Show some wrong cells in full: what was found, what is true, and the source row that explains it, by file and row number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.findings import FUTURE, LATE, LEAKS, STALE, TIE, Example
from featurestore.audit.judged import AS_OF
from featurestore.audit.reask import Asking, Timed
from featurestore.audit.wrong import Group, Settled, Wrong
from featurestore.engines.duckdb.reading import normalised, target_type
from featurestore.expressions import Column
from featurestore.intervals import format_instant
from featurestore.plan.nodes import Latest, chain_of
from featurestore.retrieval.spine import to_key
from featurestore.sources import SourceData

EXAMPLES = 3
"""How many cells of each feature and cause are shown."""
_HOLDER = {TIE: ("tie_event", "tie_known"), LATE: ("late_event", "late_known"),
           FUTURE: ("future_event", "future_known"), STALE: ("older_event", "older_known")}  # fmt: skip
"""Cause -> the columns of `holders` that name the fact which explains it. Of windows a stale one is no single fact."""


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
    """A row of a source. event, known: microseconds. file None: it was not found again."""

    event: int
    known: int
    file: str | None = None
    row: int | None = None

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
    if cause not in _HOLDER or not parts or (cause == STALE and own is None):
        return nothing
    found = [_held(asking, part, wrong, cells, cause, valued=own is not None) for part in parts]
    every = [[fact for fact in facts if fact is not None] for facts in zip(*found, strict=True)]
    return [min(facts, key=lambda fact: fact.visible, default=None) for facts in every]


def _held(asking: Asking, part: Timed, wrong: Wrong, cells: pa.Array, cause: str, *, valued: bool) -> list[_Fact | None]:
    rows, events = wrong.rows.take(cells), wrong.events.take(cells)
    asked = {"truth_event": events, **({"found": wrong.found.take(cells)} if valued else {})}
    held = asking.holders(part, wrong.feature if valued else None, rows, asked)
    event, known = _HOLDER[cause]
    times = [held[event].to_pylist(), held[known].to_pylist()]
    values = wrong.found.take(cells).to_pylist() if valued and isinstance(part, Latest) else [None] * len(cells)
    seen = [None if None in (e, k) else _Fact(e, k) for e, k in zip(*times, strict=True)]
    return _Located(asking, part, wrong.feature).find(rows, seen, values)


class _Located:
    """Finds rows of a source again by key, times and, where a feature is a bare column, its value."""

    def __init__(self, asking: Asking, part: Timed, feature: str) -> None:
        facts, _, _ = chain_of(part.facts)
        self._asking, self._part, self._facts = asking, part, facts
        output = next((o for o in part.outputs if o.name == feature), None)
        bare = output.expression if output is not None and output.aggregate is None else None
        self._value = bare.name if isinstance(bare, Column) else None

    def find(self, rows: pa.Array, facts: Sequence[_Fact | None], values: Sequence[Any]) -> list[_Fact | None]:
        source = self._facts.rows.source
        data = self._asking.sources[source.name]
        wanted = pa.array(sorted({f.event for f in facts if f is not None}), pa.int64())
        found = list(facts)
        if not len(wanted):
            return found
        keys = self._asked_keys(rows)
        for file, row, key, event, created, value in self._rows(data, wanted):
            for n, fact in enumerate(found):
                if fact is None or key != keys[n] or event != fact.event or created not in (None, fact.known):
                    continue
                if fact.file is None and (self._value is None or value == values[n]):
                    found[n] = replace(fact, file=file, row=row)
        return found

    def _asked_keys(self, rows: pa.Array) -> list[tuple[Any, ...]]:
        asked = self._asking.questions.take(rows)
        columns = [
            to_key(asked[k.spine_column].combine_chunks(), k.spine_column, k.dtype).to_pylist() for k in self._part.spine.keys
        ]
        return list(zip(*columns, strict=True)) if columns else [()] * len(rows)

    def _rows(self, data: SourceData, events: pa.Array) -> Iterator[tuple[str, int, tuple[Any, ...], int, int | None, Any]]:
        """(file, row, key, event, created, value) of the rows with these event times."""
        source = data.source
        types: Mapping[str, Any] = {c.name: c.dtype for c in self._facts.rows.columns}
        keys = {k.source_column: k.dtype for k in self._facts.keys}
        assert source.event_timestamp is not None
        columns = list(dict.fromkeys([*keys, *source.time_columns, *([self._value] if self._value else [])]))
        schema = pa.schema([(c, target_type(source, c, types).arrow) for c in columns])
        for part in data.parts:
            first = 0
            for batch in part.read(columns):
                table = pa.Table.from_batches([normalised(batch, source, schema)])
                times = table[source.event_timestamp].cast(pa.int64())
                hits = pc.indices_nonzero(pc.fill_null(pc.is_in(times, events), False))
                hit = table.take(hits)
                key = [to_key(hit[c].combine_chunks(), c, dtype).to_pylist() for c, dtype in keys.items()]
                made = hit[source.created_timestamp].cast(pa.int64()).to_pylist() if source.created_timestamp else None
                for n, number in enumerate(hits.to_pylist()):
                    event = times[number].as_py()
                    value = hit[self._value][n].as_py() if self._value else None
                    yield part.name, first + number, tuple(k[n] for k in key), event, made[n] if made else None, value
                first += batch.num_rows


__all__ = ["examples"]
