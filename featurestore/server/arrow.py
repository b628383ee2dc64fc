"""Answers as an Arrow stream: the features' declared types, for those who score in batches.

The schema's metadata say what the JSON answer says beside its rows: feature_service, fingerprint, as_of, and watermarks
(JSON, view -> instant).
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pyarrow as pa

from featurestore.intervals import format_instant
from featurestore.retrieval.online_columns import Columns
from featurestore.retrieval.online_features import Service
from featurestore.retrieval.online_on_demand import Cells


def stream(service: Service, found: Cells, rows: int, include: Sequence[str]) -> bytes:
    """One row per entity, one column per feature, then <feature>__status and <feature>__event_timestamp if included."""
    columns = Columns(service, found, rows)
    table = columns.to_arrow(statuses="statuses" in include, event_timestamps="event_timestamps" in include)
    told = {
        "feature_service": service.name,
        "fingerprint": service.fingerprint,
        "as_of": format_instant(found.t),
        "watermarks": orjson.dumps({view: format_instant(w) for view, w in service.watermarks.items()}),
    }
    table = table.replace_schema_metadata(told)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


__all__ = ["stream"]
