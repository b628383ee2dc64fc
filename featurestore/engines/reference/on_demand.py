"""On-demand features as CONTRACT 9 says them: each row's own features, the request's values, and t, in scalar expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from featurestore.definitions import OnDemandInstance
from featurestore.dtypes import TIMESTAMP, DType, from_arrow
from featurestore.engines.reference.evaluate import evaluator, lacking
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_values
from featurestore.errors import SpineError
from featurestore.expressions import result_type


class OnDemand:
    """One on-demand view of a service, whose inputs' columns have the types `inputs`.

    types: of its features. without_value: {feature: rows in which an operation had no value} so far.
    """

    def __init__(self, instance: OnDemandInstance, inputs: Mapping[str, DType]) -> None:
        self.request = instance.view.request
        written = instance.view.expressions
        features = {out: written[name] for out, name in instance.features}
        types = {**inputs, **self.request, "as_of": TIMESTAMP}
        self.types = {name: result_type(e, types, what=name) for name, e in features.items()}
        self.without_value = dict.fromkeys(features, 0)
        self._features = [(name, evaluator(e, types), lacking(e, types)) for name, e in features.items()]

    def values(self, known: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Each feature's value for a row, of which `known` holds every name that may be read."""
        for name, _, lacks in self._features:
            self.without_value[name] += lacks(known)
        return [(name, value(known)) for name, value, _ in self._features]


def read_request(request: Mapping[str, DType], spine: pa.Table, reading: Reading) -> dict[str, list[Any]]:
    """Every request column's values, a row each. Raises: SpineError FS303 (no such column), FS302 (another type)."""
    return {name: _read(name, dtype, spine, reading) for name, dtype in request.items()}


def _read(name: str, dtype: DType, spine: pa.Table, reading: Reading) -> list[Any]:
    if name not in spine.column_names:
        raise SpineError("FS303", f"the spine has no column {name!r} for the request", known=spine.column_names)
    column = spine.column(name)
    if pa.types.is_null(column.type):
        return [None] * len(column)
    found = from_arrow(column.type)
    same_kind = (
        (dtype.is_integer and found.is_integer)
        or (dtype.name == "double" and found.is_float)
        or (dtype.is_timestamp and found.name == "string")
    )
    if found != dtype and not same_kind:
        raise SpineError("FS302", f"request column {name!r} is {found}, not {dtype}", hint=f"a cast to {dtype}")
    is_text_time = dtype.is_timestamp and found.name == "string"
    values = [reading.instant(scalar) for scalar in column] if is_text_time else read_values(column, reading)
    for row, (value, scalar) in enumerate(zip(values, column, strict=True)):
        unread = value is None and scalar.is_valid
        if unread or (value is not None and dtype.is_integer and not _fits(value, dtype)):
            what = f"request column {name!r} is {dtype}, but row {row} holds {scalar}"
            raise SpineError("FS302", what, where=f"spine row {row} (counted from 0)")
    return values


def _fits(value: int, dtype: DType) -> bool:
    bits = int(dtype.name.lstrip("uint"))
    low = 0 if dtype.name.startswith("u") else -(1 << bits - 1)
    return low <= value < low + (1 << bits)
