"""Ask a server from Python: `Client`, and `AsyncClient` for asyncio, with answers shaped as those of `FeatureStore`.

Look-ups travel as Arrow: its types are the features' own, so that 64-bit integers, decimals, NaN, binary and times arrive
as they are, with no second request for the types and no rules for reading numbers from text. HTTP is httpx's, from the
extra `client`: it speaks both sync and async, keeps connections, and minds proxies and certificates; two clients of our own
over `http.client` and asyncio would be more code for less. Nothing of the store, the server or the engine is imported.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from math import isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from featurestore.errors import FeatureStoreError, RequestError, StoreError, TooEarly, UnknownName, UsageError
from featurestore.intervals import format_instant, parse_instant

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

    from featurestore.dtypes import DType

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
TIMEOUT = 10.0
"""Seconds a connection, and each wait for the next bytes of an answer, may take."""
RETRIES = 2
LONGEST_WAIT = 5.0
"""Seconds waited at most before asking again, whatever Retry-After says."""

INCLUDES = ("statuses", "event_timestamps")

Entities = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class RemoteFeatures:
    """An answer: one row per entity, in the order asked, one value per feature, in service order.

    As `OnlineFeatures`, which the same call answers in process: values are Python's, times microseconds, dates `date`, a
    histogram a list of (value, count). as_of: the instant answered for, microseconds. watermarks: {view: microseconds}.
    """

    def __init__(self, table: pa.Table, include: Sequence[str]) -> None:
        told = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
        extra = len(include) + 1
        self._table, self._include = table, tuple(include)
        self.feature_service = told["feature_service"]
        self.fingerprint = told["fingerprint"]
        self.as_of = _micros(told["as_of"])
        self.watermarks: Mapping[str, int] = {v: _micros(w) for v, w in orjson.loads(told["watermarks"]).items()}
        self.feature_names: tuple[str, ...] = tuple(table.schema.names[: table.num_columns // extra])

    def __repr__(self) -> str:
        return f"RemoteFeatures({self.feature_service!r}, as_of={format_instant(self.as_of)}, {self._table.num_rows} rows)"

    @cached_property
    def feature_types(self) -> tuple[DType, ...]:
        from featurestore.dtypes import parse_dtype

        return tuple(parse_dtype(str(self._table.schema.field(name).type)) for name in self.feature_names)

    @cached_property
    def rows(self) -> list[list[Any]]:
        return _turned([_values(self._table[name]) for name in self.feature_names], self._table.num_rows)

    @cached_property
    def statuses(self) -> list[list[str]]:
        """present, null, expired, not_found, stale or unavailable. Raises: UsageError FS565 if not included."""
        return self._beside("statuses", "__status")

    @cached_property
    def event_timestamps(self) -> list[list[int | None]]:
        """Microseconds; None where a feature has none. Raises: UsageError FS565 if not included."""
        return self._beside("event_timestamps", "__event_timestamp")

    def _beside(self, what: str, suffix: str) -> list[list[Any]]:
        if what not in self._include:
            raise UsageError("FS565", f"{what} were not asked for", hint=f'include=("{what}",)')
        return _turned([_values(self._table[name + suffix]) for name in self.feature_names], self._table.num_rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """{feature: values}, as plain Python; times as ISO 8601 text."""
        return {name: _values(self._table[name], format_instant) for name in self.feature_names}

    def to_arrow(self) -> pa.Table:
        """A pyarrow Table with the features' declared types."""
        return self._table.select(self.feature_names).replace_schema_metadata(None)


@dataclass(frozen=True)
class RemoteService:
    """A service that can be asked. keys: column -> integer, text, bool, date or binary. request, features: name -> Arrow
    type. watermarks: view -> microseconds."""

    name: str
    fingerprint: str
    keys: Mapping[str, str]
    request: Mapping[str, str]
    features: Mapping[str, str]
    watermarks: Mapping[str, int]


@dataclass(frozen=True)
class Pushed:
    """Rows taken by a push, and from which instant they are known (microseconds)."""

    accepted: int
    known_at: int


# What is sent, and what comes of it; the same for both clients.


class _Call(NamedTuple):
    """A request, and what to make of its answer. again: a 503 may be asked again."""

    method: str
    path: str
    read: Callable[[httpx.Response], Any]
    body: bytes | None = None
    accept: str = JSON
    again: bool = True


