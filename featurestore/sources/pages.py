"""Read every page of a source's files once, so that a flipped bit is found before it becomes a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from featurestore.errors import SourceError
from featurestore.sources.parts import Part


def damaged(part: Part, columns: Sequence[str]) -> Iterator[SourceError]:
    """An error for each of some columns of a file that cannot be read to its end. Pages that carry a checksum are compared
    with it; of others only what cannot be decoded is noticed. A table from memory has no pages."""
    if part.file is None or _reason(part, columns) is None:
        return
    for column in columns:
        if reason := _reason(part, [column]):
            what = f"column {column!r} cannot be read: {reason}"
            yield SourceError("FS325", what, where=part.name, hint="write the file again, or restore it")


def _reason(part: Part, columns: Sequence[str]) -> str | None:
    """Why some columns cannot be read, or None."""
    try:
        for _ in part.read([c for c in columns if c in part.schema.names]):
            pass
    except (pa.ArrowException, OSError) as error:
        return str(error).splitlines()[0]
    return None
