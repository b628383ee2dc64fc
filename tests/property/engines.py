"""Ask DuckDB and the oracle the same question, and say where they differ: bit by bit, status by status.

Variances and standard deviations may differ from the oracle's as far as the contract allows (`tests.spec.spread`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.definitions import FeatureService
from featurestore.dtypes import DType
from featurestore.engines.duckdb import Settings
from featurestore.engines.reference import ReferenceEngine
from featurestore.registry import BoundService, Registry
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Build, Report, Request
from featurestore.sources import open_source
from tests.spec.engines import at_the_limits, plain_values
from tests.spec.spread import Spreads, comparable

Cells = Mapping[str, list[tuple[Any, str, int | None]]]
"""Feature -> per spine row its value (comparable bit by bit, or a `Spread`), status, and event time in microseconds."""


@dataclass(frozen=True)
class Question:
    """What is asked beside the spine: the zone of a naive as_of, and the cut-offs in microseconds."""

    timezone: str = "UTC"
    known_before: int | None = None
    serving_lag: int = 0

    def __str__(self) -> str:
        return f"timezone={self.timezone!r}, known_before={self.known_before}, serving_lag={self.serving_lag}"


@dataclass(frozen=True)
class Answered:
    """types: of the features and labels. left_out: of the service's one view, by reason. labels: rows counted of its one
    label view, if it has one. without_value: rows by on-demand feature. plans: those of windows that served, in DuckDB."""

    cells: Cells
    types: Mapping[str, DType]
    left_out: Mapping[str, int]
    labels: Mapping[str, int]
    without_value: Mapping[str, int]
    plans: frozenset[str] = frozenset()


def by_oracle(
    service: FeatureService,
    tables: Sequence[pa.Table],
    spine: pa.Table,
    question: Question,
    spreads: Spreads | None = None,
    engine: ReferenceEngine | None = None,
) -> Answered:
    """spreads, engine: those of the service and the tables, for who asks more than once."""
    spreads, engine = spreads or Spreads(service), engine or ReferenceEngine({"facts": tables})
    answer = engine.answer(
        spreads.service,
        spine,
        timezone=question.timezone,
        known_before=question.known_before,
        serving_lag=question.serving_lag,
    )
    cells = {
        name: list(zip(values, answer.statuses[name], answer.event_timestamps[name], strict=True))
        for name, values in spreads.all_expected(answer.values).items()
    }
    types = {name: answer.types[name] for name in (*service.feature_names, *service.label_names)}
    left_out, labels = answer.left_out["view"], answer.labels.get("label", {})
    return Answered({name: cells[name] for name in types}, types, left_out, labels, answer.without_value)


def by_duckdb(
    service: FeatureService, spine: pa.Table, question: Question, settings: Settings | None = None, push: Path | None = None
) -> Answered:
    """push: where the source's push log lies.

    Raises: AssertionError when the spine's own columns or the types do not come back as they must.
    """
    source = service.instances[0].view.source
    data = open_source(source, Path("/"), push)
    bound = Registry.of([service]).bind({"facts": data.types}).service("service")
    opened = open_spine(spine, keys={}, as_of="as_of")
    settings = settings or Settings(threads=1)
    with at_the_limits(settings), Build(bound, opened, {"facts": data}, settings, request_of(question)) as build:
        found = pa.concat_tables(list(build.batches()))
    assert bits(found.select(spine.column_names)).equals(bits(spine))
    return answered(bound, found, build.report)


def request_of(question: Question) -> Request:
    return Request(
        timezone=question.timezone, known_before=question.known_before, serving_lag=question.serving_lag,
        include=("status", "event_timestamp"),
    )  # fmt: skip


def answered(bound: BoundService, found: pa.Table, report: Report) -> Answered:
    """What an engine built of a service over `view`, and told. Raises: AssertionError for other types than promised."""
    types = {**bound.feature_types, **bound.label_types}
    assert {n: found.schema.field(n).type for n in types} == {n: t.arrow for n, t in types.items()}
    cells = {
        name: list(zip(
            map(comparable, plain_values(found[name])), found[f"{name}__status"].to_pylist(),
            found[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist(), strict=True,
        ))
        for name in types
    }  # fmt: skip
    left_out = {reason: n for reason, n in report.left_out["view"].items() if reason != "ambiguous_versions"}
    counted = {what: report.labels["label"][what] for what in ("mature", "immature", "positive") if bound.labels}
    plans = frozenset(chosen["plan"] for choices in report.windows.values() for chosen in choices)
    return Answered(cells, types, left_out, counted, report.without_value, plans)


def of_features(cells: Cells, service: FeatureService) -> Cells:
    """The cells of the features alone: labels look ahead."""
    return {name: cells[name] for name in service.feature_names}


def bits(table: pa.Table) -> pa.Table:
    """The table with floats as the integers of their bits: Arrow finds a NaN unlike itself."""
    widths = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}
    columns = [c.combine_chunks().view(widths[c.type]) if c.type in widths else c for c in table.columns]
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def differences(expected: Answered, found: Answered) -> list[tuple[int, str, Any, Any]]:
    """(spine row, feature, expected cell, found cell) of every cell that differs."""
    assert expected.types == found.types
    return [
        (row, name, wanted, got)
        for name in expected.cells
        for row, (wanted, got) in enumerate(zip(expected.cells[name], found.cells[name], strict=True))
        if wanted != got
    ]
