"""The rows of a spine with what asks alone, in encodings from which rows can be taken."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from featurestore.dtypes import decoded
from featurestore.registry import BoundService
from featurestore.retrieval.spine import Spine, spine_of


def asking(spine: Spine, service: BoundService, as_of: str, most: int) -> tuple[Sequence[int], Spine]:
    """The numbers of the rows, at most so many, evenly spread, and a spine of them: keys, as_of, request columns.

    A column that is not there is not there in it either.
    """
    read = dict.fromkeys([as_of, *service.key_columns, *service.request])
    table = spine.columns([name for name in read if name in spine.schema.names])
    table = pa.table({name: decoded(column) for name, column in zip(table.column_names, table.columns, strict=True)})
    numbers: Sequence[int] = range(spine.rows)
    if spine.rows > most:
        numbers = [i * spine.rows // most for i in range(most)]
        table = table.take(pa.array(numbers, pa.int64()))
    return numbers, spine_of(table.combine_chunks())


__all__ = ["asking"]
