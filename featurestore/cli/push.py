"""`featurestore push`: take rows of a source now, instead of in a file later."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.errors import PushError, SourceError, UsageError


def push(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source with row_key.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rows: .parquet, .jsonl (an object a line), or - for stdin.")],
) -> Answer:
    """Take rows of a source now, instead of in a file later.

    All rows are taken, or none. Each has a value for every column of the source but the created timestamp, which is the
    arrival. Needs a source with row_key: the row that later comes in a file is a version of the same fact. In online answers at
    once, and in builds.

    Example:
      featurestore push payments late.jsonl
    """
    done = run.store.push(source, _rows(file))
    return Answer({"source": source, **done}, f"{source}: {done['accepted']:,} rows accepted, known at {done['known_at']}")


def _rows(file: str) -> Any:
    """What the file holds. Raises: UsageError FS102, SourceError FS321, FS325, PushError FS340."""
    if file == "-":
        return _objects(sys.stdin.buffer.read(), "stdin")
    path = Path(file)
    if path.suffix not in (".parquet", ".jsonl"):
        raise UsageError("FS102", f"rows in {path.name!r}", known=[".parquet", ".jsonl", "-"], hint="another file")
    if not path.is_file():
        raise SourceError("FS321", f"no file {file!r}", hint="the path, relative to this folder")
    if path.suffix == ".jsonl":
        return _objects(path.read_bytes(), path.name)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise SourceError("FS325", f"cannot be read as Parquet: {str(error).splitlines()[0]}", where=path.name) from error


def _objects(data: bytes, name: str) -> list[Any]:
    from featurestore.typed_values import strict_json

    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                rows.append(strict_json(line))
            except ValueError as error:
                raise PushError("FS340", f"the line is not JSON: {error}", where=f"{name}:{number}") from None
    return rows
