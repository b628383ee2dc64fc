"""Read a column that somebody else wrote as values of a feature, and say in which rows it is not the truth.

Other tools spell our types in their own way: integers beside a missing value as doubles, booleans as text, instants without
a zone. A value that is the same in the feature's type is the same. What cannot be read as that type is no value of it.
"""

from __future__ import annotations

import ast
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType, decoded
from featurestore.errors import FeatureStoreError
from featurestore.intervals import zone
from featurestore.sources.times import TimeReading, to_micros

ROUNDED = {"sum", "mean", "stddev_samp", "stddev_pop", "var_samp", "var_pop", "quantile"}
"""Aggregates that other tools compute in doubles as they come, so that their last digits differ."""
_TRUE, _FALSE = ["true", "True", "TRUE", "1", "1.0", "t"], ["false", "False", "FALSE", "0", "0.0", "f"]


@dataclass(frozen=True)
class Compared:
    """How strictly a column is compared. ours: written by featurestore, so bit for bit. tolerance: relative, of sums and
    the like of doubles in other files. aggregate: of the feature, None for latest and on-demand ones. single: the file has
    single precision, so no more of the truth is asked for. blank: NULL may be an empty text, as in CSV of others."""

    dtype: DType
    aggregate: str | None = None
    ours: bool = False
    tolerance: float = 0.0
    single: bool = False
    blank: bool = False

    @property
    def may_round(self) -> bool:
        return not self.ours and self.tolerance > 0 and self.dtype.is_float and self.aggregate in ROUNDED


def read(column: pa.ChunkedArray, dtype: DType, timezone: str = "UTC") -> tuple[pa.Array, pa.Array | None]:
    """(the values in the feature's type, where a value cannot be read as such). The second is None where all can.

    NaN stays NaN. timezone: of naive instants.
    """
    values = plain(column)
    if values.type == dtype.arrow:
        return values, None
    read = _as(values, dtype, timezone)
    bad = pc.and_(pc.invert(_missing_or_nan(values)), read.is_null())
    return read, bad if pc.any(bad, min_count=0).as_py() else None


def differs(found: pa.Array, truth: pa.Array, how: Compared) -> tuple[pa.Array, int]:
    """(True where a found value is not the truth, how many are the truth but for rounding).

    NULL is NULL, NaN is NaN, -0.0 is 0.0. In files of others a NaN may stand for NULL, as pandas has it.
    """
    if how.dtype.is_float:
        return _floats(found, truth, how)
    if how.dtype.is_list or how.dtype.is_map:
        return _nested(found, truth), 0
    if how.blank and how.dtype.name == "string":
        found, truth = (pc.if_else(pc.equal(values, ""), None, values) for values in (found, truth))
    both = pc.and_(found.is_valid(), truth.is_valid())
    unlike = pc.and_(both, pc.fill_null(pc.not_equal(found, truth), False))
    return pc.or_(unlike, pc.xor(found.is_valid(), truth.is_valid())), 0


def _floats(found: pa.Array, truth: pa.Array, how: Compared) -> tuple[pa.Array, int]:
    missing = _missing if how.ours else _missing_or_nan
    truth = truth.cast(pa.float32(), safe=False).cast(truth.type) if how.single else truth
    no_found, no_truth = missing(found), missing(truth)
    both = pc.invert(pc.or_(no_found, no_truth))
    nan = pc.and_(pc.fill_null(pc.is_nan(found), False), pc.fill_null(pc.is_nan(truth), False))
    equal = pc.or_(nan, pc.fill_null(pc.equal(found, truth), False))
    unlike = pc.or_(pc.and_(both, pc.invert(equal)), pc.xor(no_found, no_truth))
    if not how.may_round or not pc.any(unlike, min_count=0).as_py():
        return unlike, 0
    gap = pc.abs(pc.subtract(found, truth))
    near = pc.less_equal(gap, pc.multiply(pc.max_element_wise(pc.abs(found), pc.abs(truth)), how.tolerance))
    rounded = pc.and_(unlike, pc.fill_null(pc.and_(near, pc.is_finite(found)), False))
    return pc.and_(unlike, pc.invert(rounded)), pc.sum(rounded, min_count=0).as_py()


