"""What is told of a run, a job and its datasets: facets of OpenLineage as plain data. A test holds each against the
specification's own classes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from featurestore.errors import FeatureStoreError
from featurestore.openlineage.datasets import Dataset
from featurestore.plan.lineage import Use

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_VERSIONS = {
    "ColumnLineageDatasetFacet": "1-2-0",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DocumentationJobFacet": "1-1-0",
    "ErrorMessageRunFacet": "1-0-1",
    "JobTypeJobFacet": "2-0-4",
    "NominalTimeRunFacet": "1-0-1",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "OwnershipJobFacet": "1-0-1",
    "ParentRunFacet": "1-2-0",
    "ProcessingEngineRunFacet": "1-1-1",
    "SchemaDatasetFacet": "1-2-0",
}
_SECRETS = re.compile(r"(?<=://)[^/\s@]*@|(?i:(?<=password=)|(?<=secret=)|(?<=token=)|(?<=key=))[^\s&;,)]+")

Facet = dict[str, Any]


def producer() -> str:
    return f"urn:featurestore:{version()}"


def version() -> str:
    return str(sys.modules["featurestore"].__version__)


def _facet(kind: str, **told: Any) -> Facet:
    schema = f"{_FACETS}/{_VERSIONS[kind]}/{kind}.json#/$defs/{kind}"
    return {"_producer": producer(), "_schemaURL": schema, **told}


def schema(columns: Mapping[str, str]) -> Facet:
    """columns: name -> type."""
    fields = [{"name": n, "type": t, "ordinal_position": i} for i, (n, t) in enumerate(columns.items(), 1)]
    return _facet("SchemaDatasetFacet", fields=fields)


def column_lineage(columns: Mapping[str, Iterable[Use]], places: Mapping[str | None, tuple[Dataset, ...]], as_of: str) -> Facet:
    """Of each column where it comes from. places: source -> its datasets; None: those of the spine, whose instants are `as_of`.

    A source that lies in several places is named in each.
    """
    fields = {}
    for name, uses in columns.items():
        found: dict[tuple[Dataset, str], list[dict[str, Any]]] = {}
        for use in uses:
            column = as_of if use.source is None and use.column == "as_of" else use.column
            for place in places.get(use.source, ()):
                found.setdefault((place, column), []).append(_transformation(use))
        inputs = [
            {"namespace": place.namespace, "name": place.name, "field": column, "transformations": told}
            for (place, column), told in found.items()
        ]
        fields[name] = {"inputFields": inputs}
    return _facet("ColumnLineageDatasetFacet", fields=fields)


def _transformation(use: Use) -> dict[str, Any]:
    kind = "DIRECT" if use.direct else "INDIRECT"
    return {"type": kind, "subtype": use.how, "description": use.why, "masking": False}


def dataset_version(named: str) -> Facet:
    return _facet("DatasetVersionDatasetFacet", datasetVersion=named)


def output_statistics(rows: int, size: int | None) -> Facet:
    return _facet("OutputStatisticsOutputDatasetFacet", rowCount=rows, **({} if size is None else {"size": size}))


def job_type(kind: str) -> Facet:
    return _facet("JobTypeJobFacet", processingType="BATCH", integration="FEATURESTORE", jobType=kind)


def documentation(text: str) -> Facet:
    return _facet("DocumentationJobFacet", description=text)


def ownership(owner: str) -> Facet:
    return _facet("OwnershipJobFacet", owners=[{"name": owner}])


def processing_engine(engine: str) -> Facet:
    from importlib import metadata

    try:
        installed = metadata.version({"spark": "pyspark"}.get(engine, engine))
    except metadata.PackageNotFoundError:  # of Spark Connect there are packages of other names
        installed = "unknown"
    return _facet("ProcessingEngineRunFacet", name=engine, version=installed, openlineageAdapterVersion=version())


def nominal_time(start: str) -> Facet:
    return _facet("NominalTimeRunFacet", nominalStartTime=start)


def parent(text: str) -> Facet | None:
    """The run that started this one, "namespace/job/run id" as orchestrators hand it on; None if it is not that."""
    match = re.fullmatch(r"([^/]+)/(.+)/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})", text)
    if match is None:
        return None
    return _facet("ParentRunFacet", run={"runId": match[3]}, job={"namespace": match[1], "name": match[2]})


def error_message(error: BaseException) -> Facet:
    """What went wrong, without secrets: of what nobody foresaw only its kind."""
    told = f"{error.code} {error.what}" if isinstance(error, FeatureStoreError) else f"unexpected {type(error).__name__}"
    return _facet("ErrorMessageRunFacet", message=_SECRETS.sub("…", told), programmingLanguage="PYTHON")
