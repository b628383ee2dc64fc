"""Two training sets compared, cell by cell, and what can explain that they differ, from their manifests.

Decides which rows belong together, what is counted, and to which cause a column's cells are put down. When two cells are the
same is the business of `cells`, what went in of `changes`, the matching of rows of `rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.cells import differing, plain, plain_type
from featurestore.audit.change import Change
from featurestore.audit.changes import Origins, changes, spine_columns
from featurestore.audit.rows import ROW, Pairs, Rows, by_keys, by_position, open_rows, same_columns
from featurestore.errors import DataError, UsageError
from featurestore.progress import Progress, Watcher
from featurestore.retrieval.manifest import Recorded, read
from featurestore.retrieval.output import manifest_path
from featurestore.sources import folders

EXAMPLES = 5
"""Cells shown of a column, and rows shown of those in one set only."""
UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Side:
    """One of the two: its rows, if the file is there, and its manifest, if it has one."""

    name: str
    rows: Rows | None
    manifest: Mapping[str, Any] | None
    tampered: Change | None = None

    @property
    def held(self) -> Rows:
        assert self.rows is not None
        return self.rows


@dataclass
class Column:
    """A column's cells that differ: how many, what can explain it, some of them."""

    cells: int = 0
    causes: list[str] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {"cells": self.cells, "causes": self.causes, "examples": self.examples}


@dataclass
class Difference:
    """What was found. matched_by: "position", the columns by which rows were matched, or None where only manifests could be
    compared. columns: those with cells that differ. types: {column: (its type in A, in B)} where they differ.
    columns_only_a, columns_only_b: {column: what explains it}. changes: what went in otherwise."""

    a: str
    b: str
    changes: list[Change] = field(default_factory=list)
    matched_by: str | list[str] | None = None
    matched: int = 0
    only_a: int = 0
    only_b: int = 0
    rows_only_a: list[dict[str, Any]] = field(default_factory=list)
    rows_only_b: list[dict[str, Any]] = field(default_factory=list)
    columns_only_a: dict[str, list[str]] = field(default_factory=dict)
    columns_only_b: dict[str, list[str]] = field(default_factory=dict)
    types: dict[str, tuple[str, str]] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    content: bool | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """The same rows, columns and cells; of two manifests without sets, the same content by their hashes."""
        if self.matched_by is None:
            return bool(self.content)
        return not (self.only_a or self.only_b or self.columns_only_a or self.columns_only_b or self.types or self.columns)

    @property
    def cells(self) -> int:
        return sum(column.cells for column in self.columns.values())

    @property
    def causes(self) -> dict[str, dict[str, int]]:
        """{cause: {"columns", "cells": how many it can explain}}; a cell is counted with each cause that can."""
        found: dict[str, dict[str, int]] = {}
        for column in self.columns.values():
            for cause in column.causes:
                counted = found.setdefault(cause, {"columns": 0, "cells": 0})
                counted["columns"] += 1
                counted["cells"] += column.cells
        return found

    def to_dict(self) -> dict[str, Any]:
        rows = {"matched": self.matched, "only_a": self.only_a, "only_b": self.only_b,
                "examples_only_a": self.rows_only_a, "examples_only_b": self.rows_only_b}  # fmt: skip
        columns = {"only_a": self.columns_only_a, "only_b": self.columns_only_b, "types": self.types}
        return {
            "same": self.same, "a": self.a, "b": self.b, "matched_by": self.matched_by, "rows": rows, "columns": columns,
            "cells": self.cells, "differences": {name: found.to_dict() for name, found in self.columns.items()},
            "causes": self.causes, "changed": [change.to_dict() for change in self.changes], "notes": self.notes,
        }  # fmt: skip


