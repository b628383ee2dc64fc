"""On-demand features of a training set: computed batch by batch over columns that are there already.

What a row's features, request and instant are is decided before; here they are handed to the engine, and what comes back
is checked, counted, and given the statuses of the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.compiler import duckdb as sql
from featurestore.dtypes import TIMESTAMP
from featurestore.engines.duckdb import Session
from featurestore.errors import DataError
from featurestore.plan.nodes import OnDemand
from featurestore.registry import Operand

Columns = Mapping[str, pa.ChunkedArray]


class OnDemandColumns:
    """One on-demand view's features. counts: {feature: {status: rows}}; without_value: {feature: rows in which an
    operation that was reached had no value}. Both grow batch by batch."""

    def __init__(self, node: OnDemand, session: Session, include: Sequence[str]) -> None:
        self._node, self._session, self._include = node, session, include
        self._sql = sql.on_demand(node)
        self.counts = {output.name: {"present": 0, "null": 0} for output in node.outputs}
        self.without_value = {output.name: 0 for output in node.outputs}

    def of(self, rows: int, features: Columns, request: Callable[[str], pa.Array], at: pa.Array) -> dict[str, pa.ChunkedArray]:
        """The columns of a batch: each feature, and what is included of it.

        features: what the parts gave for the batch. request: gives a request column, at: the instants in microseconds.
        """
        asked: dict[str, pa.Array | pa.ChunkedArray] = {"row_id": pa.arange(0, rows)}
        for operand in self._node.operands:
            asked[sql.operand_column(operand.name)] = _operand(operand, features, request, at)
        self._session.bind(sql.ASKED, pa.table(asked))
        found = self._session.table(self._sql)
        if not found["__row"].cast(pa.int64()).combine_chunks().equals(pa.arange(0, rows)):
            raise DataError("FS309", f"the engine returned rows out of order for {self._node.name}")
        return self._finished(found)

    def _finished(self, found: pa.Table) -> dict[str, pa.ChunkedArray]:
        columns: dict[str, pa.ChunkedArray] = {}
        for output in self._node.outputs:
            name = output.name
            value = columns[name] = found[name].cast(output.dtype.arrow)
            if "status" in self._include:
                columns[f"{name}__status"] = pc.if_else(pc.is_valid(value), "present", "null")
            if "event_timestamp" in self._include:
                columns[f"{name}__event_timestamp"] = pa.chunked_array([pa.nulls(len(value), TIMESTAMP.arrow)])
            self.counts[name]["present"] += len(value) - value.null_count
            self.counts[name]["null"] += value.null_count
            flag = f"{name}{sql.MISSED}"
            if flag in found.column_names:
                self.without_value[name] += pc.sum(found[flag], min_count=0).as_py()
        return columns


def _operand(operand: Operand, features: Columns, request: Callable[[str], pa.Array], at: pa.Array) -> pa.Array:
    if operand.origin == "feature":
        return features[operand.column].cast(operand.dtype.arrow)
    return at.cast(TIMESTAMP.arrow) if operand.origin == "as_of" else request(operand.column)
