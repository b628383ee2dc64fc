"""The offline side of a verification: training sets at (t, K = W) over exactly the files of S.

Cells come back as the online store gives them (dates are days, times microseconds), so that they can be compared bit by
bit. A sum that leaves its type fails a whole build; here it becomes the one cell `OVERFLOW`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from featurestore.audit.probes import Key, Probe, key_array
from featurestore.definitions import FeatureService, ViewInstance
from featurestore.dtypes import DType
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.reference.evaluate import DAY_CASTS, evaluator
from featurestore.errors import DataError
from featurestore.expressions import Call, Cast, Expr, columns
from featurestore.plan.nodes import OnDemand
from featurestore.registry import BoundView, bind_service
from featurestore.retrieval.on_demand import OnDemandColumns
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import INCLUDES, Build, Request
from featurestore.sources import SourceData

OVERFLOW = "overflow"
"""The status of a cell whose sum leaves its type: offline an error, online `unavailable`."""
_AS_OF = "__as_of"
_VARIANCES, _DEVIATIONS = {"var_samp", "var_pop"}, {"stddev_samp", "stddev_pop"}
_LIBRARY = {"exp", "ln", "power"}
"""Operations that IEEE does not fix: two libraries may differ in the last places."""


class Cell(NamedTuple):
    value: Any
    status: str
    event: int | None


@dataclass(frozen=True)
class ViewTruth:
    """F of one view over one source state. data: exactly the files of S, and what was pushed of it. known_before: W; where
    what was pushed since is online too, that is all, and W is `files_before`."""

    bound: BoundView
    data: SourceData
    settings: Settings
    known_before: int
    files_before: int | None = None

    def cells(self, features: Sequence[str], keys: Sequence[Key], instants: Sequence[int]) -> dict[str, list[Cell]]:
        """{feature of the view: a cell per (key, instant)}. Raises: SourceError FS326 if a file changes meanwhile."""
        if not keys:
            return {name: [] for name in features}
        try:
            return self._built(features, keys, instants)
        except DataError as error:
            if error.code != "FS307":
                raise
        if len(features) > 1:
            return {name: self.cells([name], keys, instants)[name] for name in features}
        if len(keys) == 1:
            return {features[0]: [Cell(None, OVERFLOW, None)]}
        half = len(keys) // 2
        halves = [self.cells(features, keys[part], instants[part]) for part in (slice(half), slice(half, None))]
        return {features[0]: [cell for one in halves for cell in one[features[0]]]}

    def _built(self, features: Sequence[str], keys: Sequence[Key], instants: Sequence[int]) -> dict[str, list[Cell]]:
        view = self.bound.view
        spine: dict[str, Any] = {_AS_OF: pa.array(instants, pa.int64()).cast(pa.timestamp("us", "UTC"))}
        for i, key in enumerate(self.bound.keys):
            spine[_spine_column(key.name)] = key_array([k[i] for k in keys], key.family)
        names = {name: _spine_column(name) for name in view.join_keys}
        instance = ViewInstance(view=view, chosen=tuple(features)).with_join_key_map(names)
        service = bind_service(FeatureService(name="truth", features=[instance]), {view.name: self.bound}, {})
        request = Request(as_of=_AS_OF, known_before=self.known_before, include=INCLUDES, files_before=self.files_before)
        opened = open_spine(pa.table(spine), keys={}, as_of=_AS_OF)
        with Build(service, opened, {view.source.name: self.data}, self.settings, request) as build:
            table = pa.concat_tables(list(build.batches()))
        return {name: _cells(table, name) for name in features}


def _spine_column(key: str) -> str:
    """No feature's name: names hold no double underscore."""
    return f"__{key}"


