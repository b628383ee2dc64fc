"""Turn a failing case into the smallest script that shows it, ready to paste."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.engines.duckdb import Settings
from featurestore.testing.strategies import Definition
from tests.property import files
from tests.property.engines import Question, by_duckdb, by_oracle, differences

TRIES = 120
"""How many smaller cases are tried: a build each."""


@dataclass(frozen=True)
class Trial:
    """One case alone: its definition, the tables of its files, its spine, and what is asked of which engine settings."""

    definition: Definition
    tables: tuple[pa.Table, ...]
    spine: pa.Table
    question: Question
    settings: Settings
    in_memory: bool = False

    @property
    def size(self) -> int:
        return sum(t.num_rows for t in self.tables) + self.spine.num_rows


class Alone:
    """Runs trials, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0

    def differ(self, trial: Trial) -> list[Any]:
        """What differs; an error on one side only differs too."""
        self.number += 1
        try:
            service = self._service(trial)
            expected = by_oracle(service, trial.tables, trial.spine, trial.question)
        except Exception as error:
            return [f"the oracle raised {error!r}"]
        try:
            return differences(expected, by_duckdb(service, trial.spine, trial.question, trial.settings))
        except Exception as error:
            return [f"the engine raised {error!r}"]

    def _service(self, trial: Trial) -> Any:
        if trial.in_memory:
            return trial.definition.service(table=pa.concat_tables(trial.tables))
        pattern = files.write(trial.tables, self.folder / f"alone_{self.number}")
        return trial.definition.service(path=str(pattern))


def smallest(trial: Trial, fails: Callable[[Trial], bool]) -> Trial:
    """Leave out features, spine rows, files and rows, one at a time, as long as it still fails."""
    tries = TRIES
    shrunk = True
    while shrunk and tries > 0:
        shrunk = False
        for candidate in _smaller(trial):
            tries -= 1
            if fails(candidate):
                trial, shrunk = candidate, True
                break
            if tries <= 0:
                break
    return trial


def _smaller(trial: Trial) -> Any:
    features = trial.definition.features
    if trial.definition.on_demand is not None:  # its expressions may read any of the features
        yield replace(trial, definition=replace(trial.definition, on_demand=None))
        yield from _with_fewer_on_demand(trial)
    for i in range(len(features) if len(features) > 1 and trial.definition.on_demand is None else 0):
        definition = replace(
            trial.definition, features=features[:i] + features[i + 1 :], services=trial.definition.services[:1]
        )
        yield replace(trial, definition=definition)
    if trial.definition.label:
        yield replace(trial, definition=replace(trial.definition, label=""))
    for i in range(trial.spine.num_rows if trial.spine.num_rows > 1 else 0):
        yield replace(trial, spine=_without(trial.spine, i))
    for i in range(len(trial.tables) if len(trial.tables) > 1 else 0):
        yield replace(trial, tables=trial.tables[:i] + trial.tables[i + 1 :])
    for i, table in enumerate(trial.tables):
        for row in range(table.num_rows):
            yield replace(trial, tables=(*trial.tables[:i], _without(table, row), *trial.tables[i + 1 :]))


def _with_fewer_on_demand(trial: Trial) -> Any:
    asked = trial.definition.on_demand
    assert asked is not None
    for name in asked.features if len(asked.features) > 1 else ():
        fewer = {n: text for n, text in asked.features.items() if n != name}
        yield replace(trial, definition=replace(trial.definition, on_demand=replace(asked, features=fewer)))


def _without(table: pa.Table, row: int) -> pa.Table:
    return pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


def script(trial: Trial, found: list[Any]) -> str:
    """The trial as Python that prints what the oracle and DuckDB answer."""
    used = trial.definition.source_columns
    tables = ",\n".join(table_text(t.select([c for c in t.column_names if c in used])) for t in trial.tables)
    where = "table=rows" if trial.in_memory else 'path="/tmp/reproduction/*.parquet"'
    lines = [
        "from datetime import date",
        "from decimal import Decimal",
        "from pathlib import Path",
        "import pyarrow as pa",
        "from featurestore import ArrowSource, Entity, FeatureService, FeatureView, LabelView, OnDemandFeatureView",
        "from featurestore import ParquetSource, agg, latest",
        "from featurestore.engines.duckdb import Settings",
        "from tests.property import files",
        "from tests.property.engines import Question, by_duckdb, by_oracle, differences",
        "nan, inf = float('nan'), float('inf')",
        f"tables = [\n{tables}\n]",
        "rows = pa.concat_tables(tables)" if trial.in_memory else 'files.write(tables, Path("/tmp/reproduction"))',
        trial.definition.text(where).rstrip(),
        f"spine = {table_text(trial.spine)}",
        f"asked = Question({trial.question})",
        "expected = by_oracle(service, tables, spine, asked)",
        f"found = by_duckdb(service, spine, asked, {trial.settings!r})",
        "print(*differences(expected, found), sep='\\n')",
    ]
    told = "\n".join(f"#   {line}" for line in map(str, found[:8]))
    return "\n".join(lines) + f"\n# (spine row, feature, oracle's cell, engine's cell):\n{told}\n"


def table_text(table: pa.Table) -> str:
    columns = ", ".join(f"{name!r}: {_array_text(table[name])}" for name in table.column_names)
    return f"pa.table({{{columns}}})"


def _array_text(column: pa.ChunkedArray) -> str:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return f"{_array_text(column.cast(kind.value_type))}.dictionary_encode()"
    if pa.types.is_timestamp(kind):
        zone = "" if kind.tz is None else f", {kind.tz!r}"
        return f"pa.array({column.cast(pa.int64()).to_pylist()!r}, pa.int64()).cast(pa.timestamp({kind.unit!r}{zone}))"
    values = column.to_pylist()
    shown = (
        repr(values).replace("datetime.date", "date") if not any(_odd(v) for v in values) else str([_shown(v) for v in values])
    )
    return f"pa.array({shown}, {_type_text(kind)})"


def _odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


class _Shown(str):
    def __repr__(self) -> str:
        return str(self)


def _shown(value: Any) -> Any:
    return _Shown(str(value)) if _odd(value) else value


def _type_text(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"pa.list_({_type_text(kind.value_type)})"
    if pa.types.is_decimal(kind):
        return f"pa.decimal128({kind.precision}, {kind.scale})"
    special = {"double": "float64", "float": "float32", "bool": "bool_", "date32[day]": "date32", "date64[ms]": "date64"}
    return f"pa.{special.get(str(kind), str(kind))}()"