def diff(
    a: Path, b: Path, *, keys: Sequence[str] = (), as_of: str | None = None, folder: Path | None = None,
    watch: Watcher | None = None,
) -> Difference:  # fmt: skip
    """Compare two training sets (Parquet or CSV) or their manifests.

    Rows are matched by position where the spine's columns are the same, else by keys and as_of.

    Args:
        keys, as_of: the columns by which rows are matched, if they are not to be taken from a manifest.
        folder: where rows are dealt out that are not matched by position.
    Raises: DataError FS361, FS362, UsageError FS106, FS152.
    """
    one, other = _side(a), _side(b)
    found = Difference(str(a), str(b))
    _compare_manifests(found, one, other)
    if one.rows is None or other.rows is None:
        _without_rows(found, one, other)
        return found
    _compare_columns(found, one.rows, other.rows)
    compared = [name for name in one.rows.schema.names if name in other.rows.schema.names]
    shown = _keys_of(one, other, keys, as_of)
    for pairs in _pairs(found, one, other, keys, as_of, folder):
        _compare_rows(found, pairs, compared, shown)
        if watch is not None:
            watch(Progress("comparing", found.matched))
    _explain(found, one, other)
    return found


def _side(given: Path) -> Side:
    if given.suffix.lower() == ".json":
        recorded = read(given)
        return _recorded(given.name, recorded)
    if not folders.is_there(given):
        raise DataError("FS361", f"no file {given.name!r}", where=str(given), hint="a training set, or its manifest")
    if manifest_path(given).is_file():
        return _recorded(given.name, read(given))
    return Side(given.name, open_rows(given), None)


def _recorded(name: str, recorded: Recorded) -> Side:
    output, said = recorded.output, recorded.document["output"]["sha256"]
    if not folders.is_there(output):
        return Side(name, None, recorded.document)
    found = folders.identity(output)
    tampered = None if found == said else Change("output", output.name, TAMPERED, said, found, everywhere=True)
    return Side(name, open_rows(output), recorded.document, tampered)


TAMPERED = "it is not the file that its manifest describes"


def _compare_manifests(found: Difference, a: Side, b: Side) -> None:
    found.changes = [side.tampered for side in (a, b) if side.tampered is not None]
    if a.manifest is None or b.manifest is None:
        gone = [side.name for side in (a, b) if side.manifest is None]
        found.notes.append(f"no manifest beside {' and '.join(gone)}: causes cannot be told")
        return
    found.changes += changes(a.manifest, b.manifest)
    found.content = a.manifest["content_hash"] == b.manifest["content_hash"]


def _without_rows(found: Difference, a: Side, b: Side) -> None:
    gone = [side.name for side in (a, b) if side.rows is None]
    if found.content is None:
        what = f"the training set of {gone[0]} is gone, and the other has no manifest: nothing can be compared"
        raise DataError("FS361", what, where=gone[0], hint="the training set beside its manifest")
    said = "the content hashes are the same" if found.content else "the content hashes differ"
    found.notes.append(f"the training set of {' and '.join(gone)} is gone: only manifests were compared; {said}")


def _compare_columns(found: Difference, a: Rows, b: Rows) -> None:
    found.columns_only_a = {name: [] for name in a.schema.names if name not in b.schema.names}
    found.columns_only_b = {name: [] for name in b.schema.names if name not in a.schema.names}
    shared = [name for name in a.schema.names if name in b.schema.names]
    if shared != [name for name in b.schema.names if name in a.schema.names]:
        found.notes.append("the columns stand in another order")
    if a.typed and b.typed:
        kinds = {name: (a.schema.field(name).type, b.schema.field(name).type) for name in shared}
        found.types = {n: (str(x), str(y)) for n, (x, y) in kinds.items() if plain_type(x) != plain_type(y)}


# Which rows belong together.


def _pairs(found: Difference, a: Side, b: Side, keys: Sequence[str], as_of: str | None, folder: Path | None) -> Iterator[Pairs]:
    own = _spine_columns(a, b)
    asked = bool(keys or as_of)
    if not asked and own and same_columns(a.held, b.held, own):
        found.matched_by = "position"
        return by_position(a.held, b.held)
    matched = _keys_of(a, b, keys, as_of)
    if matched:
        found.matched_by = matched
        return by_keys(a.held, b.held, matched, folder)
    if a.held.count() != b.held.count():
        what = "the two have other rows, and no manifest says which columns are the keys"
        raise UsageError("FS152", what, known=a.held.schema.names, hint="--keys customer_id --as-of-column as_of")
    found.matched_by = "position"
    found.notes.append("rows are matched by position: no manifest says which columns are the keys (--keys, --as-of-column)")
    return by_position(a.held, b.held)


