"""Write answers as JSON: one row per entity, values as JSON can carry them without loss.

NaN and infinities by name, decimals as text, times as RFC 3339 in UTC with six digits, dates as YYYY-MM-DD, binary in
base64, 64-bit integers as text where that was asked for, a histogram as [[value, count], …]. What never changes of a
service's answers is encoded once.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

import orjson

from featurestore.dtypes import DType
from featurestore.intervals import MICROS_PER_SECOND, format_instant
from featurestore.retrieval.online_features import Service, as_date
from featurestore.retrieval.online_on_demand import Cells

Writer = Callable[[Any], Any]


class Wire:
    """Answers of one service, as bytes."""

    def __init__(self, service: Service, *, int64_text: bool) -> None:
        self.service = service
        names = orjson.dumps(service.feature_names)
        marks = orjson.dumps({view: format_instant(w) for view, w in service.watermarks.items()})
        head = {"feature_service": service.name, "fingerprint": service.fingerprint}
        self._head = orjson.dumps(head)[:-1] + b',"as_of":"'
        self._names = b'","feature_names":' + names + b',"rows":'
        self._tail = b',"watermarks":' + marks + b"}"
        written = [(i, writer(dtype, int64_text)) for i, dtype in enumerate(service.feature_types)]
        self._writers = [(i, write) for i, write in written if write is not None]

    def answer(self, found: Cells, include: Sequence[str]) -> bytes:
        """The whole response."""
        rows = found.rows()
        parts = [self._head, instant(found.t).encode(), self._names, orjson.dumps(self._written(rows))]
        if "statuses" in include:
            parts += [b',"statuses":', orjson.dumps(found.statuses())]
        if "event_timestamps" in include:
            events = [[None if e is None else instant(e) for e in row] for row in found.event_timestamps()]
            parts += [b',"event_timestamps":', orjson.dumps(events)]
        parts.append(self._tail)
        return b"".join(parts)

    def _written(self, rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
        if not self._writers:
            return rows
        written: list[Sequence[Any]] = []
        for row in rows:
            cells = list(row)
            for i, write in self._writers:
                value = cells[i]
                if value is not None:
                    cells[i] = write(value)
            written.append(cells)
        return written


def instant(micros: int) -> str:
    """As `format_instant`. Instants of one second share all but the fraction."""
    second, fraction = divmod(micros, MICROS_PER_SECOND)
    shown = whole_second(second)
    return f"{shown}.{fraction:06d}Z" if shown else format_instant(micros)


@lru_cache(maxsize=4096)
def whole_second(second: int) -> str:
    """Date and time of day of a second since 1970; "" in years that have no such text."""
    text = format_instant(second * MICROS_PER_SECOND)
    return text.removesuffix(".000000Z") if text.endswith("Z") else ""


def number(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _binary(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _date(days: int) -> str:
    found = as_date(days)
    return f"{found}d" if isinstance(found, int) else found.isoformat()


def _decimal(value: Any) -> str:
    return format(value, "f")


_WRITERS: Mapping[str, Writer] = {
    "float": number, "double": number, "binary": _binary, "date32": _date, "timestamp[us, UTC]": instant,
}  # fmt: skip


def writer(dtype: DType, int64_text: bool) -> Writer | None:
    """How a value of the type is written; None where orjson writes it as it is."""
    if int64_text and dtype.name in ("int64", "uint64"):
        return str
    if dtype.is_decimal:
        return _decimal
    if dtype.is_list:
        item = writer(dtype.item, int64_text)
        return None if item is None else lambda values: [None if v is None else item(v) for v in values]
    if dtype.is_map:
        key, count = writer(dtype.key, int64_text) or as_is, str if int64_text else as_is
        return lambda pairs: [[key(value), count(number)] for value, number in pairs]
    return _WRITERS.get(dtype.name)


def as_is(value: Any) -> Any:
    return value
