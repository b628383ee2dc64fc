"""Write the generated data set: which files there are, their Arrow types, and how they come to be all at once.

    python -m featurestore.scaffold.generate --rows 100000 --output data

The same rows and seed give the same bytes on every run (with one version of pyarrow). What the rows say is `tables`'
business. Memory stays bounded by one chunk of payments and the spine, whatever the number of rows.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.atomic import sync
from featurestore.errors import UsageError
from featurestore.scaffold import tables
from featurestore.scaffold.aside import files, folder_aside
from featurestore.scaffold.tables import World

CHUNK = 200_000
"""Payment rows made at a time: it bounds memory and decides the row groups, never a value."""
CSV_ROWS = 200

Progress = Callable[[int, int], None]
"""Called with (payment rows done, payment rows in all)."""

_TIME = pa.timestamp("us", tz="UTC")
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("contactless", "is_closed", "is_deleted", "label"), pa.bool_()),
    **dict.fromkeys(("customer_id", "payment_id", "referrer_id"), pa.int64()),
    **dict.fromkeys(("amount", "review_from", "risk_score"), pa.float64()),
    **dict.fromkeys(("as_of", "disputed_at", "effective_from", "loaded_at", "paid_at"), _TIME),
    **dict.fromkeys(("reported_at", "updated_at", "valid_from"), _TIME),
    **dict.fromkeys(("card_country", "card_id", "category", "city", "currency", "home_country"), pa.string()),
    **dict.fromkeys(("issuer_country", "merchant_id", "name", "network", "product", "reason"), pa.string()),
    **dict.fromkeys(("rule_set", "segment", "status"), pa.string()),
    "credit_limit": pa.decimal128(12, 2),
    "customer_since": pa.date32(),
    "version": pa.int32(),
}
"""A column's name decides its type, in every table."""


def generate(directory: Path, *, rows: int = 100_000, seed: int = 7, progress: Progress | None = None) -> dict[str, Any]:
    """Write the card payments data set into `directory`.

    Files: payments/YYYY-MM.parquet (by month of arrival), customers, merchants, cards, disputes, policies and spine as
    .parquet, and the first rows of the spine as spine.csv. They are written aside and moved into place when all are
    complete; files of an earlier run are replaced, other files are left alone.

    Args: rows: rows of payments, all versions and repetitions included; the rest scales with it.
    Returns: {"rows": {table: count}, "files": [path relative to directory, sorted], "seed": seed}.
    Raises: UsageError FS102 for fewer than 1 row.
    """
    if rows < 1:
        raise UsageError("FS102", f"--rows {rows} makes no data", hint="--rows 100000")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with folder_aside(directory) as staging:
        counts = _write_all(staging, World(rows=rows, seed=seed), progress or (lambda done, total: None))
        made = _move(staging, directory)
    return {"rows": counts, "files": made, "seed": seed}


def _write_all(directory: Path, world: World, progress: Progress) -> dict[str, int]:
    counts = {"payments": world.rows}
    scored = []
    with _writers(directory) as write:
        for start in range(0, world.rows, CHUNK):
            stop = min(start + CHUNK, world.rows)
            _write_payments(write, tables.payments(world, start, stop))
            counts["disputes"] = counts.get("disputes", 0) + write("disputes", tables.disputes(world, start, stop))
            scored.append(tables.spine(world, start, stop))
            progress(stop, world.rows)
        spine = pl.concat(scored).sort("at", maintain_order=True).drop("at")
        counts["spine"] = write("spine", spine)
        for name in ("customers", "merchants", "cards", "policies"):
            counts[name] = write(name, getattr(tables, name)(world))
    _write_csv(directory / "spine.csv", spine.head(CSV_ROWS))
    return counts


Write = Callable[[str, pl.DataFrame], int]


@contextmanager
def _writers(directory: Path) -> Iterator[Write]:
    """Gives write(name, rows), which appends rows to `name`.parquet as a row group and returns their number."""
    opened: dict[str, Any] = {}

    def write(name: str, frame: pl.DataFrame) -> int:
        table = _as_arrow(frame)
        if name not in opened:
            path = directory / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            opened[name] = pq.ParquetWriter(path, table.schema, compression="zstd")
        if table.num_rows:
            opened[name].write_table(table)
        return int(table.num_rows)

    try:
        yield write
    finally:
        for writer in opened.values():
            writer.close()


def _as_arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow().cast(pa.schema([(name, _TYPES[name]) for name in frame.columns]))


def _write_payments(write: Write, chunk: pl.DataFrame) -> None:
    """Each row goes into the file of the month it arrived in; one that never arrived, into that of its payment."""
    arrived = pl.coalesce("loaded_at", "paid_at")
    chunk = chunk.with_columns(arrived=arrived, month=arrived.dt.truncate("1mo"))
    for month in sorted(chunk["month"].unique()):
        rows = chunk.filter(pl.col("month") == month).sort("arrived", maintain_order=True)
        write(f"payments/{month:%Y-%m}", rows.drop("month", "arrived"))


def _write_csv(path: Path, frame: pl.DataFrame) -> None:
    """NULL is an empty field; times are ISO 8601 with their offset."""
    shown = frame.with_columns(pl.col("as_of").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(shown.columns)
        writer.writerows([str(v).lower() if isinstance(v, bool) else v for v in row] for row in shown.rows())


def _move(staging: Path, directory: Path) -> list[str]:
    """Moves every file into place, then drops the months that only an earlier, longer run had."""
    made = [path.relative_to(staging) for path in files(staging)]
    for relative in made:
        sync(staging / relative)
        (directory / relative).parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / relative, directory / relative)
    for old in directory.glob("payments/20[0-9][0-9]-[0-1][0-9].parquet"):
        if old.relative_to(directory) not in made:
            old.unlink()
    return [relative.as_posix() for relative in made]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: python -m featurestore.scaffold.generate --rows N --output data [--seed S]."""
    parser = argparse.ArgumentParser(prog="python -m featurestore.scaffold.generate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=100_000, help="rows of payments (default 100000)")
    parser.add_argument("--output", type=Path, default=Path("data"), help="folder to write into (default data)")
    parser.add_argument("--seed", type=int, default=7, help="another seed, another world (default 7)")
    given = parser.parse_args(arguments)
    try:
        made = generate(given.output, rows=given.rows, seed=given.seed, progress=_progress())
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(", ".join(f"{count:,} {name}" for name, count in made["rows"].items()), "in", given.output)
    return 0


def _progress() -> Progress | None:
    """A line that counts, on a terminal only."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\r{done:,} of {total:,} payments", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