def _online_features(
    service: str,
    entities: Entities,
    request: Mapping[str, Any] | None,
    as_of: str | int | None,
    include: Sequence[str],
) -> _Call:
    unknown = [i for i in include if i not in INCLUDES]
    if unknown:
        raise RequestError("FS502", f"unknown include {unknown[0]!r}", known=INCLUDES)
    asked: dict[str, Any] = {"feature_service": _name(service), "entities": _columns(entities)}
    if request:
        asked["request"] = _columns(request)
    if as_of is not None:
        asked["as_of"] = format_instant(as_of if isinstance(as_of, int) else parse_instant(as_of, what="as_of"))
    if include:
        asked["include"] = list(dict.fromkeys(include))
    included = asked.get("include", ())
    read = lambda response: RemoteFeatures(_table(response), included)  # noqa: E731
    return _Call("POST", "/v1/online-features", read, _body(asked), ARROW)


def _feature_services() -> _Call:
    return _Call("GET", "/v1/feature-services", _read_services)


def _ready() -> _Call:
    return _Call("GET", "/ready", _read_ready, again=False)


def _push(source: str, rows: Sequence[Mapping[str, Any]]) -> _Call:
    if not _is_name(source):
        raise UsageError("FS565", f"{source!r} is not the name of a source")
    return _Call("POST", f"/v1/push/{source}", _read_pushed, _body({"rows": list(rows)}, decimal="{:f}".format))


def _name(service: Any) -> str:
    """A service's name, of the service or by itself. Raises: UsageError FS565."""
    name = service if isinstance(service, str) else getattr(service, "name", None)
    if not isinstance(name, str):
        raise UsageError("FS565", f"{service!r} is not the name of a service")
    return name


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isidentifier()


def _columns(entities: Entities) -> dict[str, list[Any]]:
    """Columns of one value, of a list, or of rows, as `FeatureStore.get_online_features` takes them.

    Raises: RequestError FS504.
    """
    if not isinstance(entities, Mapping) and not all(isinstance(row, Mapping) for row in entities):
        raise RequestError("FS504", "entities are neither columns nor rows", hint='{"customer_id": [1, 2]}')
    if isinstance(entities, Mapping):
        return {name: list(v) if isinstance(v, list | tuple) else [v] for name, v in entities.items()}
    names = dict.fromkeys(name for row in entities for name in row)
    return {name: [row.get(name) for row in entities] for name in names}


def _body(asked: Mapping[str, Any], decimal: Callable[[Decimal], Any] = float) -> bytes:
    """decimal: how one with a fraction is written. What a request brings is mostly for doubles, a pushed one for decimals."""
    try:
        return orjson.dumps(_shown(asked), default=partial(_written, decimal), option=orjson.OPT_PASSTHROUGH_DATETIME)
    except (TypeError, ValueError) as error:
        raise RequestError(
            "FS504", f"a value cannot be sent: {error}", hint="numbers of up to 64 bits, text, dates, bytes"
        ) from None


def _shown(value: Any) -> Any:
    """A value with NaN and infinities by name: JSON has no others, and orjson would write null. What numpy and others hold is
    taken out first."""
    if hasattr(value, "tolist"):
        return _shown(value.tolist())
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _shown(v) for name, v in value.items()}
    return [_shown(v) for v in value] if isinstance(value, list | tuple) else value


def _written(decimal: Callable[[Decimal], Any], value: Any) -> Any:
    """What JSON has no form for. Raises: TypeError for what has none with us either."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"{value!r} has no time zone")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return _shown(float(value))
        return int(value) if value == value.to_integral_value() else decimal(value)
    raise TypeError(f"{value!r} is {type(value).__name__}")


def _table(response: httpx.Response) -> pa.Table:
    import pyarrow as pa

    if response.headers.get("content-type") != ARROW:
        raise ValueError("not Arrow")
    return pa.ipc.open_stream(response.content).read_all()


def _read_services(response: httpx.Response) -> list[RemoteService]:
    return [
        RemoteService(
            name=given["name"],
            fingerprint=given["fingerprint"],
            keys=given["keys"],
            request=given["request"],
            features={feature["name"]: feature["type"] for feature in given["features"]},
            watermarks={view: _micros(w) for view, w in given["watermarks"].items()},
        )
        for given in orjson.loads(response.content)["feature_services"]
    ]


def _read_ready(response: httpx.Response) -> bool:
    return bool(orjson.loads(response.content)["status"] == "ready")


def _read_pushed(response: httpx.Response) -> Pushed:
    given = orjson.loads(response.content)
    known_at = given["known_at"]
    return Pushed(given["accepted"], known_at if isinstance(known_at, int) else _micros(known_at))


def _micros(text: str) -> int:
    """An instant as the server writes it; beyond the year 9999 as plain microseconds."""
    return int(text[:-2]) if text.endswith("us") else parse_instant(text)


# Values, out of Arrow.


def _turned(columns: Sequence[list[Any]], rows: int) -> list[list[Any]]:
    """Columns as rows."""
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(rows)]


def _values(column: pa.ChunkedArray, instant: Callable[[int], Any] = lambda micros: micros) -> list[Any]:
    """Python's values; times as `instant` shows microseconds."""
    stored, show = _plain(column.type, instant)
    found = (column if stored == column.type else column.cast(stored)).to_pylist()
    return found if show is None else [None if value is None else show(value) for value in found]


