"""Decide which rows of a source are facts, and which of them a question (key, t, K) may use (CONTRACT 2 and 3).

What is made of the usable facts (the latest, a window) is `engine`'s business.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurestore.definitions import FeatureView, Source, View
from featurestore.definitions.aggregation import check_condition
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType, from_arrow
from featurestore.engines.reference.evaluate import evaluator
from featurestore.engines.reference.order import rank
from featurestore.engines.reference.times import Reading, plain
from featurestore.engines.reference.values import Key, read_keys, read_values
from featurestore.errors import DefinitionError, SourceError, nearest
from featurestore.expressions import Expr

Cutoff = int | float
"""K: an instant, or infinity for no cut-off."""


@dataclass(frozen=True)
class Row:
    """One source row, read: its event time e, known time k, key, and the values of the columns a view reads.

    key None: a NULL key. row_key None: without row_key, or a NULL in it. order: how versions of one fact compare.
    kept: the view's `where` is TRUE. values: {column: value}. results: {feature: the value of its expression, True for
    a count without one}, NULL where the feature's own `where` is not TRUE.
    """

    values: Mapping[str, Any]
    key: Key | None
    e: int | None
    k: int | None
    row_key: Any
    deleted: bool
    order: Any
    kept: bool
    results: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """All rows of a view's source, ready to be asked. families: of the view's keys."""

    view: View
    types: Mapping[str, DType]
    families: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: Mapping[str, int]

    def usable(self, key: Key | None, t: int, cutoff: Cutoff) -> list[Row]:
        """The facts of `key` that a row at t may see, known before the cut-off, for which the view's `where` holds."""
        exact = self._exact
        facts = self._in_force(t, cutoff) if self.view.source.row_key else self.rows
        return [
            f for f in facts
            if f.key == key and key is not None and f.kept and not f.deleted and f.e is not None and f.k is not None
            and _seen(max(f.e, f.k), t, exact) and f.k < cutoff
        ]  # fmt: skip

    def _in_force(self, t: int, cutoff: Cutoff) -> list[Row]:
        """Of every fact with a row key, its newest version known at (t, K): chosen first, looked at afterwards."""
        exact = self._exact
        known = [v for v in self.rows if v.row_key is not None and v.k is not None]
        known = [v for v in known if _seen(v.k, t, exact) and v.k < cutoff]  # type: ignore[operator,arg-type]
        return _newest(known)

    @property
    def _exact(self) -> bool:
        assert isinstance(self.view, FeatureView), "a label has no boundary at t"
        return self.view.allow_exact_matches

    def settled(self, key: Key | None, cutoff: Cutoff) -> list[Row]:
        """The facts of `key` in force at the cut-off, whenever they happened and became known (CONTRACT 7)."""
        known = [r for r in self.rows if r.k is not None and r.k < cutoff]
        if self.view.source.row_key:
            known = _newest([v for v in known if v.row_key is not None])
        return [f for f in known if key is not None and f.key == key and f.e is not None and f.kept and not f.deleted]

    @property
    def greatest_known(self) -> Cutoff:
        """Up to when the source is known: the greatest k of its rows, facts or not; without any, for no time at all."""
        return max((r.k for r in self.rows if r.k is not None), default=-math.inf)

    def only(self, key: Key | None) -> Row | None:
        """The one row of `key` in a static source."""
        return next((row for row in self.rows if key is not None and row.key == key and row.kept), None)


def _newest(versions: Sequence[Row]) -> list[Row]:
    """Of every row key the newest of these versions."""
    newest: dict[Any, Row] = {}
    for version in versions:
        rival = newest.get(version.row_key)
        if rival is None or version.order > rival.order:
            newest[version.row_key] = version
    return list(newest.values())


def _seen(instant: int, t: int, exact: bool) -> bool:
    return instant <= t if exact else instant < t


def read_history(view: View, tables: Sequence[pa.Table]) -> History:
    """Read a view's source, all files of it.

    Raises: SourceError for columns that are missing or of another type in one file, and for duplicates in a static
    source. DefinitionError for columns that cannot be the keys, times or operands they are declared to be.
    """
    types = column_types(view, tables)
    view.source.check_expectations(types)
    tables = [_completed(view, table) for table in tables]
    for feature in view.features:
        feature.result_type(types)
    if view.condition is not None:
        check_condition(view.condition, types, what=f"where of view {view.name!r}")
    families = tuple(_family(view.source, column, types) for column in view.key_columns)
    reader = _Reader(view, types)
    rows = [row for table in tables for row in reader.rows(table)]
    if view.source.static:
        _refuse_duplicates(view, rows)
    return History(view, types, families, tuple(rows), dict(reader.left_out))