def _spine_columns(a: Side, b: Side) -> list[str]:
    """The spine's columns in both. What only one spine has is no reason to match by keys."""
    both = [spine_columns(side.manifest) for side in (a, b) if side.manifest is not None]
    return [name for name in both[0] if name in both[-1]] if both else []


def _keys_of(a: Side, b: Side, keys: Sequence[str], as_of: str | None) -> list[str]:
    """The columns by which rows are matched: as asked, else as a manifest says. Raises: UsageError FS152."""
    matched = list(dict.fromkeys([*keys, *([] if as_of is None else [as_of])])) or _recorded_keys(a, b)
    for side in (a.held, b.held):
        gone = [name for name in matched if name not in side.schema.names]
        if gone and (keys or as_of):
            what = f"{side.path.name} has no column {gone[0]!r} to match rows by"
            raise UsageError("FS152", what, known=side.schema.names, hint="--keys and --as-of-column of both")
        matched = [] if gone else matched
    return matched


def _recorded_keys(a: Side, b: Side) -> list[str]:
    for side in (a, b):
        if side.manifest is not None and "definitions" in side.manifest:
            service = side.manifest["definitions"]["service"]
            instances = (*service["instances"], *service.get("labels", ()))
            columns = [column for instance in instances for column, _ in instance["keys"]]
            return list(dict.fromkeys([*columns, side.manifest["as_of"]["column"]]))
    return []


# Cells.


def _compare_rows(found: Difference, pairs: Pairs, compared: Sequence[str], shown: Sequence[str]) -> None:
    found.matched += pairs.a.num_rows
    for name in compared:
        differ = differing(plain(pairs.a[name]), plain(pairs.b[name]))
        if differ.true_count:
            column = found.columns.setdefault(name, Column())
            column.cells += differ.true_count
            _keep(column.examples, list(_examples(pairs, name, differ, shown)))
    for only, count, kept in (
        (pairs.only_a, "only_a", found.rows_only_a),
        (pairs.only_b, "only_b", found.rows_only_b),
    ):
        if only is not None and only.num_rows:
            setattr(found, count, getattr(found, count) + only.num_rows)
            _keep(kept, [_row(only.slice(i, 1), shown) for i in range(min(EXAMPLES, only.num_rows))])


def _examples(pairs: Pairs, name: str, differ: pa.Array, shown: Sequence[str]) -> Iterator[dict[str, Any]]:
    for at in pc.indices_nonzero(differ)[:EXAMPLES].to_pylist():
        a, b = pairs.a.slice(at, 1), pairs.b.slice(at, 1)
        place = _row(a, shown)
        if b[ROW][0] != a[ROW][0]:
            place["row_b"] = b[ROW][0].as_py()
        yield {**place, "a": _value(a[name]), "b": _value(b[name])}


def _row(row: pa.Table, shown: Sequence[str]) -> dict[str, Any]:
    """Where a row stands: its number, counted from 0, and its keys."""
    return {"row": row[ROW][0].as_py(), "keys": {name: _value(row[name]) for name in shown if name in row.column_names}}


def _value(cell: pa.ChunkedArray) -> Any:
    kind = cell.type
    if pa.types.is_timestamp(kind) and cell[0].is_valid:
        return cell.cast(pa.string())[0].as_py().replace(" ", "T")
    return cell[0].as_py()


def _keep(kept: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    """The first few by their place in A (or B)."""
    kept[:] = sorted([*kept, *more], key=lambda example: example["row"])[:EXAMPLES]


# Causes.


def _explain(found: Difference, a: Side, b: Side) -> None:
    """Put down each column to what can have touched it."""
    sides = [side.manifest for side in (a, b) if side.manifest is not None]
    origins = [Origins.of(document) for document in sides]
    for columns in (found.columns_only_a, found.columns_only_b):
        for name in columns:
            columns[name] = _causes(name, found.changes, origins)
    for name, column in found.columns.items():
        column.causes = _causes(name, found.changes, origins)


def _causes(column: str, changed: Sequence[Change], origins: Sequence[Origins]) -> list[str]:
    able = [origin for origin in origins if origin.knows(column)] or origins
    told = [str(change) for change in changed if any(origin.touched(column, change) for origin in able)]
    return told or [UNEXPLAINED]


__all__ = ["EXAMPLES", "TAMPERED", "Change", "Column", "Difference", "diff"]
