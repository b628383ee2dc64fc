"""How DuckDB calls our types."""

from __future__ import annotations

from featurestore.dtypes import DType

_NAMES = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "float": "FLOAT",
    "double": "DOUBLE", "string": "VARCHAR", "binary": "BLOB", "date32": "DATE", "timestamp[us, UTC]": "TIMESTAMPTZ",
}  # fmt: skip
_NARROW = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}


def sql_type(dtype: DType) -> str:
    """The DuckDB type that holds exactly the values of `dtype`."""
    if dtype.is_decimal:
        return "DECIMAL({}, {})".format(*dtype.precision_scale)
    if dtype.is_list:
        return f"{sql_type(dtype.item)}[]"
    if dtype.is_map:
        return f"MAP({sql_type(dtype.key)}, BIGINT)"
    return _NAMES[dtype.name]


def key_type(dtype: DType) -> str:
    """The type in which keys of a family compare: one for all integers that fit 64 bits, one for wider ones."""
    if dtype.key_family == "integer":
        return "BIGINT" if dtype.name in _NARROW else "DECIMAL(38, 0)"
    return sql_type(dtype)