def column_types(view: View, tables: Sequence[pa.Table]) -> Mapping[str, DType]:
    """The types of the source's columns: its schema=, else its first file's. Every file must have what is read."""
    source = view.source
    types: dict[str, DType] = dict(source.schema) if source.schema is not None else {}
    if source.schema is None:
        if not tables:
            raise SourceError("FS321", f"source {source.name!r} has no files", hint="schema= if it may be empty")
        for field in tables[0].schema:
            try:
                types[field.name] = from_arrow(field.type)
            except DefinitionError:
                if field.name in view.columns:
                    raise
    for number, table in enumerate(tables):
        for column in view.columns:
            _check_column(source, column, table, types, f"file {number + 1} of source {source.name!r}")
    for column in view.columns:
        _refuse_mixed_zones(source, column, tables)
    return types


def _was_pushed(table: pa.Table) -> bool:
    """Whether a table holds rows that came by push: they alone tell their arrival."""
    return PUSHED_AT in table.column_names


def _completed(view: View, table: pa.Table) -> pa.Table:
    """Pushed rows with NULL in the columns that the source did not have when they came."""
    lacking = [c for c in view.columns if c not in table.column_names]
    for column in lacking:
        table = table.append_column(column, pa.nulls(table.num_rows))
    return table


def _check_column(source: Source, column: str, table: pa.Table, types: Mapping[str, DType], where: str) -> None:
    if _was_pushed(table):  # their times are instants, whatever the files hold
        needed = (*source.row_key, source.event_timestamp)
        if column in (source.event_timestamp, source.created_timestamp) or (
            column not in table.column_names and column not in needed
        ):
            return
    alike = [name for name in table.column_names if name.lower() == column.lower()]
    if len(alike) > 1:
        both = f"{alike[0]!r} and {alike[1]!r}"
        raise SourceError("FS323", f"columns {both} have one name (case does not count)", where=where)
    if column not in types and column not in source.declared_columns:
        what = f"unknown column {column!r}"
        raise DefinitionError("FS203", what, where=where, known=types, hint=nearest(column, types))
    if column not in table.column_names:
        known = table.column_names
        raise SourceError("FS322", f"no column {column!r}", where=where, known=known, hint=nearest(column, known))
    kind = table.schema.field(column).type
    if _folded(kind) != types[column]:
        raise SourceError("FS322", f"column {column!r} is {kind}, not {types[column]}", where=where)


def _folded(kind: pa.DataType) -> DType | None:
    try:
        return from_arrow(kind)
    except DefinitionError:
        return None


def _refuse_mixed_zones(source: Source, column: str, tables: Sequence[pa.Table]) -> None:
    kinds = [plain(table.schema.field(column).type) for table in tables if not _was_pushed(table)]
    naive = {kind.tz is None for kind in kinds if pa.types.is_timestamp(kind)}
    if len(naive) > 1:
        what = f"column {column!r} of source {source.name!r} is naive in one file and aware in another"
        raise SourceError("FS324", what)


def _family(source: Source, column: str, types: Mapping[str, DType]) -> str:
    family = types[column].key_family
    if family is None:
        what = f"join key {column!r} of source {source.name!r} is {types[column]}"
        raise DefinitionError("FS219", what, hint="an integer, text, bool, date or binary column")
    return family


def _refuse_duplicates(view: View, rows: Sequence[Row]) -> None:
    counted = Counter(row.key for row in rows if row.key is not None and row.kept)
    for key, times in counted.items():
        if times > 1:
            named = ", ".join(f"{c}={v!r}" for c, v in zip(view.key_columns, key, strict=True))
            what = f"static source {view.source.name!r} has {times} rows for {named or 'its one key'}"
            raise SourceError("FS308", what, hint="one row per key")


def _evaluator(expression: Expr | None, types: Mapping[str, DType]) -> Callable[[Mapping[str, Any]], Any] | None:
    return None if expression is None else evaluator(expression, types)


