"""A column of either side, so that the rows of any window of it can be compared: numbers, or codes of shared categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

Kind = Literal["numbers", "categories", "other", "null"]


def kind_of(dtype: pa.DataType) -> Kind:
    """Numbers are compared by their order, categories by name, and of the rest NULL alone: times move with the calendar,
    and no two lists need be alike. A column that is all NULL may be any kind."""
    if pa.types.is_dictionary(dtype):
        return kind_of(dtype.value_type)
    if pa.types.is_null(dtype):
        return "null"
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype):
        return "numbers"
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if pa.types.is_boolean(dtype) or any(is_text(dtype) for is_text in text):
        return "categories"
    return "other"


def name_of(dtype: pa.DataType) -> str:
    """A type as people write it, however it is laid out."""
    if pa.types.is_dictionary(dtype):
        return name_of(dtype.value_type)
    return str(dtype).removeprefix("large_").removesuffix("_view")


@dataclass(frozen=True)
class Numbers:
    """values: as doubles (integers beyond 2^53 are rounded); null: where there is none."""

    values: Array
    null: Array

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Numbers:
        plain = _plain(column)
        if pa.types.is_null(plain.type):
            return cls(np.zeros(len(plain)), np.ones(len(plain), bool))
        values = plain.cast(pa.float64(), safe=False)
        null = np.asarray(pc.is_null(plain)) if plain.null_count else np.zeros(len(plain), bool)
        return cls(np.asarray(pc.fill_null(values, 0.0) if plain.null_count else values), null)

    def at(self, rows: Array | None) -> Numbers:
        return self if rows is None else Numbers(self.values[rows], self.null[rows])

    def sorted(self) -> tuple[Array, int, int]:
        """(values that are there, sorted; rows that are NULL; rows that are NaN)."""
        there = self.values[~self.null] if self.null.any() else self.values
        ordered = np.sort(there)  # NaN last
        numbers = int(np.searchsorted(ordered, np.inf, side="right"))
        return ordered[:numbers], len(self.values) - len(there), len(there) - numbers


@dataclass(frozen=True)
class Categories:
    """codes: of `names`, -1 where there is no value."""

    codes: Array
    names: pa.Array

    @classmethod
    def of_both(cls, reference: pa.ChunkedArray, current: pa.ChunkedArray) -> tuple[Categories, Categories]:
        """Two columns with the same codes. NULL is none of them."""
        parts = [_plain(column).cast(pa.large_string()) for column in (reference, current)]
        coded = pa.concat_arrays(parts).dictionary_encode()
        codes = np.asarray(pc.fill_null(coded.indices, -1))
        return cls(codes[: len(parts[0])], coded.dictionary), cls(codes[len(parts[0]) :], coded.dictionary)

    def at(self, rows: Array | None) -> Categories:
        return self if rows is None else Categories(self.codes[rows], self.names)

    def counts(self) -> tuple[Array, int]:
        """(rows by code, rows that are NULL)."""
        counted = np.bincount(self.codes + 1, minlength=len(self.names) + 1)
        return counted[1:], int(counted[0])


def _plain(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
