"""Predictions, and the settled labels that belong to them: read them, and say what has to be built.

A file has the service's join keys, an instant and a score. A serve log has the keys as `key.<name>`, and t.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions import FeatureService
from featurestore.definitions.label import LabelView
from featurestore.errors import DataError, UsageError, nearest
from featurestore.monitoring.drift.asked import SCHEME, Places, open_side
from featurestore.monitoring.drift.sides import Rows, of_table
from featurestore.retrieval.spine import instants, spine_of

_OFFSET = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True)
class Predictions:
    """Rows in their order. spine: join keys and `as_of` (instants, UTC). at: the same as integer microseconds."""

    spine: pa.Table
    score: pa.ChunkedArray
    at: Any


def labels_alone(service: FeatureService, label: str | None, columns: list[str]) -> tuple[FeatureService, str, str]:
    """A service of one label, and of one feature because a service has one. Returns: it, the label's column, and the name of
    its view. Raises: UsageError FS396 for a service without that label, or columns that lack its keys."""
    known = {column: instance for instance in service.labels for column, _ in instance.features}
    if not known:
        what = f"service {service.name!r} has no label view, so nothing says how its predictions came out"
        raise UsageError("FS396", what, hint="labels=[…] on the service")
    if label is None and len(known) > 1:
        raise UsageError("FS396", f"service {service.name!r} has {len(known)} labels", known=known, hint="--label NAME")
    name = label or next(iter(known))
    if name not in known:
        raise UsageError("FS396", f"service {service.name!r} has no label {name!r}", known=known, hint=nearest(name, known))
    assert isinstance(known[name].view, LabelView)
    missing = [key for key in known[name].key_columns if key not in columns]
    if missing:
        raise UsageError("FS396", f"the predictions have no column {missing[0]!r}, a key of the label", known=columns)
    asked = next((i for i in service.instances if set(i.key_columns) <= set(columns)), None)
    if asked is None:
        raise UsageError("FS396", "the predictions have the keys of none of the service's views", known=columns)
    one = replace(asked, chosen=(asked.view.features[0].name,), hidden=())
    return replace(service, features=[one], labels=[known[name]]), name, known[name].name


def opened(given: Any, places: Places) -> Rows:
    """Raises: DataError FS392, UsageError FS394, FS396 for keys that were hashed."""
    if not isinstance(given, str):
        return of_table(given, at=places.at or "as_of")
    rows = open_side(given, places)
    if not isinstance(rows, Rows):
        raise UsageError("FS396", f"{given} is a profile, which has no rows to judge", hint="a file, or serve-log:SERVICE@7d")
    return replace(rows, source=_of_log(rows.source)) if given.startswith(SCHEME) else rows


def _of_log(table: Any) -> pa.Table:
    """Columns of a log under the names that a file has; what was requested, where no feature has its name."""
    names = table.column_names
    plain = [name.removeprefix("key.").removeprefix("request.") for name in names]
    return table.rename_columns([name if short in names else short for name, short in zip(names, plain, strict=True)])


def read(rows: Rows, score: str, keys: list[str], timezone: str) -> Predictions:
    """Raises: UsageError FS396 for a score that is no column; DataError FS396 for text of which some has an offset from UTC
    and some not; SpineError FS300, FS303 for what is no instant."""
    if score not in rows.types:
        raise UsageError("FS396", f"{rows.name} has no column {score!r}", known=rows.types, hint=nearest(score, rows.types))
    assert rows.at is not None
    given = pa.table(
        {name: rows.column(name) for name in dict.fromkeys([*keys, *([rows.at] if rows.at in rows.types else [])])}
    )
    if rows.at in given.column_names:
        _check_offsets(given[rows.at], rows.at, rows.name)
    at = instants(spine_of(given), rows.at, timezone=rows.timezone if timezone == "UTC" else timezone)
    spine = pa.table({**{key: given[key] for key in keys}, "as_of": at.cast(pa.timestamp("us", "UTC"))})
    return Predictions(spine, rows.column(score), np.asarray(at))


def _check_offsets(column: pa.ChunkedArray, name: str, where: str) -> None:
    """Naive instants among others would be read in a zone that the file may not mean."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return
    aware = pc.sum(pc.match_substring_regex(column, _OFFSET)).as_py() or 0
    if 0 < aware < len(column) - column.null_count:
        what = f"column {name!r} holds {aware:,} instants with an offset from UTC and others without"
        raise DataError("FS396", what, where=where, hint="all of one kind")
