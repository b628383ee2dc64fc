"""How Spark calls our types. It has no unsigned integers: they are held in the next wider type, uint64 as a decimal."""

from __future__ import annotations

from featurestore.dtypes import DType

_NAMES = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INT", "int64": "BIGINT",
    "uint8": "SMALLINT", "uint16": "INT", "uint32": "BIGINT", "uint64": "DECIMAL(20, 0)", "float": "FLOAT",
    "double": "DOUBLE", "string": "STRING", "binary": "BINARY", "date32": "DATE", "timestamp[us, UTC]": "TIMESTAMP",
}  # fmt: skip
_NARROW = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}


def sql_type(dtype: DType) -> str:
    """The Spark type that holds every value of `dtype`: exactly those, except for unsigned integers."""
    if dtype.is_decimal:
        return "DECIMAL({}, {})".format(*dtype.precision_scale)
    if dtype.is_list:
        return f"ARRAY<{sql_type(dtype.item)}>"
    if dtype.is_map:
        return f"MAP<{sql_type(dtype.key)}, BIGINT>"
    return _NAMES[dtype.name]


def key_type(dtype: DType) -> str:
    """The type in which keys of a family compare: one for all integers that fit 64 bits, one for wider ones."""
    if dtype.key_family == "integer":
        return "BIGINT" if dtype.name in _NARROW else "DECIMAL(38, 0)"
    return sql_type(dtype)