def _missing(values: pa.Array) -> pa.Array:
    return values.is_null()


def _missing_or_nan(values: pa.Array) -> pa.Array:
    return values.is_null(nan_is_null=pa.types.is_floating(values.type))


def _nested(found: pa.Array, truth: pa.Array) -> pa.Array:
    if found.equals(truth):
        return pa.repeat(pa.scalar(False), len(found))
    pairs = zip(found.to_pylist(), truth.to_pylist(), strict=True)
    return pa.array([_same_text(one) != _same_text(other) for one, other in pairs], pa.bool_())


def _same_text(value: Any) -> str:
    return repr(value).replace("-0.0", "0.0")


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of values that kernels know: encodings decoded, text in its plain form."""
    values = decoded(column)
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def _as(values: pa.Array, dtype: DType, timezone: str) -> pa.Array:
    """Values in the feature's type; NULL where they are none of it."""
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), dtype.arrow)
    text = pa.types.is_string(values.type)
    try:
        if dtype.name == "bool":
            return _booleans(values, text)
        if dtype.is_timestamp:
            return to_micros(values, TimeReading(zone=zone(timezone).key, format="iso8601")).cast(dtype.arrow)
        if text and (dtype.is_list or dtype.is_map):
            return pa.array([_listed(value, dtype) for value in values.to_pylist()], dtype.arrow)
        return _numbers(values, dtype, text) if dtype.is_numeric else values.cast(dtype.arrow)
    except (FeatureStoreError, pa.ArrowException, TypeError, ValueError):
        return _one_by_one(values, dtype, timezone)


def _booleans(values: pa.Array, text: bool) -> pa.Array:
    if not text:
        values = values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values
        values = pc.if_else(pc.is_in(values, pa.array([0, 1], values.type)), values, None)
        return pc.equal(values, pa.scalar(1, values.type)) if not pa.types.is_boolean(values.type) else values
    yes, no = (pc.is_in(values, pa.array(words)) for words in (_TRUE, _FALSE))
    return pc.if_else(yes, True, pc.if_else(no, False, None))


def _numbers(values: pa.Array, dtype: DType, text: bool) -> pa.Array:
    if text and _all_digits(values, dtype):
        return pc.utf8_trim_whitespace(values).cast(dtype.arrow)
    if text and not dtype.is_decimal:
        values = pc.utf8_trim_whitespace(values).cast(pa.float64())
    if dtype.is_integer and pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    return values.cast(dtype.arrow, safe=not dtype.is_float)


def _all_digits(values: pa.Array, dtype: DType) -> bool:
    """Whether text can be read as integers, which keep digits that doubles lose."""
    digits = pc.match_substring_regex(values, r"^\s*[+-]?[0-9]+\s*$")
    return dtype.is_integer and bool(pc.all(digits, min_count=0).as_py())


def _one_by_one(values: pa.Array, dtype: DType, timezone: str) -> pa.Array:
    """Some value is none of the type: each by itself, such ones NULL. A whole column of another kind is NULL at once."""
    if len(values) == 0 or not _may_hold(values.type):
        return pa.nulls(len(values), dtype.arrow)
    if len(values) == 1:
        return pa.nulls(1, dtype.arrow)
    half = len(values) // 2
    parts = [_as(part, dtype, timezone) for part in (values.slice(0, half), values.slice(half))]
    return pa.concat_arrays([part.cast(dtype.arrow) for part in parts])


def _may_hold(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal))


def _listed(value: str | None, dtype: DType) -> Any:
    """A list or map that some tool wrote as text: JSON, Python's spelling, or numbers with blanks between them.

    Raises: ValueError.
    """
    if value is None:
        return None
    for read_text in (json.loads, ast.literal_eval, _of_numbers):
        with suppress(ValueError, SyntaxError):
            held: Any = read_text(value)
            return [tuple(pair) for pair in (held.items() if isinstance(held, dict) else held)] if dtype.is_map else list(held)
    raise ValueError(value)


def _of_numbers(value: str) -> list[float]:
    return [float(word) for word in value.strip().removeprefix("[").removesuffix("]").split()]


__all__ = ["ROUNDED", "Compared", "differs", "plain", "read"]