class _Reader:
    """Turns the rows of a file into `Row`s, and counts those left out."""

    def __init__(self, view: View, types: Mapping[str, DType]) -> None:
        self.view, self.source = view, view.source
        self.left_out: Counter[str] = Counter()
        self.condition = None if view.condition is None else evaluator(view.condition, types)
        # Columns the source declares count by their meaning (NULL in `deleted` is false), unless a feature reads them too.
        declared = set(self.source.declared_columns) - set(view.input_columns)
        self.last_order = sorted(set(view.value_columns) - declared)
        self.expected = [(e.reason, evaluator(e.passes(types), types)) for e in self.source.quarantine]
        self.expressions = {f.name: _evaluator(f.expression, types) for f in view.features}
        self.conditions = {f.name: _evaluator(f.where, types) for f in view.features}

    def reading(self, column: str) -> Reading:
        s = self.source
        return Reading(s.zone_of(column), late=True, date_is=s.date_is, unit=s.time_unit, text=s.time_format)

    def rows(self, table: pa.Table) -> list[Row]:
        source, count = self.source, table.num_rows
        columns = {c: read_values(table.column(c), self.reading(c)) for c in self.view.columns}
        keys = read_keys([table.column(c) for c in self.view.key_columns], count, self.reading(""))
        events = self._times(table, source.event_timestamp)
        created = self._times(table, source.created_timestamp)
        arrivals = self._times(table, PUSHED_AT if _was_pushed(table) else None)
        if source.deleted and table.num_rows and not all(isinstance(d, bool | None) for d in columns[source.deleted]):
            raise DefinitionError("FS219", f"column {source.deleted!r} of source {source.name!r} is not bool")
        by_row = [{c: values[i] for c, values in columns.items()} for i in range(count)]
        known = [self._known(*times) for times in zip(events, created, arrivals, strict=True)]
        return [self._row(*parts) for parts in zip(by_row, keys, events, known, strict=True) if not self._set_aside(parts[0])]

    def _set_aside(self, values: Mapping[str, Any]) -> bool:
        """Whether a row is not as expected: then it is no row, to anyone."""
        reason = next((reason for reason, passes in self.expected if passes(values) is not True), None)
        if reason is not None:
            self.left_out[f"quarantined: {reason}"] += 1
        return reason is not None

    def _times(self, table: pa.Table, column: str | None) -> list[tuple[int | None, str]]:
        """(instant or None, why none) per row. Raises: DefinitionError FS219 for a column that holds no times."""
        if column is None:
            return [(None, "null")] * table.num_rows
        reading, kind = self.reading(column), table.schema.field(column).type
        if not reading.can_read(kind):
            option = "time_unit" if pa.types.is_integer(plain(kind)) else "time_format"
            what = f"column {column!r} of source {self.source.name!r} is {kind}, which alone is no time"
            raise DefinitionError("FS219", what, hint=f"{option}=…")
        return [self._in_range(reading.instant(scalar)) for scalar in table.column(column)]

    def _in_range(self, instant: int | None) -> tuple[int | None, str]:
        first, end = self.source.time_range
        if instant is None:
            return None, "null"
        return (instant, "") if first <= instant < end else (None, "out_of_range")

    def _row(
        self, values: Mapping[str, Any], key: Key | None, event: tuple[int | None, str], known: tuple[int | None, str]
    ) -> Row:
        source = self.source
        e, event_missing = event
        k, known_missing = known
        row_key = tuple(rank(values[c]) for c in source.row_key) if source.row_key else None
        if row_key is not None and any(values[c] is None for c in source.row_key):
            row_key = None
        self._count(event_missing, known_missing, key, row_key)
        deleted = bool(source.deleted and values[source.deleted])
        first = rank(values[source.row_order]) if source.row_order else None
        order = (first, rank(k), rank(e), deleted, tuple(rank(values[c]) for c in self.last_order))
        kept = self.condition is None or self.condition(values) is True
        return Row(values, key, e, k, row_key, deleted, order, kept, self._results(values))

    def _known(
        self, event: tuple[int | None, str], created: tuple[int | None, str], arrival: tuple[int | None, str]
    ) -> tuple[int | None, str]:
        """The known time k: of a pushed row its arrival, else the created time, or e + delay where there is none and the
        source says so."""
        source = self.source
        if arrival != (None, "null"):
            return arrival
        if source.created_timestamp and (created[0] is not None or source.created_null == "never"):
            return created
        return (None, event[1]) if event[0] is None else (event[0] + source.known_delay.micros, "")

    def _count(self, event_missing: str, known_missing: str, key: Key | None, row_key: Any) -> None:
        """Count a row left out, under its first reason. A version is out only if never known or without row key."""
        source = self.source
        facts_alone = not source.static and not source.row_key
        reasons = [
            (facts_alone and event_missing, f"event_time_{event_missing}"),
            (not source.static and known_missing, f"known_time_{known_missing}"),
            (not source.row_key and key is None, "key_null"),
            (source.row_key and row_key is None, "row_key_null"),
        ]
        for applies, reason in reasons:
            if applies:
                self.left_out[reason] += 1
                return

    def _results(self, values: Mapping[str, Any]) -> dict[str, Any]:
        results = {}
        for name, expression in self.expressions.items():
            condition = self.conditions[name]
            counted = condition is None or condition(values) is True
            results[name] = (True if expression is None else expression(values)) if counted else None
        return results
