"""What a pushed row changes online: the facts it brings, and those of the records that it takes the place of.

A generation says as data (`rules`) what makes a fact of a row, so that a server needs no definitions. Rows are applied in the
order of their log, none left out, and twice is as good as once. The newest version of a row is in force, as offline: by
row_order, then by known time. Nothing is computed from sources: what a change means at an instant is told when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from featurestore import trees
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import BOOL, TIMESTAMP, DType, parse_dtype
from featurestore.engines.reference.evaluate import DAY_CASTS, evaluator
from featurestore.engines.reference.order import canonical
from featurestore.errors import StoreError
from featurestore.expressions import Expr
from featurestore.expressions import columns as columns_of
from featurestore.online import tables
from featurestore.online.codec import encode_keys, plain_values, storage_keys
from featurestore.online.generations import Generation, push_codec
from featurestore.online.order import ranked
from featurestore.online.pushes import FACT, MARK, TAKEN, UNSURE, Change, Mark, Version, row_keys
from featurestore.online.store import Batch, Snapshot
from featurestore.plan.nodes import OnlineState, StaticLookup, chain_of, measures

_AT_ONCE = 10_000
MOST = 10_000
"""Changes of one key that are told with each look-up. Beyond, the key is unsure until the next run."""
Columns = Mapping[str, list[Any]]


def rules(plan: OnlineState) -> dict[str, Any]:
    """What makes a fact of a row, as data; empty where rows cannot be pushed, or only the next run can tell what they mean.

    That is so of features and keys that read the event or created timestamp where files do not keep it as an instant, and of
    lists in row_order and row_key.
    """
    if isinstance(plan.facts, StaticLookup):
        return {}
    facts, versions, where = chain_of(plan.facts)
    if versions is None:
        return {}
    source, types = facts.rows.source, {c.name: c.dtype for c in facts.rows.columns}
    order = source.row_order
    values = [o.expression for o in plan.latest] + [e for m in measures(plan.windows) for e in (m.expression, m.where)]
    kept_if = [passes for _, passes in facts.rows.kept_if]
    read = {c for e in (*values, where, *kept_if) if e is not None for c in columns_of(e)}
    read |= {*source.row_key, *(key.source_column for key in facts.keys), *([order] if order else [])}
    times = read & {source.event_timestamp, source.created_timestamp}
    compared = [types[c] for c in (*source.row_key, *([order] if order else []))]
    if any(types[c] != TIMESTAMP for c in times) or any(dtype.is_list for dtype in compared):
        return {}
    return {
        "types": {c: types[c].name for c in sorted(read)},
        "event": source.event_timestamp,
        "deleted": source.deleted,
        "row_key": list(source.row_key),
        "row_order": None if order is None else [order, types[order].name],
        "keys": [[key.source_column, key.dtype.key_family] for key in facts.keys],
        "where": _data(where),
        "latest": [_data(o.expression) for o in plan.latest],
        "measures": [[_data(m.expression), _data(m.where)] for m in measures(plan.windows)],
        **({"kept_if": [_data(passes) for passes in kept_if]} if kept_if else {}),
    }


def _data(expression: Expr | None) -> dict[str, Any] | None:
    return None if expression is None else trees.to_data(expression)


class _Pushed(NamedTuple):
    """One row that was pushed. version: as the store keeps it; latest, measures: its values, if it is a fact."""

    row: bytes
    version: Version
    latest: tuple[Any, ...]
    measures: tuple[Any, ...]


class _Rules:
    """Reads rows of a push log by a generation's rules."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._types = {c: parse_dtype(t) for c, t in given["types"].items()}
        self._keys = [c for c, _ in given["keys"]], [family for _, family in given["keys"]]
        self._holds = self._condition(given["where"])
        self._kept_if = [self._condition(tree) for tree in given.get("kept_if", ())]
        self._latest = [self._value(tree) for tree in given["latest"]]
        self._measures = [self._measure(*trees_of) for trees_of in given["measures"]]
        order = given["row_order"]
        self._rank = None if order is None else ranked(self._types[order[0]])

    def _value(self, tree: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
        return evaluator(trees.from_data(tree), self._types, DAY_CASTS)

    def _condition(self, tree: Mapping[str, Any] | None) -> Callable[[Mapping[str, Any]], bool]:
        if tree is None:
            return lambda row: True
        value = self._value(tree)
        return lambda row: value(row) is True

    def _measure(self, tree: Mapping[str, Any] | None, where: Mapping[str, Any] | None) -> Callable[[Mapping[str, Any]], Any]:
        counted, value = self._condition(where), (lambda row: True) if tree is None else self._value(tree)
        return lambda row: value(row) if counted(row) else None

    def rank(self, version: Version) -> Any:
        """What orders the versions of one row."""
        order = version.order
        first = (0,) if order is None else (1, order if self._rank is None else self._rank(order))
        return first, version.known

    def rows(self, table: pa.Table) -> Iterator[_Pushed]:
        """The rows of a table as a push log gives them, in order."""
        given, types = self._given, self._types
        for needed in (given["event"], *given["row_key"]):
            if needed not in table.column_names:
                what = f"rows of the push log lack the column {needed!r} of the view's last generation"
                raise StoreError("FS440", what, hint="featurestore materialize")
        present = {c: table.column(c) if c in table.column_names else pa.nulls(table.num_rows) for c in types}
        values = {c: values_of(column, types[c]) for c, column in present.items()}
        columns, families = self._keys
        keys = storage_keys(encode_keys([present[c] for c in columns], families, rows=table.num_rows)).to_pylist()
        of_rows = row_keys([_as_arrow(values[c], present[c]) for c in given["row_key"]], [types[c] for c in given["row_key"]])
        known = table.column(PUSHED_AT).cast(pa.int64()).to_pylist()
        events = table.column(given["event"]).cast(pa.int64()).to_pylist()
        gone = [False] * table.num_rows
        if given["deleted"] in table.column_names:
            gone = table.column(given["deleted"]).to_pylist()
        orders = [None] * table.num_rows if given["row_order"] is None else values[given["row_order"][0]]
        for i, row in enumerate(of_rows.to_pylist()):
            at = {c: column[i] for c, column in values.items()}
            if not all(passes(at) for passes in self._kept_if):
                continue  # it was pushed before this was expected, and is set aside as it would be in a file
            is_fact = keys[i] is not None and events[i] is not None and gone[i] is not True and self._holds(at)
            version = Version(0, events[i] or 0, keys[i] if is_fact else None, known[i], orders[i])
            latest, measured = (tuple(of(at) for of in part) if is_fact else () for part in (self._latest, self._measures))
            yield _Pushed(row, version, latest, measured)


def values_of(column: pa.Array | pa.ChunkedArray, dtype: DType) -> list[Any]:
    """As an expression reads them: canonical; times and dates are numbers, truth values are not."""
    has_bools = (dtype.item if dtype.is_list else dtype) == BOOL
    return _canonical(column.to_pylist() if has_bools else plain_values(column, dtype))


def _canonical(values: list[Any]) -> list[Any]:
    return [_canonical(value) if isinstance(value, list) else canonical(value) for value in values]


def _as_arrow(values: list[Any], column: pa.ChunkedArray) -> pa.Array:
    """A column again, its floats canonical."""
    if pa.types.is_floating(column.type):
        return pa.array(values, column.type)
    return column.combine_chunks()


def mark_of(batch: Batch | Snapshot, made: Generation) -> Mark:
    """How far the log of its source has been applied to a generation."""
    (stored,) = batch.get(tables.pushed_to(made.name, made.number), [MARK])
    return Mark(made.log, made.applied) if stored is None else Mark.from_bytes(stored)


def apply(batch: Batch, made: Generation, rows: Iterable[pa.Table], mark: Mark) -> None:
    """Apply rows of the log, all that come after `mark_of` up to `mark`, to what stands beside a generation's records."""
    applying = _Applying(batch, made)
    for table in rows:
        for at in range(0, table.num_rows, _AT_ONCE):
            applying.apply(table.slice(at, _AT_ONCE))
    batch.put(applying.table, [(MARK, mark.to_bytes())])


def forget(batch: Batch, made: Generation, is_theirs: Callable[[bytes], bool]) -> set[bytes]:
    """Take keys out of what was pushed to a generation. A row that was theirs last is nobody's from then on; whose it was in
    the records, if another's, is unsure. Returns: the storage keys that changes were kept of."""
    table, codec = tables.pushed_to(made.name, made.number), push_codec(made)
    keys, rows = set[bytes](), dict[bytes, Version]()
    for key, stored in batch.scan(table):
        if tables.is_row(key):
            version = codec.pushed_row(bytes(stored))
            if version.key is not None and is_theirs(version.key):
                rows[bytes(key)] = version
        elif key != MARK and is_theirs(bytes(key)):
            keys.add(bytes(key))
    applying = _Applying(batch, made)
    applying.give_up(rows, is_theirs)
    batch.delete(table, keys)
    return keys


class _Applying:
    def __init__(self, batch: Batch, made: Generation) -> None:
        self._batch, self._made, self._rules = batch, made, _Rules(made.push)
        self._codec = push_codec(made)
        self._none = (None,) * len(made.push["latest"]), (None,) * len(made.push["measures"])
        self.table = tables.pushed_to(made.name, made.number)
        self._current: dict[bytes, Version] = {}
        self._changes: dict[bytes, tuple[int, list[Change]]] = {}
        self._changed = set[bytes]()

    def apply(self, rows: pa.Table) -> None:
        pushed = list(self._rules.rows(rows))
        of_rows = list(dict.fromkeys(one.row for one in pushed))
        self._base = self._read(tables.rows_of(self._made.table), of_rows, self._codec.row)
        self._current = self._read(self.table, of_rows, self._codec.pushed_row)
        named = [*(one.version for one in pushed), *self._base.values(), *self._current.values()]
        keys = list(dict.fromkeys(version.key for version in named if version.key is not None))
        self._changes = self._read(self.table, keys, self._codec.changes)
        self._changed = set()
        for one in pushed:
            self._take(one)
        self._put()

    def give_up(self, rows: Mapping[bytes, Version], is_theirs: Callable[[bytes], bool]) -> None:
        """Make rows nobody's."""
        found = self._read(tables.rows_of(self._made.table), list(rows), self._codec.row).values()
        others = [base.key for base in found if base.key is not None and base.flags and not is_theirs(base.key)]
        self._changes, self._changed = self._read(self.table, others, self._codec.changes), set()
        for row, version in rows.items():
            self._current[row] = version._replace(key=None, event=0)
        for key in others:
            self._add(key, max(version.known for version in rows.values()), UNSURE, b"")
        self._put()

    def _put(self) -> None:
        items = [(key, self._codec.encode_changes(*self._kept(key))) for key in sorted(self._changed)]
        items += [(row, self._codec.encode_pushed_row(version)) for row, version in sorted(self._current.items())]
        self._batch.put(self.table, items)

    def _read(self, table: str, keys: list[bytes], decode: Callable[[bytes], Any]) -> dict[bytes, Any]:
        found = zip(keys, self._batch.get(table, keys), strict=True)
        return {key: decode(bytes(stored)) for key, stored in found if stored is not None}

    def _take(self, one: _Pushed) -> None:
        """Put one row in the place of its versions before, unless one of those is newer."""
        version, rank = one.version, self._rules.rank
        base, current = self._base.get(one.row), self._current.get(one.row)
        if current is not None and rank(current) >= rank(version):
            return
        if version.known < self._made.watermark:  # two clocks: a version in the records may be the newer one
            for other in (version, current, base):
                if other is not None and other.key is not None:
                    self._add(other.key, version.known, UNSURE, one.row)
        if base is not None and rank(base) > rank(version):
            return
        if current is not None and current.key is not None:
            self._end(current.key, one.row, version.known)
        elif current is None and base is not None and base.flags:
            event, known = base.event, base.known
            self._add(base.key, version.known, TAKEN | base.flags, one.row, event, known, measures=base.measures)
        if version.key is not None:
            self._add(version.key, version.known, FACT, one.row, version.event, version.known, one.latest, one.measures)
        self._current[one.row] = version

    def _add(
        self, key: bytes, arrival: int, flags: int, row: bytes, event: int = 0, known: int = 0,
        latest: tuple[Any, ...] | None = None, measures: tuple[Any, ...] | None = None,
    ) -> None:  # fmt: skip
        values = self._none[0] if latest is None else latest, self._none[1] if measures is None else measures
        self._of(key, arrival).append(Change(flags, event, row, arrival, None, known, *values))

    def _end(self, key: bytes, row: bytes, arrival: int) -> None:
        changes = self._of(key, arrival)
        for i, change in enumerate(changes):
            if change.flags == FACT and change.row == row and change.until is None:
                changes[i] = change._replace(until=arrival)

    def _of(self, key: bytes, arrival: int) -> list[Change]:
        newest, changes = self._changes.get(key, (arrival, []))
        self._changes[key] = max(newest, arrival), changes
        self._changed.add(key)
        return changes

    def _kept(self, key: bytes) -> tuple[int, list[Change]]:
        """The changes to a key that some answer may still need: nobody asks as of an instant before the newest arrival. A key
        with too many to be read with each look-up is unsure."""
        newest, changes = self._changes[key]
        kept = [change for change in changes if change.until is None or change.until >= newest]
        unsure = [change for change in kept if change.flags & UNSURE][:1]
        if len(kept) > MOST and not unsure:
            unsure = [Change(UNSURE, 0, b"", newest, None, newest, *self._none)]
        return newest, unsure or kept


__all__ = ["MOST", "apply", "forget", "mark_of", "rules", "values_of"]