def _cells(table: pa.Table, name: str) -> list[Cell]:
    values = stored(table[name])
    statuses = table[f"{name}__status"].to_pylist()
    events = table[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
    return [Cell(*cell) for cell in zip(values, statuses, events, strict=True)]


def stored(column: pa.ChunkedArray) -> list[Any]:
    """A column as the online store gives it: instants and dates as integers, a map as a list of (key, count)."""
    plain = _stored_type(column.type)
    return (column if plain == column.type else column.cast(plain)).to_pylist()  # type: ignore[no-any-return]


def _stored_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_date(kind):
        return pa.int32()
    if pa.types.is_list(kind):
        return pa.list_(_stored_type(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_stored_type(kind.key_type), kind.item_type)
    return kind


# On demand.


class OnDemandTruth:
    """The on-demand features of one view of a service, over offline cells."""

    def __init__(self, node: OnDemand, settings: Settings) -> None:
        self._node, self._settings = node, settings

    @property
    def features(self) -> dict[str, DType]:
        return {output.name: output.dtype for output in self._node.outputs}

    def reads(self, feature: str) -> tuple[str, ...]:
        """The columns of views that a feature reads."""
        read = set(columns(self._expression(feature)))
        return tuple(o.column for o in self._node.operands if o.name in read and o.origin == "feature")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of views that any feature reads."""
        return tuple(o.column for o in self._node.operands if o.origin == "feature")

    @property
    def requested(self) -> tuple[str, ...]:
        """What any feature reads of the request."""
        return tuple(o.column for o in self._node.operands if o.origin == "request")

    def cells(self, probes: Sequence[Probe], inputs: Mapping[str, Sequence[Any]]) -> dict[str, list[Cell]]:
        """{feature: a cell per probe}. inputs: {column: a stored value per probe}."""
        types = {o.column: o.dtype for o in self._node.operands}
        at = pa.array([p.t for p in probes], pa.int64())
        given = {column: pa.chunked_array([_array(values, types[column])]) for column, values in inputs.items()}
        with Session(self._settings) as session:
            made = OnDemandColumns(self._node, session, ())
            found = made.of(len(probes), given, lambda name: _array([p.request[name] for p in probes], types[name]), at)
        return {
            name: [Cell(value, "null" if value is None else "present", None) for value in stored(found[name])]
            for name in self.features
        }

    def agrees(self, feature: str, value: Any, probe: Probe, inputs: Mapping[str, Any]) -> bool:
        """Whether a value the engine does not give is what library functions of this process make of the same operands."""
        expression = self._expression(feature)
        if not _library(expression):
            return False
        origins: Mapping[str, Mapping[str, Any]] = {"feature": inputs, "request": probe.request, "as_of": {"as_of": probe.t}}
        known = {o.name: origins[o.origin][o.column] for o in self._node.operands}
        return bool(bits(evaluator(expression, self._node.types, DAY_CASTS)(known)) == bits(value))

    def _expression(self, feature: str) -> Expr:
        expression = next(o.expression for o in self._node.outputs if o.name == feature)
        assert expression is not None
        return expression


def _library(expression: Expr) -> bool:
    if isinstance(expression, Call):
        return expression.operation in _LIBRARY or any(map(_library, expression.args))
    return isinstance(expression, Cast) and _library(expression.operand)


def _array(values: Sequence[Any], dtype: DType) -> pa.Array:
    plain = _stored_type(dtype.arrow)
    array = pa.array(values, plain)
    return array if plain == dtype.arrow else array.cast(dtype.arrow)


# When two values are one.


def alike(online: Any, offline: Any, aggregate: str | None) -> bool:
    """Bit for bit; variances within the contract's tolerance (section 5), as far as it is known without a mean."""
    if bits(online) == bits(offline):
        return True
    if aggregate not in _VARIANCES | _DEVIATIONS or not isinstance(online, float) or not isinstance(offline, float):
        return False
    one, other = (online * online, offline * offline) if aggregate in _DEVIATIONS else (online, offline)
    return online >= 0.0 and math.isfinite(other) and abs(one - other) <= 1e-9 * other


def bits(value: Any) -> Any:
    """A value as it compares bit by bit: any NaN is one, 0.0 is not -0.0, decimals have a scale, true is not 1."""
    if isinstance(value, float):
        return ("nan",) if value != value else ("float", struct.pack(">d", value))
    if isinstance(value, Decimal):
        return ("decimal", value, value.as_tuple().exponent)
    if isinstance(value, list | tuple):
        return ("list", *map(bits, value))
    return None if value is None else (type(value).__name__, value)


__all__ = ["OVERFLOW", "Cell", "OnDemandTruth", "ViewTruth", "alike", "bits", "stored"]
