"""Rows of a serve log, column by column: values as the online store keeps them, so that they compare bit by bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from featurestore.audit.truth import Cell, stored
from featurestore.serve_log.layout import KEY, KEY_HASH, REQUEST, column_of, features, status_of

HASHED = "join keys are logged as hashes"
NO_KEY = "join keys are NULL, or redacted"
NO_REQUEST = "what the request brought is NULL, or redacted"

_FAMILIES: Mapping[str, Callable[[pa.DataType], bool]] = {
    "integer": lambda kind: pa.types.is_integer(kind) or pa.types.is_decimal(kind),
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "bool": pa.types.is_boolean,
    "date": pa.types.is_date,
    "binary": lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
}


class Logged:
    """What a log says of some rows. t: the instant each was answered for, microseconds. watermarks: {view instance: W}."""

    def __init__(self, table: pa.Table) -> None:
        self._table, self._features = table, set(features(table.column_names))
        self.t: list[int] = stored(table["t"])
        self.fingerprints: list[str] = table["fingerprint"].to_pylist()
        self.watermarks: list[Mapping[str, int]] = [json.loads(told or "{}") for told in table["watermarks"].to_pylist()]

    @property
    def features(self) -> list[str]:
        """Those that were served in some row."""
        return features(self._table.column_names)

    def cells(self, feature: str) -> list[Cell | None]:
        """What was served of a feature, None in rows that it was not asked in, or is redacted in; of event timestamps the log
        knows nothing."""
        if feature not in self._features:
            return [None] * len(self.t)
        statuses = self._table[status_of(feature)].to_pylist()
        pairs = zip(stored(self._table[column_of(feature)]), statuses, strict=True)
        return [None if status is None else Cell(value, status, None) for value, status in pairs]

    def key(self, column: str, family: str) -> tuple[list[Any], list[str]]:
        """The values of a join key in each row, and why they name no entity, or ""."""
        values = self._values(KEY + column)
        is_readable = values is not None and _FAMILIES[family](self._table[KEY + column].type)
        if values is None or not is_readable:
            values = [None] * len(self.t)
        hashed = self._values(KEY_HASH + column) or [None] * len(self.t)
        whys = ["" if v is not None else HASHED if h is not None else NO_KEY for v, h in zip(values, hashed, strict=True)]
        return [int(v) if v is not None and family == "integer" else v for v in values], whys

    def request(self, name: str) -> list[Any]:
        """What each request brought of that name; None where the log does not say."""
        return self._values(REQUEST + name) or [None] * len(self.t)

    def _values(self, column: str) -> list[Any] | None:
        there = column in self._table.column_names and not pa.types.is_null(self._table[column].type)
        return stored(self._table[column]) if there else None


__all__ = ["Logged", "NO_REQUEST"]
