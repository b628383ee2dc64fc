"""The engines that must pass every spec case: a name, and how to ask it.

A new engine is one function (case, empty folder) -> Answer and one row here. `case.write(folder)` puts the sources
there as Parquet, and `case.service(folder)` is the definition that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from featurestore.engines.duckdb import Settings, window_choice
from featurestore.engines.duckdb.window_choice import AUTO
from featurestore.engines.duckdb.window_statistics import Statistics
from featurestore.engines.reference import Answer as FullAnswer
from featurestore.engines.reference import ReferenceEngine
from featurestore.plan.nodes import Window
from featurestore.registry import Registry
from featurestore.retrieval import cuts, training_set
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Build, Report, Request
from featurestore.sources import open_source
from tests.spec.loader import Answer, Case


def by_reference(case: Case, folder: Path) -> Answer:
    return ReferenceEngine(case.tables).answer(case.service(), case.spine, **case.options)


def by_duckdb(
    case: Case, folder: Path, window_plan: str = AUTO, partitions: int | None = None, snapshot: bool = False
) -> Answer:
    """snapshot: let a spine of one instant be asked so; else it is asked as any other."""
    case.write(folder)
    service = case.service(folder)
    registry = Registry.of([service])
    sources = {name: open_source(source, folder) for name, source in registry.sources.items()}
    bound = registry.bind({name: data.types for name, data in sources.items()}).services[service.name]
    options: dict[str, Any] = {"as_of": "as_of", **case.options}
    keys = {column: key.dtype for column, key in bound.spine_keys.items()}
    request = Request(include=("status", "event_timestamp"), **options)
    spine = open_spine(case.spine, keys=keys, as_of=request.as_of)
    settings = Settings(
        threads=2, window_plan=window_plan, partitions=partitions, snapshot=snapshot or window_plan == "snapshot"
    )
    with at_the_limits(settings), Build(bound, spine, sources, settings, request) as build:
        table = pa.concat_tables(list(build.batches()))
    return answer_of(table, {**bound.feature_types, **bound.label_types}, build.report)


def asks_at_once(case: Case) -> bool:
    """All rows of its spine ask at one instant."""
    as_of = case.options.get("as_of", "as_of")
    return as_of in case.spine.column_names and len(case.spine[as_of].unique()) == 1


CUT = 3
"""Partitions, where there are some: more than the keys of most cases fall into, so that some are empty."""
SOON = (0, 1, 10, 1_000_000, 3_600_000_000, 86_400_000_000)


@contextmanager
def at_the_limits(settings: Settings) -> Iterator[None]:
    """Let a plan that is set meet what over so few facts it would not choose: aligned tiles as short as may be, so that
    windows hold whole ones, and any length of time in which facts count as known soon. Where keys are cut, sources are so file
    by file, and read no farther than they need be, though nothing is spared by it."""

    def finest(plan: Window, name: str, known: Statistics) -> int:
        return min(window_choice.possible_tiles(plan, name, known), default=0)

    def soon(outputs: object, known: Statistics) -> int:
        return SOON[(known.facts + known.rows) % len(SOON)]

    tiles = {"_tile": finest, "ALWAYS_TILES": 20_000}
    limits: dict[str, Any] = {"aligned": tiles, "aligned_sweep": tiles, "split": {"_soon": soon}}
    changed = limits.get(settings.window_plan)
    with ExitStack() as stack:
        if changed:
            stack.enter_context(mock.patch.multiple(window_choice, **changed))
        if settings.partitions is not None:
            stack.enter_context(mock.patch.object(cuts, "PIECE_ROWS", 1))
            stack.enter_context(mock.patch.object(training_set, "spares", return_value=True))
        yield


COUNTED = ("mature", "immature", "positive")


def answer_of(table: pa.Table, types: dict[str, Any], report: Report) -> Answer:
    return FullAnswer(
        names=tuple(types),
        types=types,
        values={name: plain_values(table[name]) for name in types},
        statuses={name: table[f"{name}__status"].to_pylist() for name in types},
        event_timestamps={name: plain_values(table[f"{name}__event_timestamp"]) for name in types},
        left_out=report.left_out,
        labels={name: {c: told[c] for c in COUNTED} for name, told in report.labels.items()},
        without_value=report.without_value,
    )


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """A column as the oracle gives it: instants as integers, a map as a list of (key, count)."""
    plain = _without_timestamps(column.type)
    return (column if plain == column.type else column.cast(plain)).to_pylist()  # type: ignore[no-any-return]


def _without_timestamps(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(_without_timestamps(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_without_timestamps(kind.key_type), kind.item_type)
    return kind


ENGINES: Mapping[str, Callable[[Case, Path], Answer]] = {"reference": by_reference, "duckdb": by_duckdb}
