"""Match the rows of a training set with those of a spine, by keys and as_of: which are there too often, which not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType
from featurestore.retrieval.spine import key_column, spine_of


@dataclass(frozen=True)
class Matched:
    """dropped: rows that the spine asks for and the file has not. excess: {row: number of its question} of the rows whose
    question the file answers too often; allowed: {number: how often the spine asks it}."""

    dropped: int = 0
    excess: Mapping[int, int] = field(default_factory=dict)
    allowed: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def everything(cls) -> Matched:
        """Without a spine every row is asked for once."""
        return cls()

    def surplus(self, wrong: Sequence[pa.Array]) -> pa.Array:
        """The rows that are too many, ascending: of those with one question the ones with most wrong cells, then the later.

        wrong: the wrong rows of each feature.
        """
        faults: Counter[int] = Counter()
        for cells in wrong if self.excess else ():
            faults.update(cells.filter(pc.is_in(cells, pa.array(list(self.excess), pa.int64()))).to_pylist())
        left, found = Counter(self.allowed), []
        for row in sorted(self.excess, key=lambda row: (faults[row], row)):
            question = self.excess[row]
            if left[question] > 0:
                left[question] -= 1
            else:
                found.append(row)
        return pa.array(sorted(found), pa.int64())


def match(file: pa.Table, spine: pa.Table, types: Mapping[str, DType]) -> Matched:
    """Both: key columns, then as_of. types: of the keys; they compare in them."""
    import polars as pl

    def keyed(table: pa.Table) -> pl.DataFrame:
        columns = {name: key_column(spine_of(table), name, dtype) for name, dtype in types.items()}
        as_of = table.column_names[-1]
        return pl.DataFrame(pa.table({**columns, as_of: table[as_of].cast(pa.int64())}))

    here, asked = keyed(file).with_row_index("row"), keyed(spine)
    by = [c for c in here.columns if c != "row"]
    counted = asked.group_by(by).len("asked").join(
        here.group_by(by).len("there"), on=by, how="full", coalesce=True, nulls_equal=True
    ).with_columns(pl.col("asked", "there").fill_null(0))  # fmt: skip
    dropped = counted.select((pl.col("asked") - pl.col("there").cast(pl.Int64)).clip(lower_bound=0).sum()).item()
    often = counted.filter(pl.col("there") > pl.col("asked")).with_row_index("question")
    rows = here.join(often, on=by, how="inner", nulls_equal=True).select("row", "question", "asked").rows()
    return Matched(dropped, {row: question for row, question, _ in rows}, {question: asked for _, question, asked in rows})


__all__ = ["Matched", "match"]
