"""`featurestore diff`: two training sets cell by cell, and what can explain that they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed, json_text
from featurestore.cli.command import Run
from featurestore.errors import FeatureStoreError

if TYPE_CHECKING:
    from featurestore.audit.diff import Difference

SHOWN = 2
"""Cells of each column that are printed; --json has more."""


def diff(
    run: Run,
    a: Annotated[Path, typer.Argument(metavar="A", help="A training set (.parquet, .csv), or its manifest.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    keys: Annotated[
        list[str] | None, typer.Option(metavar="LIST", help="Columns by which rows are matched. Default: as the manifests say.")
    ] = None,
    as_of_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of instants, by which rows are matched too.")
    ] = None,
) -> Answer:
    """Compare two training sets cell by cell, and say what can explain what differs.

    Rows are matched by position where the spine's columns are the same, else by keys and as_of, duplicates in their order.
    Cells are the same if their bits are; NaN is NaN. Causes come from the manifests beside the files: definitions, source
    files, push logs, options, the spine, versions. Exit 1 if anything differs. Needs no project.

    Example:
      featurestore diff train.parquet lagged.parquet
    """
    from featurestore.audit.diff import diff as compare

    names = [name.strip() for text in keys or () for name in text.split(",") if name.strip()]
    with run.progress() as watch:
        found = compare(a, b, keys=names, as_of=as_of_column, watch=watch)
    return Answer(found.to_dict(), _text(found), _errors(found))


def _errors(found: Difference) -> list[FeatureStoreError]:
    if found.same:
        return []
    return [CheckFailed("FS134", f"the two differ: {_summary(found)}", hint="featurestore rebuild … --verify")]


def _summary(found: Difference) -> str:
    said = []
    if found.matched_by is None:
        said.append("other content by their manifests")
    if found.cells:
        said.append(f"{found.cells:,} cells in {len(found.columns)} columns")
    for many, what in (
        (found.only_a, "rows only in A"), (found.only_b, "rows only in B"), (len(found.columns_only_a), "columns only in A"),
        (len(found.columns_only_b), "columns only in B"), (len(found.types), "columns of another type"),
    ):  # fmt: skip
        if many:
            said.append(f"{many:,} {what}")
    return ", ".join(said)


def _text(found: Difference) -> str:
    lines = []
    if found.matched_by is not None:
        by = found.matched_by if isinstance(found.matched_by, str) else ", ".join(found.matched_by)
        lines.append(f"{found.matched:,} rows in both, matched by {by}")
    lines.append("the same" if found.same else f"differ: {_summary(found)}")
    if found.changes:
        lines += ["changed from A to B:", *(f"  {change.what}: {change}" for change in found.changes)]
    lines += _only("rows only in A", found.rows_only_a) + _only("rows only in B", found.rows_only_b)
    return "\n".join([*lines, *by_column(found), *(f"note: {note}" for note in found.notes)])


def _only(what: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{what}, such as {_place(row)}" for row in rows[:1]]


def by_column(found: Difference, a: str = "in A", b: str = "in B") -> list[str]:
    """The columns that differ, some cells of each, and what can explain it."""
    lines = []
    for which, columns in ((a, found.columns_only_a), (b, found.columns_only_b)):
        lines += [f"column only {which}: {name} ({'; '.join(causes)})" for name, causes in columns.items()]
    lines += [f"column {name}: {was} {a}, {now} {b}" for name, (was, now) in found.types.items()]
    for name, column in found.columns.items():
        lines.append(f"{name}: {column.cells:,} of {found.matched:,} cells differ ({'; '.join(column.causes)})")
        for cell in column.examples[:SHOWN]:
            lines.append(f"  {_place(cell)}: {_shown(cell['a'])} {a}, {_shown(cell['b'])} {b}")
    return lines


def _place(row: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{name}={_shown(value)}" for name, value in row["keys"].items())
    return f"row {row['row']:,}" + (f" ({keys})" if keys else "")


def _shown(value: Any) -> str:
    return show.cell(None) if value is None else json_text(value).strip('"') if isinstance(value, str) else json_text(value)
