"""Ask Spark what other engines are asked: a spec case, or a generated one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.definitions import FeatureService
from featurestore.engines.duckdb import Settings
from featurestore.engines.spark import SparkSettings
from featurestore.registry import Registry
from featurestore.retrieval.spark.build import SparkBuild, written
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Build, Request
from featurestore.sources import open_source
from tests.property.engines import Answered, Question, answered, bits, request_of
from tests.spec.engines import answer_of
from tests.spec.loader import Answer, Case


def ask_spark(service: FeatureService, spine: pa.Table, question: Question, settings: SparkSettings, folder: Path) -> Answered:
    """What `tests.property.engines.by_duckdb` asks DuckDB. folder: empty, for the training set."""
    data = open_source(service.instances[0].view.source, Path("/"))
    bound = Registry.of([service]).bind({"facts": data.types}).service("service")
    opened = open_spine(spine, keys={}, as_of="as_of")
    with SparkBuild(bound, opened, {"facts": data}, settings, request_of(question)) as build:
        build.write(folder)
        found = pa.concat_tables(list(written(folder, build.schema)))
    assert bits(found.select(spine.column_names)).equals(bits(spine))
    return answered(bound, found, build.report)


def by_spark(case: Case, folder: Path, settings: SparkSettings) -> Answer:
    case.write(folder)
    service = case.service(folder)
    registry = Registry.of([service])
    sources = {name: open_source(source, folder) for name, source in registry.sources.items()}
    bound = registry.bind({name: data.types for name, data in sources.items()}).services[service.name]
    options: dict[str, Any] = {"as_of": "as_of", **case.options}
    keys = {column: key.dtype for column, key in bound.spine_keys.items()}
    request = Request(include=("status", "event_timestamp"), **options)
    spine = open_spine(case.spine, keys=keys, as_of=request.as_of)
    with SparkBuild(bound, spine, sources, settings, request) as build:
        (folder / "out").mkdir()
        build.write(folder / "out")
        table = pa.concat_tables(list(written(folder / "out", build.schema)))
    return answer_of(table, {**bound.feature_types, **bound.label_types}, build.report)


def by_both(service: FeatureService, spine: pa.Table, folder: Path, settings: SparkSettings) -> tuple[pa.Table, pa.Table]:
    """(DuckDB's, Spark's) training set of a service over files, with all that can be included."""
    sources = {name: open_source(source, Path("/")) for name, source in Registry.of([service]).sources.items()}
    bound = Registry.of([service]).bind({name: data.types for name, data in sources.items()}).service(service.name)
    request = Request(include=("status", "event_timestamp"))
    with Build(bound, open_spine(spine, keys={}, as_of="as_of"), sources, Settings(threads=1), request) as one:
        expected = pa.concat_tables(list(one.batches()))
    folder.mkdir()
    with SparkBuild(bound, open_spine(spine, keys={}, as_of="as_of"), sources, settings, request) as other:
        other.write(folder)
        found = pa.concat_tables(list(written(folder, other.schema)))
    assert other.report.content_hash == one.report.content_hash
    assert other.report.features == one.report.features
    assert other.report.left_out == one.report.left_out
    return expected, found
