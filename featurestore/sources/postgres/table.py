"""A table, view or query in a snapshot: its columns, its rows and what is known of them without reading any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from featurestore.definitions import PostgresSource
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.intervals import format_instant, parse_instant
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources.extent import Extent
from featurestore.sources.parts import ScannedPart
from featurestore.sources.postgres.address import Address
from featurestore.sources.postgres.columns import UTC, Column, column, literal, quoted, refused
from featurestore.sources.postgres.snapshot import Snapshot
from featurestore.sources.reading import forget, shared

_FIRST, _LAST = parse_instant("0001-01-01T00:00:00Z"), parse_instant("9999-12-31T00:00:00Z")
_ATTEMPTS = 3
_ENUMERATIONS = "SELECT DISTINCT typname FROM pg_type WHERE typtype = 'e'"
_LOCKED = "pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'"
_NOT_OF_THE_SNAPSHOT = f"""
SELECT c.oid::regclass::text AS name FROM {_LOCKED}
AND c.relkind IN ('r', 'm') AND c.relfilenode <> 0 AND c.relfilenode <> pg_relation_filenode(c.oid)
UNION ALL
SELECT t.relid::regclass::text FROM {_LOCKED.replace(" WHERE", " CROSS JOIN LATERAL pg_partition_tree(c.oid) t WHERE")}
AND c.relkind = 'p' AND t.parentrelid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = t.relid)
"""
"""What a snapshot does not hold fast: a table that was emptied or rewritten (its old rows are gone), and a partition that was
attached (its rows may be old). Both are seen by the catalogue of now differing from that of the snapshot."""


class PostgresPart(ScannedPart):
    """The rows of one source in a snapshot, which this keeps open."""

    def __init__(self, source: PostgresSource, snapshot: Snapshot, described: pa.Schema) -> None:
        self._keep("_source", source)
        self._keep("_snapshot", snapshot)
        self._keep("_extents", {})
        enumerations = set(snapshot.table(_ENUMERATIONS, "the catalogue")["typname"].to_pylist())
        read = {field.name: column(field, enumerations) for field in described}
        self._keep("_columns", {name: found for name, found in read.items() if found is not None})
        self._keep("_refused", {f.name: refused(f, source.place_there, source.place) for f in described if not read[f.name]})
        self._keep("name", source.place_there)
        types = [pa.field(f.name, pa.null() if read[f.name] is None else self._columns[f.name].type) for f in described]
        self._keep("schema", pa.schema(types))

    _source: PostgresSource
    _snapshot: Snapshot
    _columns: Mapping[str, Column]
    _refused: Mapping[str, FeatureStoreError]
    _extents: dict[str, Extent]

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def refused(self) -> Mapping[str, FeatureStoreError]:
        return self._refused

    @cached_property
    def rows(self) -> int:
        return int(self._asked("count(*) AS rows")["rows"])

    @cached_property
    def entry(self) -> Mapping[str, Any]:
        """How many rows, and a digest of all they hold, whatever their order: the same only if no row has changed. Two sums of
        64-bit hashes of the rows as text."""
        once = f'(SELECT (facts.*)::text COLLATE "C" AS row FROM {relation(self._source)} AS facts OFFSET 0)'  # each row's text
        sums = ", ".join(f"sum(hashtextextended(row, {seed}))::text AS sum_{seed}" for seed in (0, 1))
        found = self._asked(f"current_database()::text AS database, count(*) AS rows, {sums}", once)
        self._keep("rows", found["rows"])
        told = {"postgres": self.name, "database": found["database"], "rows": found["rows"]}
        if self._source.query is not None:
            told["query"] = hashlib.sha256(self._source.query.encode()).hexdigest()
        columns = [(field.name, str(field.type)) for field in self.schema]
        digest = hashlib.sha256(f"{found['sum_0']} {found['sum_1']} {columns}".encode()).hexdigest()
        return {**told, "digest": digest}

    def check(self) -> None:
        check(self._snapshot, self._source)

    def extents(self, columns: Sequence[str]) -> Mapping[str, Extent]:
        """How many NULLs, and for whole numbers and instants the ends, by statements that give one row."""
        missing = [c for c in columns if c not in self._extents]
        if missing:
            found = self._asked(
                ", ".join(["count(*) AS rows", *(_extent_of(self._columns[c], i) for i, c in enumerate(missing))])
            )
            self._keep("rows", found["rows"])
            self._extents.update({c: _extent(found, i) for i, c in enumerate(missing)})
        return {c: self._extents[c] for c in columns}

    def _asked(self, items: str, of: str | None = None) -> dict[str, Any]:
        """One row. of: what it is asked of, the relation itself unless said."""
        row = self._snapshot.table(f"SELECT {items} FROM {of or relation(self._source)} AS facts", self.name)
        return {name: _number(row[name])[0].as_py() for name in row.column_names}

    def _batches(self, columns: Sequence[str], batch_rows: int, needed: Needed) -> Iterator[pa.RecordBatch]:
        """All rows come in the order in which a table has them, which is the same each time: rows are known by their number."""
        read, all_rows = [self._columns[c] for c in columns], needed == EVERYTHING
        items = [f"{self._expression(c)} AS {quoted(c.name)}" for c in read]
        if all_rows and not self._is_table:
            items += [quoted(name) for name in self._columns if name not in columns]
        sql = f"SELECT {', '.join(items) or 'NULL'} FROM {relation(self._source)} AS facts{self._where(needed)}"
        schema = pa.schema([self.schema.field(c) for c in columns])
        for batch in self._snapshot.batches(sql, self.name, as_it_lies=all_rows and self._is_table):
            arrays = [column.read(_plain(batch.column(i))) for i, column in enumerate(read)]
            whole = pa.RecordBatch.from_arrays(arrays, schema=schema) if arrays else batch.select([])
            for start in range(0, batch.num_rows, batch_rows):
                yield whole.slice(start, batch_rows)
        check(self._snapshot, self._source)

    @cached_property
    def _is_table(self) -> bool:
        """Whether its rows come as they lie. What a view or query gives the planner may order by which columns are asked
        for, so those are asked for all."""
        if self._source.query is not None:
            return False
        kind = f"SELECT relkind::text AS kind FROM pg_class WHERE oid = {literal(relation(self._source))}::regclass"
        return self._snapshot.table(kind, self.name)["kind"][0].as_py() in ("r", "p", "m")

    def _expression(self, column: Column) -> str:
        return column.as_time if column.name in self._source.time_columns else column.asked

    def _where(self, needed: Needed) -> str:
        bounds = [
            (self._source.event_timestamp, ">=", needed.event_from),
            (self._source.event_timestamp, "<=", needed.event_to),
            (self._source.created_timestamp, "<=", needed.created_to),
        ]
        tests = [self._test(name, sign, at) for name, sign, at in bounds if name is not None and at is not None]
        kept = [test for test in tests if test]
        return f" WHERE {' AND '.join(kept)}" if kept else ""

    def _test(self, name: str, sign: str, at: int) -> str:
        """A test of the column as it lies, so that an index serves it; "" for times that must be converted first, or lie
        beyond what can be written."""
        kind = self.schema.field(name).type
        if not _FIRST <= at < _LAST:
            return ""
        if kind == UTC:
            return f"{quoted(name)} {sign} timestamptz {literal(format_instant(at))}"
        if kind == pa.timestamp("us") and self._source.zone_of(name) == "UTC":
            return f"{quoted(name)} {sign} timestamp {literal(format_instant(at).removesuffix('Z'))}"
        return ""


def relation(source: PostgresSource) -> str:
    """What stands after FROM. A query may end in a comment."""
    return f"({source.query}\n)" if source.table is None else ".".join(map(quoted, source.table))


def opened(source: PostgresSource, there: Address) -> PostgresPart:
    """The source as its database has it now, or had it when the task began that reads it; of a moment somewhat later if the
    table was rewritten just then.

    Raises: SourceError FS376, FS379, StoreError FS475 to FS477, FS480.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        snapshot, is_new = shared(there, lambda: Snapshot(there, source.place), Snapshot.close)
        described = snapshot.schema(f"{relation(source)} AS facts", source.place_there)
        try:
            check(snapshot, source)
        except SourceError:
            if not is_new or attempt == _ATTEMPTS:
                raise
            forget(there)
            continue
        return PostgresPart(source, snapshot, described)
    raise AssertionError("unreachable")


