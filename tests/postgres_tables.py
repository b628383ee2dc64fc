"""Arrow tables as tables of PostgreSQL, column for column: only types that both have."""

from __future__ import annotations

import pyarrow as pa

from tests.postgres_server import PostgresServer

_SAME = {
    pa.bool_(): "bool", pa.int16(): "int2", pa.int32(): "int4", pa.int64(): "int8", pa.float32(): "float4",
    pa.float64(): "float8", pa.string(): "text", pa.binary(): "bytea", pa.date32(): "date", pa.timestamp("us"): "timestamp",
}  # fmt: skip
_LISTED = (pa.bool_(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.binary())


def sql_type(kind: pa.DataType) -> str | None:
    """The type of PostgreSQL that holds the same values; None: there is none."""
    if pa.types.is_decimal128(kind) and 0 <= kind.scale <= kind.precision:
        return f"numeric({kind.precision}, {kind.scale})"
    if pa.types.is_list(kind) and kind.value_type in _LISTED:
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_timestamp(kind) and kind.unit == "us" and kind.tz is not None:
        return "timestamptz"
    return _SAME.get(kind)


def load(server: PostgresServer, name: str, table: pa.Table) -> None:
    """Make the table `name` of schema public anew. What `sql_type` does not know it refuses."""
    columns = ", ".join(f"{_quoted(f.name)} {_known(f.type)}" for f in table.schema)
    server.sql(f"DROP TABLE IF EXISTS {_quoted(name)} CASCADE; CREATE TABLE {_quoted(name)} ({columns})")
    append(server, name, table)


def append(server: PostgresServer, name: str, table: pa.Table) -> None:
    """Add the rows to a table that `load` has made."""
    from adbc_driver_postgresql import dbapi

    plain = pa.schema([pa.field(f.name, _plain(f.type)) for f in table.schema])
    with dbapi.connect(server.admin_url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table.cast(plain), mode="append")
        connection.commit()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _known(kind: pa.DataType) -> str:
    found = sql_type(kind)
    assert found is not None, f"PostgreSQL has no {kind}"
    return found


def _plain(kind: pa.DataType) -> pa.DataType:
    """Zones as the driver writes them."""
    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) and kind.tz is not None else kind