def _plain(type_: pa.DataType, instant: Callable[[int], Any]) -> tuple[pa.DataType, Callable[[Any], Any] | None]:
    """The type to read values by, and how they are then shown: dates and times as numbers, since Python's end in year 9999."""
    import pyarrow as pa

    if pa.types.is_timestamp(type_):
        return pa.int64(), instant
    if pa.types.is_date32(type_):
        return pa.int32(), _date
    if pa.types.is_list(type_):
        item, show = _plain(type_.value_type, instant)
        return pa.list_(item), show and _each(show)
    if pa.types.is_map(type_):
        key, show = _plain(type_.key_type, instant)
        return pa.map_(key, type_.item_type), show and _each_key(show)
    return type_, None


def _each(show: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: [None if value is None else show(value) for value in values]


def _each_key(show: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda pairs: [(show(value), count) for value, count in pairs]


def _date(days: int) -> date | int:
    try:
        return date(1970, 1, 1) + timedelta(days=days)
    except OverflowError:
        return days


# Errors.


def _error(response: httpx.Response) -> FeatureStoreError:
    """The error a problem document tells of, of the class it has in process."""
    try:
        told = orjson.loads(response.content)
        said: dict[str, Any] = {"where": told["where"], "known": told["known"], "hint": told["try"]}
        kind = _KINDS.get(response.status_code, RequestError if response.status_code < 500 else StoreError)
        return kind(told["code"], told["detail"], **said)
    except (KeyError, TypeError, ValueError):
        return _not_ours(response)


_KINDS: Mapping[int, type[FeatureStoreError]] = {404: UnknownName, 409: TooEarly, 429: StoreError}


def _not_ours(response: httpx.Response) -> StoreError:
    kind = response.headers.get("content-type", "no content type")
    what = f"{response.url} answered {response.status_code} with {kind}: {response.text[:80]!r}"
    return StoreError("FS564", what, hint="the address of a featurestore server, or a look at what stands before it")


def _unreachable(url: str, error: Exception) -> StoreError:
    return StoreError("FS563", f"{url} cannot be reached: {str(error) or type(error).__name__}", hint="featurestore serve")


def _wait(call: _Call, response: httpx.Response, left: int) -> float | None:
    """Seconds until the same may be asked again; None where it is not to be."""
    if response.status_code not in (429, 503) or not call.again or left <= 0:
        return None
    seconds = response.headers.get("retry-after", "")
    return min(float(seconds), LONGEST_WAIT) if re.fullmatch(r"\d+(\.\d+)?", seconds, re.ASCII) else None


def _outcome(call: _Call, response: httpx.Response) -> Any:
    if response.is_success:
        try:
            return call.read(response)
        except (KeyError, TypeError, ValueError):  # JSON and Arrow, but of another shape
            raise _not_ours(response) from None
    error = _error(response)
    if call.read is _read_ready and response.status_code == 503 and error.code != "FS564":
        return False
    raise error


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise UsageError(
            "FS566", "the client needs httpx, which is not installed", hint="pip install 'featurestore[client]'"
        ) from None
    return httpx


def _is_url(text: Any) -> bool:
    if not isinstance(text, str) or not re.fullmatch(r"https?://[^/\s?#][^\s?#]*", text):
        return False
    try:
        _httpx().URL(text)
    except _httpx().InvalidURL:
        return False
    return True


def _options(url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """How httpx's clients are made. Raises: UsageError FS565 for a URL that is none, or a key that cannot be sent."""
    if not _is_url(url):
        raise UsageError("FS565", f"{url!r} is not the URL of a server", hint="http://127.0.0.1:8000")
    headers = {}
    if api_key is not None:
        if not (api_key and api_key.isascii() and api_key.isprintable()):
            raise UsageError("FS565", "the API key is empty, or holds what no header may")
        headers["authorization"] = f"Bearer {api_key}"
    return {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout}


def _headers(call: _Call) -> dict[str, str]:
    return {"accept": call.accept, **({} if call.body is None else {"content-type": JSON})}


class Client:
    """A server of features, asked from any thread; connections are kept until `close`, or the end of `with`.

    Args:
        url: where `featurestore serve` answers, such as "http://127.0.0.1:8000".
        api_key: goes along as `Authorization: Bearer`.
        timeout: seconds to connect, and for each wait for the next bytes.
        retries: how often a 503 or 429 that says Retry-After is asked again; at most 5 seconds are waited each time.
    Raises: UsageError FS566 without httpx. Each method: StoreError FS563 (not reached), FS564 (not a featurestore), or what
        the server's problem document tells, by the class and code it has in process.
    """

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = TIMEOUT, retries: int = RETRIES) -> None:
        self._http: httpx.Client = _httpx().Client(**_options(url, api_key, timeout))
        self._url, self._retries = url, retries

    def get_online_features(
        self,
        service: str,
        entities: Entities,
        *,
        request: Mapping[str, Any] | None = None,
        as_of: str | int | None = None,
        include: Sequence[str] = (),
    ) -> RemoteFeatures:
        """Look features up, as `FeatureStore.get_online_features` does in process.

        Args:
            entities: {key column: value or list of values}, or a list of {key column: value}.
            request: {name: value or list of values} of what on-demand features take from the request.
            as_of: ISO 8601 with an offset, or microseconds; default: now.
            include: "statuses", "event_timestamps"; each can then be read from the answer.
        Raises: UnknownName FS501, RequestError FS502, FS504, TooEarly FS503, StoreError.
        """
        return self._send(_online_features(service, entities, request, as_of, include))  # type: ignore[no-any-return]

    def feature_services(self) -> list[RemoteService]:
        """The services that can be asked."""
        return self._send(_feature_services())  # type: ignore[no-any-return]

    def ready(self) -> bool:
        """Whether every service that is to be answered has a generation. Raises: StoreError FS563, FS564."""
        return self._send(_ready())  # type: ignore[no-any-return]

    def push(self, source: str, rows: Sequence[Mapping[str, Any]]) -> Pushed:
        """Rows of a source, as {column: value}: on the server's disk and in its answers on return. All are taken, or none; the
        same rows again change no value."""
        return self._send(_push(source, rows))  # type: ignore[no-any-return]

    def _send(self, call: _Call) -> Any:
        http = _httpx()
        for left in range(self._retries, -1, -1):
            try:
                response = self._http.request(call.method, call.path, content=call.body, headers=_headers(call))
            except http.RequestError as error:
                raise _unreachable(self._url, error) from error
            wait = _wait(call, response, left)
            if wait is None:
                return _outcome(call, response)
            time.sleep(wait)
        raise AssertionError("the last try is always told")

    def close(self) -> None:
        """Give the connections up."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncClient:
    """As `Client`, for asyncio: each method is awaited, and many may be under way at once. Closed by `aclose`, or the end of
    `async with`."""

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = TIMEOUT, retries: int = RETRIES) -> None:
        self._http: httpx.AsyncClient = _httpx().AsyncClient(**_options(url, api_key, timeout))
        self._url, self._retries = url, retries

    async def get_online_features(
        self,
        service: str,
        entities: Entities,
        *,
        request: Mapping[str, Any] | None = None,
        as_of: str | int | None = None,
        include: Sequence[str] = (),
    ) -> RemoteFeatures:
        """As `Client.get_online_features`."""
        return await self._send(_online_features(service, entities, request, as_of, include))  # type: ignore[no-any-return]

    async def feature_services(self) -> list[RemoteService]:
        """As `Client.feature_services`."""
        return await self._send(_feature_services())  # type: ignore[no-any-return]

    async def ready(self) -> bool:
        """As `Client.ready`."""
        return await self._send(_ready())  # type: ignore[no-any-return]

    async def push(self, source: str, rows: Sequence[Mapping[str, Any]]) -> Pushed:
        """As `Client.push`."""
        return await self._send(_push(source, rows))  # type: ignore[no-any-return]

    async def _send(self, call: _Call) -> Any:
        http = _httpx()
        for left in range(self._retries, -1, -1):
            try:
                response = await self._http.request(call.method, call.path, content=call.body, headers=_headers(call))
            except http.RequestError as error:
                raise _unreachable(self._url, error) from error
            wait = _wait(call, response, left)
            if wait is None:
                return _outcome(call, response)
            await asyncio.sleep(wait)
        raise AssertionError("the last try is always told")

    async def aclose(self) -> None:
        """Give the connections up."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


__all__ = ["AsyncClient", "Client", "Pushed", "RemoteFeatures", "RemoteService"]