def check(snapshot: Snapshot, source: PostgresSource) -> None:
    """Raises: SourceError FS379 if a table that is read has been rewritten, or has got other partitions, since the snapshot."""
    for name in snapshot.table(_NOT_OF_THE_SNAPSHOT, source.place_there)["name"].to_pylist():
        what = f"{name} was rewritten, or attached as a partition, while {source.place_there} was read"
        raise SourceError("FS379", what, where=source.place, hint="run again")


def _number(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants as microseconds: Python's own reach no further than the year 9999."""
    return array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array


def _plain(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _extent_of(column: Column, i: int) -> str:
    """Infinite times are NULL, as they are where they are read."""
    value = column.as_time if pa.types.is_timestamp(column.type) else quoted(column.name)
    nulls = f"count(*) - count({value}) AS nulls_{i}"
    if not (pa.types.is_timestamp(column.type) or pa.types.is_integer(column.type)):
        return nulls
    return f"{nulls}, min({value}) AS least_{i}, max({value}) AS greatest_{i}"


def _extent(found: Mapping[str, Any], i: int) -> Extent:
    nulls = found[f"nulls_{i}"]
    if nulls == found["rows"]:
        return Extent(nulls, ())
    return Extent(nulls, (found[f"least_{i}"], found[f"greatest_{i}"]) if f"least_{i}" in found else None)
