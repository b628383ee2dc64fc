"""Write rows to a Delta or Iceberg table in one commit: all of them, in place of those they replace, or nothing.

Decides how a commit is made and what it must not do: rows of other columns than the table's are refused before anything is
written, and a commit that another writer came before is given up. What is written, and when, is for others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.dtypes import from_arrow
from featurestore.errors import DataError, FeatureStoreError, StoreError
from featurestore.sources import delta_log, iceberg_table
from featurestore.sources.table_files import named
from featurestore.sources.without_secrets import plain

_ROWS_AT_ONCE = 1 << 20
_OVERTAKEN = ("CommitFailedException", "TableAlreadyExistsError", "ValidationException")
Replace = Mapping[str, Sequence[Any]]
"""Column -> values: rows that have one of them in each of the columns are replaced."""


def write_delta(
    path: str,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    *,
    root: Path,
    partition_by: Sequence[str] = (),
    replace: Replace | None = None,
) -> dict[str, Any]:
    """Append rows to a Delta table, which is made if there is none, or put them in place of those that `replace` names.

    Args: path: a URL, or relative to root. partition_by: of a new table. replace: the rows written are of these values too.
    Returns: {"delta": path, "version": of the commit, "table": id}, as the state of a source has it.
    Raises: DataError FS373 (the table has other columns), FS374 (another writer came before; nothing is written);
        SourceError FS368, FS370; StoreError FS480, FS481.
    """
    delta, name, place = delta_log.library("deltalake"), named(path, root), delta_log.uri(path, root)
    options, rows = delta_log.storage_options(), _Rows(batches)
    known = _there(lambda: delta_log.loaded(name, None, root, ""))
    if known is not None:
        _check_columns(pa.schema(known.schema()), schema, name)
    new = known is None or replace is None
    how = {"mode": "append"} if new else {"mode": "overwrite", "predicate": _predicate(replace or {})}
    with rows.as_they_failed(), _delta_errors(delta, name):
        stream = pa.RecordBatchReader.from_batches(schema, rows)
        by = list(partition_by) if known is None and partition_by else None
        delta.write_deltalake(known or place, stream, partition_by=by, storage_options=options, **how)
    made = known or delta_log.loaded(name, None, root, "")
    return {"delta": name, "version": made.version(), "table": made.metadata().id}


class _Rows:
    """Batches on their way through a library that would reword what stops them, and must not be called by what makes them: that
    runs in a thread of its own."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches, self._failed = batches, list[BaseException]()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batches = iter(self._batches)
        with ThreadPoolExecutor(1) as thread:
            try:
                while (batch := thread.submit(next, batches, None).result()) is not None:
                    yield batch
            except BaseException as error:
                self._failed.append(error)
                raise

    @contextmanager
    def as_they_failed(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            if self._failed:
                raise self._failed[0] from None
            raise


@contextmanager
def _delta_errors(delta: Any, name: str) -> Iterator[None]:
    try:
        yield
    except delta.exceptions.CommitFailedError as error:
        raise _overtaken(f"Delta table {name}", plain(error)) from None
    except (delta.exceptions.DeltaError, OSError) as error:
        raise _unwritten(f"Delta table {name}", plain(error)) from None


def _predicate(replace: Replace) -> str:
    tests = []
    for column, values in replace.items():
        quoted = '"' + column.replace('"', '""') + '"'
        tests.append(f"{quoted} IN ({', '.join(map(_literal, values))})" if values else "false")
    return " AND ".join(tests)


def _literal(value: Any) -> str:
    if isinstance(value, date | str):  # a datetime is a date
        text = value if isinstance(value, str) else value.isoformat()
        return "'" + text.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_iceberg(
    table: str,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    *,
    catalog: str = "default",
    partition_by: Sequence[str] = (),
    replace: Replace | None = None,
) -> dict[str, Any]:
    """Append rows to an Iceberg table, which is made if there is none, or put them in place of those that `replace` names.

    Args: table: with its namespace. partition_by: of a new table, by the values of these columns.
    Returns: the table, its catalog and the snapshot of the commit, as the state of a source has it.
    Raises: DataError FS373 (the table has other columns), FS374 (another writer came before; nothing is written);
        SourceError FS368, FS370; StoreError FS480, FS481.
    """
    name, rows = f"{catalog}.{table}", _Rows(batches)
    known = _there(lambda: iceberg_table.loaded(table, catalog, "", writing=True))
    if known is not None:
        _check_columns(iceberg_table.library("io.pyarrow").schema_to_pyarrow(known.schema()), schema, name)
    with rows.as_they_failed(), _iceberg_errors(name, catalog):
        made = iceberg_table.beginning(table, catalog, schema, partition_by) if known is None else known.transaction()
        with made as transaction:
            if replace is not None and known is not None:
                _delete(transaction, replace)
            for some in _tables(rows, schema):
                transaction.append(some)
    written = known or iceberg_table.loaded(table, catalog, "")
    snapshot = written.current_snapshot()
    return {
        "iceberg": table, "catalog": catalog, "snapshot": None if snapshot is None else snapshot.snapshot_id,
        "schema": written.schema().schema_id, "table": str(written.metadata.table_uuid),
    }  # fmt: skip


def _there(load: Callable[[], Any]) -> Any:
    """The table, None if there is none."""
    try:
        return load()
    except FeatureStoreError as error:
        if error.code != "FS367":
            raise
        return None


@contextmanager
def _iceberg_errors(name: str, catalog: str) -> Iterator[None]:
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:  # what catalogs raise may be anything
        reason = plain(error, iceberg_table.configured(catalog))
        overtaken = type(error).__name__ in _OVERTAKEN
        raise (_overtaken if overtaken else _unwritten)(f"Iceberg table {name}", reason) from None


def _delete(transaction: Any, replace: Replace) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Delete operation did not match any records")  # there is nothing yet to replace
        transaction.delete(_filter(replace))


def _filter(replace: Replace) -> Any:
    expressions = iceberg_table.library("expressions")
    found = expressions.AlwaysTrue()
    for column, values in replace.items():
        told = [value.isoformat() if isinstance(value, datetime | date) else value for value in values]
        found = expressions.And(found, expressions.In(column, told) if told else expressions.AlwaysFalse())
    return found


def _tables(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows, so many at a time as memory bears: one commit takes any number of such pieces."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(held, schema=schema)
            held = []
    if any(b.num_rows for b in held):
        yield pa.Table.from_batches(held, schema=schema)


def _check_columns(known: pa.Schema, given: pa.Schema, name: str) -> None:
    """Raises: DataError FS373. A table's own reader would cast what it can, and leave out what it does not know."""
    before, now = ({field.name: from_arrow(field.type) for field in schema} for schema in (known, given))
    for column in dict.fromkeys([*before, *now]):
        if before.get(column) != now.get(column):
            what = f"table {name} has column {column!r} as {before.get(column, 'none')}, and what is written to it as "
            hint = "another table, or change the table by the engine that keeps it"
            raise DataError("FS373", what + str(now.get(column, "none")), where=name, hint=hint)


def _overtaken(table: str, reason: str) -> DataError:
    what = f"{table} was written by another meanwhile, and nothing was written to it: {reason}"
    return DataError("FS374", what, hint="run again")


def _unwritten(table: str, reason: str) -> StoreError:
    return StoreError("FS481", f"{table} cannot be written: {reason}", hint="access to its storage and its catalog")
