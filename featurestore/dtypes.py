"""The closed set of value types: the subset of Arrow's that every engine, and the online store, can carry exactly.

A type is written as Arrow prints it: "int64", "double", "string", "timestamp[us, UTC]", "list<float>". Physical spellings
of one meaning (large_string, dictionary, timestamp in ms) are folded here; what cannot be folded is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import DefinitionError, FeatureStoreError

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float", "double")
_SIMPLE = {
    "bool": pa.bool_(),
    **{name: getattr(pa, name)() for name in INTEGERS},
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date32": pa.date32(),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
}
_ALIASES = {
    "float32": "float", "float64": "double", "str": "string", "utf8": "string", "boolean": "bool", "date": "date32",
    "date32[day]": "date32", "timestamp": "timestamp[us, UTC]", "timestamp[us, tz=UTC]": "timestamp[us, UTC]",
    "int": "int64", "bytes": "binary", "large_string": "string", "large_binary": "binary",
}  # fmt: skip
_DECIMAL = re.compile(r"decimal(?:128)?\((\d{1,2}),\s*(\d{1,2})\)")
_LIST = re.compile(r"list<(?:\w+:\s*)?(.+)>")
_MAP = re.compile(r"map<(.+), int64>")


@dataclass(frozen=True)
class DType:
    """One value type, by its canonical name. Equal names are equal types."""

    name: str

    def __str__(self) -> str:
        return self.name

    @cached_property
    def arrow(self) -> pa.DataType:
        """The Arrow type this package writes for it."""
        if self.name in _SIMPLE:
            return _SIMPLE[self.name]
        if self.is_decimal:
            return pa.decimal128(*self.precision_scale)
        if self.is_map:
            return pa.map_(self.key.arrow, pa.int64())
        return pa.list_(self.item.arrow)

    @property
    def is_integer(self) -> bool:
        return self.name in INTEGERS

    @property
    def is_float(self) -> bool:
        return self.name in FLOATS

    @property
    def is_decimal(self) -> bool:
        return self.name.startswith("decimal")

    @property
    def is_numeric(self) -> bool:
        return self.is_integer or self.is_float or self.is_decimal

    @property
    def is_list(self) -> bool:
        return self.name.startswith("list<")

    @property
    def is_map(self) -> bool:
        """A histogram: value to count. Only aggregates make one; no column of a source may be one."""
        return self.name.startswith("map<")

    @property
    def is_timestamp(self) -> bool:
        return self.name.startswith("timestamp")

    @cached_property
    def precision_scale(self) -> tuple[int, int]:
        match = _DECIMAL.fullmatch(self.name)
        assert match is not None
        return int(match[1]), int(match[2])

    @cached_property
    def item(self) -> DType:
        """The element type of a list."""
        match = _LIST.fullmatch(self.name)
        assert match is not None
        return DType(match[1])

    @cached_property
    def key(self) -> DType:
        """The key type of a map."""
        match = _MAP.fullmatch(self.name)
        assert match is not None
        return DType(match[1])

    @cached_property
    def key_family(self) -> str | None:
        """The family in which keys of this type compare: integer, text, bool, date, binary; None: not a key type."""
        if self.is_integer or (self.is_decimal and self.precision_scale[1] == 0):
            return "integer"
        return {"string": "text", "bool": "bool", "date32": "date", "binary": "binary"}.get(self.name)


class ColumnTypes(dict[str, DType]):
    """Column -> type. refused: why columns that are there have none."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, FeatureStoreError] = {}


BOOL, INT64, DOUBLE, STRING = DType("bool"), DType("int64"), DType("double"), DType("string")
BINARY, DATE, TIMESTAMP = DType("binary"), DType("date32"), DType("timestamp[us, UTC]")


def parse_dtype(text: str | DType | pa.DataType) -> DType:
    """Read a type from its name or from Arrow. Raises: DefinitionError for a type outside the closed set."""
    if isinstance(text, DType):
        return text
    if isinstance(text, pa.DataType):
        return from_arrow(text)
    if not isinstance(text, str):
        raise DefinitionError("FS213", f"{text!r} is not a type", known=[*_SIMPLE, "decimal128(p, s)", "list<…>"])
    name = _ALIASES.get(text, text)
    if name in _SIMPLE:
        return DType(name)
    if match := _DECIMAL.fullmatch(name):
        precision, scale = int(match[1]), int(match[2])
        if 1 <= precision <= 38 and scale <= precision:
            return DType(f"decimal128({precision}, {scale})")
    if match := _LIST.fullmatch(name):
        return DType(f"list<{parse_dtype(match[1])}>")
    if match := _MAP.fullmatch(name):
        return DType(f"map<{parse_dtype(match[1])}, int64>")
    raise DefinitionError("FS213", f"unknown type {text!r}", known=[*_SIMPLE, "decimal128(p, s)", "list<…>"])


_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def decoded(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of the same values without dictionary, runs or views, which not every kernel of Arrow knows."""
    if isinstance(values, pa.ChunkedArray):
        parts = [decoded(chunk) for chunk in values.chunks]
        return pa.concat_arrays(parts) if parts else decoded(values.combine_chunks())
    if pa.types.is_dictionary(values.type):
        return decoded(values.dictionary).take(values.indices)
    if pa.types.is_run_end_encoded(values.type):
        return decoded(pc.run_end_decode(values))
    return values.cast(_VIEWS[values.type]) if values.type in _VIEWS else values


def from_arrow(arrow: pa.DataType) -> DType:
    """Fold an Arrow type into the closed set: encodings, widths of offsets and time units do not matter to meaning.

    A naive timestamp folds too: its zone is the source's declaration. Raises: DefinitionError for structs, maps, …
    """
    if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
        return from_arrow(arrow.value_type)
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return STRING
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow):
        return BINARY
    if pa.types.is_fixed_size_binary(arrow):
        return BINARY
    if pa.types.is_timestamp(arrow):
        return TIMESTAMP
    if pa.types.is_date(arrow):
        return DATE
    if pa.types.is_float16(arrow):
        return DType("float")
    if pa.types.is_decimal(arrow) and arrow.precision <= 38 and 0 <= arrow.scale <= arrow.precision:
        return DType(f"decimal128({arrow.precision}, {arrow.scale})")
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return DType(f"list<{from_arrow(arrow.value_type)}>")
    for name, simple in _SIMPLE.items():
        if arrow == simple:
            return DType(name)
    raise DefinitionError("FS213", f"a column of Arrow type {arrow} is not a feature value", known=[*_SIMPLE, "list<…>"])
