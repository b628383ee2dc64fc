"""Run the statements of windows alone, over generated cases, and compare with the oracle: a build has much beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore import plan as planning
from featurestore.compiler.spark.facts import key_names
from featurestore.compiler.spark.skew import HEAVY
from featurestore.compiler.spark.types import key_type
from featurestore.engines import exact
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_keys
from featurestore.engines.spark import Session
from featurestore.engines.spark.window_choice import choose
from featurestore.plan.nodes import ReadSpine, Window, facts_of
from featurestore.registry import Registry
from featurestore.retrieval.training_set import is_exact, run_parameters
from featurestore.sources import open_source
from tests.property.engines import Question, plain_values
from tests.property.test_offline import Batch
from tests.spec.spread import comparable

_KEYS = {
    "BIGINT": pa.int64(), "DECIMAL(38, 0)": pa.decimal128(38, 0), "STRING": pa.string(), "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(), "BINARY": pa.binary(),
}  # fmt: skip


@dataclass(frozen=True)
class Asking:
    """A batch's windows, asked by one plan. cut: the timelines of most keys are cut into stretches."""

    session: Session
    batch: Batch
    plan: str
    cut: bool = False

    def wrong(self, question: Question) -> list[tuple[Any, ...]]:
        """(feature, spine row, expected, found) of every cell that differs."""
        expected = self.batch.expected(question).cells
        return [
            (name, row, cell[0], found)
            for name, column in self._found(question).items()
            if name in expected
            for row, (cell, found) in enumerate(zip(expected[name], column, strict=True))
            if cell[0] != found
        ]

    def _found(self, question: Question) -> dict[str, list[Any]]:
        source = self.batch.service.instances[0].view.source
        data = open_source(source, Path("/"))
        bound = Registry.of([self.batch.service]).bind({"facts": data.types}).service("service")
        found: dict[str, list[Any]] = {}
        for part in (p.part for p in planning.training_set(bound).parts if isinstance(p.part, Window)):
            types = {c.name: c.dtype for c in facts_of(part.facts)[0].rows.columns}
            self.session.bind_source(data, list(types), types)
            self._bind_spine(part.spine)
            found |= self._answers(part, run_parameters(question.known_before, question.serving_lag, exact=is_exact(part)))
        return found

    def _answers(self, part: Window, parameters: Mapping[str, object]) -> dict[str, list[Any]]:
        rows, found = self.batch.spine.num_rows, dict[str, list[Any]]()
        for choice in choose(self.session, part, parameters, rows, wanted=self.plan, skewed=self.cut):
            table = self.session.table(choice.sql, {**parameters, **choice.parameters}).sort_by("__row")
            assert table["__row"].to_pylist() == list(range(rows))
            for output in choice.outputs:
                column = table[output.name]
                if output.name in choice.listed:
                    values = [exact.MOMENTS[output.aggregate or ""](v or []) for v in column.to_pylist()]
                else:
                    values = plain_values(column.cast(output.dtype.arrow))
                found[output.name] = list(map(comparable, values))
        return found

    def _bind_spine(self, spine: ReadSpine) -> None:
        reading = Reading(self.batch.timezone, late=False, date_is="start")
        asked, rows = self.batch.spine, self.batch.spine.num_rows
        read = read_keys([asked[k.spine_column] for k in spine.keys], rows, reading)
        columns = {"row_id": pa.array(range(rows), pa.int64()),
                   "asked_at": pa.array([reading.instant(t) for t in asked["as_of"]], pa.int64())}  # fmt: skip
        for place, key in enumerate(spine.keys):
            kind = _KEYS[key_type(key.dtype)]
            columns[f"key_{key.name}"] = pa.array([None if k is None else _held(k[place], kind) for k in read], kind)
        self.session.bind("spine", self.session.spark.createDataFrame(pa.table(columns)))
        if self.cut:
            by = ", ".join(key_names(spine.keys))
            ticks = "array_sort(array_distinct(collect_list(2 * asked_at - row_id % 7 * 2000000 + 1)))"
            cuts = f"SELECT {by}, {ticks} AS cuts FROM spine WHERE row_id % 3 > 0 GROUP BY {by}"
            self.session.bind(HEAVY, self.session.frame(cuts, {}))


def _held(value: Any, kind: pa.DataType) -> Any:
    """A key in the type that its family compares in; what that does not hold matches nothing."""
    if kind == pa.int64():
        return value if -(2**63) <= value < 2**63 else None
    return Decimal(value) if pa.types.is_decimal(kind) else value
