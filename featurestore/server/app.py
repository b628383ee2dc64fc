"""The ASGI application: hot paths in front, everything else by FastAPI behind them; every request is counted and told of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from featurestore.config import Config, Server
from featurestore.errors import FeatureStoreError, StoreError
from featurestore.intervals import MICROS_PER_SECOND, Duration, format_instant, parse_duration
from featurestore.online.store import OnlineStore
from featurestore.retrieval.online_features import OnlineReader, Service
from featurestore.server import feast, formats, schemas
from featurestore.server import push as pushing
from featurestore.server.access_log import AccessLog, Line
from featurestore.server.connections import LATE, Connections
from featurestore.server.exchange import Exchange, Message, Receive, Route, Routes, Scope, Send
from featurestore.server.hot import Gone, HotPaths, refuse_if_busy
from featurestore.server.keys import Access, Key
from featurestore.server.lookups import PATH, Lookups
from featurestore.server.metrics import Metrics, render
from featurestore.server.page import Page, wants_html
from featurestore.server.problems import Headers, Refused, problem
from featurestore.server.readiness import Readiness

if TYPE_CHECKING:
    from featurestore.server.monitored import Monitored
    from featurestore.server.served import ServedLog

_ERRORS = {
    400: "The body is not JSON.",
    401: "No API key, or one that is not known.",
    403: "The API key does not allow this, or pushing is off.",
    404: "No such feature service, view, feature or source.",
    406: "Neither of the formats answers come in is accepted.",
    408: "The request did not arrive in time.",
    409: "as_of is before a watermark, or before the newest push to a key.",
    413: "Too many bytes, rows or values.",
    415: "Not application/json.",
    422: "A wrong or missing field, key column, type or length.",
    503: "The server or the online store cannot answer yet, or now; see Retry-After.",
}

_SECURED: dict[str, Any] = {"security": [{"bearer": []}, {"header": []}]}
_METRICS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

_NEEDS_NO_KEY = ("/health", "/openapi.json")
_NEVER_BUSY = ("/health", "/metrics")
_TOLD_APART = ("/v1/feature-services", "/health", "/ready", "/metrics", "/openapi.json")
"""Paths that metrics know by name. All others are one, so that nobody can fill the memory with paths."""
_CLOSED_BY_CLIENT = 499
"""As logs of other servers call a request whose client went away."""


class Application:
    """Hot paths by the table, all else by `rest`. connections: what the protocol below shares with it."""

    def __init__(
        self,
        routes: Routes,
        rest: FastAPI,
        hot: HotPaths,
        access: Access,
        connections: Connections,
        metrics: Metrics,
        log: AccessLog | None,
        served: ServedLog | None = None,
        page: Page | None = None,
    ) -> None:
        self.routes, self.rest, self.hot, self.access = routes, rest, hot, access
        self.connections, self.metrics, self.log = connections, metrics, log
        self.served, self.page = served, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._live(receive, send)
            return
        start = time.perf_counter()
        exchange = Exchange(scope)
        path = scope["path"]
        found = self.routes.find(path)
        if found is None and self._is_page(exchange, path):
            name = "page"
            status, size = await self._paged(exchange, receive, send)
        elif found is None:
            name = path if path in _TOLD_APART else "other"
            status, size = await self._rest(exchange, receive, send)
        else:
            route, exchange.given = found
            name = route.path
            status, size = await self._hot(route, exchange, receive, send)
        seconds = time.perf_counter() - start
        self.metrics.answered(name, status, seconds, exchange.rows, exchange.cells)
        if status == HTTPStatus.OK and exchange.looked_up is not None and self.served is not None:
            self.served.add(exchange.looked_up, exchange.request_id, seconds)
        if self.log is not None:
            self.log.add(_line(exchange, status, seconds, size))

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's own beginning and end."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.log is not None:
            self.log.close()
        if self.served is not None:
            self.served.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _hot(self, route: Route, exchange: Exchange, receive: Receive, send: Send) -> tuple[int, int]:
        """Answer by a route. Returns: status and bytes."""
        try:
            body, headers, status = await self.hot.run(route, exchange, receive)
        except Gone:
            return _gone(exchange), 0
        except Exception as error:
            status, headers, body = problem(error, exchange.key)
        await self._send(exchange, status, headers, body, send)
        return status, len(body)

    def _is_page(self, exchange: Exchange, path: str) -> bool:
        """Whether a person asks: for a page, or in a browser for what is nothing else either."""
        return self.page is not None and (self.page.owns(path) or (path not in _TOLD_APART and wants_html(exchange)))

    async def _paged(self, exchange: Exchange, receive: Receive, send: Send) -> tuple[int, int]:
        """Answer by a page. Returns: status and bytes."""
        assert self.page is not None
        try:
            refuse_if_busy(exchange)
            body, headers, status = await self.page.answer(exchange, receive)
        except Gone:
            return _gone(exchange), 0
        except Exception as error:
            body, headers, status = self.page.failed(error, exchange)
        await self._send(exchange, status, headers, body, send)
        return status, len(body)

    async def _send(self, exchange: Exchange, status: int, headers: Headers, body: bytes, send: Send) -> None:
        headers = [*headers, (b"x-request-id", exchange.request_id)]
        if status != HTTPStatus.NOT_MODIFIED:  # there it would be the length of what is not sent
            headers.append((b"content-length", b"%d" % len(body)))
        if self.connections.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _rest(self, exchange: Exchange, receive: Receive, send: Send) -> tuple[int, int]:
        """Answer by the framework. Returns: status and bytes."""
        scope, status, size = exchange.scope, 0, 0

        async def observed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", exchange.request_id)]
                if self.connections.draining:
                    message["headers"].append((b"connection", b"close"))
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            if scope["path"] not in _NEEDS_NO_KEY:
                exchange.key = self.access.key(exchange.headers)
            if scope["path"] not in _NEVER_BUSY:
                refuse_if_busy(exchange)
        except FeatureStoreError as error:
            status, headers, body = problem(error)
            await self._send(exchange, status, headers, body, send)
            return status, len(body)
        scope.setdefault("state", {})["key"] = exchange.key
        try:
            await self.rest(scope, receive, observed)
        except Exception:
            if not status:
                raise  # else it was answered and logged, and the framework raises it once more
        return status or _gone(exchange), size


def _gone(exchange: Exchange) -> int:
    return HTTPStatus.REQUEST_TIMEOUT.value if exchange.scope.get(LATE) else _CLOSED_BY_CLIENT


def _line(exchange: Exchange, status: int, seconds: float, size: int) -> Line:
    scope, key = exchange.scope, exchange.key
    now = time.time_ns() // 1_000
    return Line(now, scope["method"], scope["path"], status, seconds, size, exchange.rows, exchange.service, key.name, key.id,
                exchange.request_id)  # fmt: skip


def create_app(
    reader: OnlineReader,
    *,
    limits: Server | None = None,
    readiness: Readiness | None = None,
    access: Access | None = None,
    metrics: Metrics | None = None,
    log: AccessLog | None = None,
    served: ServedLog | None = None,
    monitored: Monitored | None = None,
    push_folder: Callable[[str], Path] | None = None,
    push_skew: Duration | None = None,
    push_store: Callable[[], OnlineStore | None] | None = None,
    root: Path | None = None,
    config: Config | None = None,
    manifest: Path | None = None,
) -> Application:
    """The server's application over a reader. limits: by default those of an empty featurestore.toml; access: by default
    anyone's. served: the serve log, if one is kept. monitored: what a monitor found. push_folder: where the push log of a
    source lies; without it no rows are taken. push_skew: by default five minutes. push_store: gives the store to bring pushed
    rows into; by default the one that is read. root, config, manifest: what pages show beside the store: results and profiles
    of the project, and what is to be served.
    """
    limits = limits or Server.model_validate({})
    readiness, access, metrics = readiness or Readiness(), access or Access(), metrics or Metrics()
    connections = Connections(
        receive_seconds=parse_duration(limits.receive_deadline).micros / MICROS_PER_SECOND,
        max_connections=limits.max_connections,
        max_queue=limits.max_queue,
    )
    metrics.follow(connections, log, served)
    pushes = pushing.Pushes(
        reader, limits, push_folder, push_skew or parse_duration("5m"), push_store or (lambda: reader.store)
    )
    routes = Routes(
        Route(PATH, "lookup", Lookups(reader, limits, readiness).answer),
        Route(feast.PATH, "lookup", feast.FeastLookups(reader, limits, readiness).answer),
        Route(pushing.PATH, "push", pushes.answer),
    )
    rest = _rest(reader, readiness, access, connections, metrics, monitored)
    page = None
    if limits.page:
        page = Page(reader.store, access, reader.clock, root=root, config=config, manifest=manifest)
    return Application(routes, rest, HotPaths(access, limits.max_body), access, connections, metrics, log, served, page)


def _rest(
    reader: OnlineReader,
    readiness: Readiness,
    access: Access,
    connections: Connections,
    metrics: Metrics,
    monitored: Monitored | None,
) -> FastAPI:
    app = FastAPI(
        title="featurestore",
        description="Features of the online store, as of now or of an instant since its watermarks.",
        version="1",  # of what is spoken here: the paths' v1
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _http_error, FeatureStoreError: _error, Exception: _error},
    )
    secured = _SECURED if access.restricted else {}
    keyed = (401,) if access.restricted else ()
    hot = [status for status in _ERRORS if access.restricted or status not in (401, 403)]
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {formats.ARROW.decode(): {}}, "description": "In JSON, or as an Arrow stream if accepted."}
    }
    looked_up = answers | _documented(*hot)
    app.post(PATH, response_model=schemas.OnlineFeatures, responses=looked_up, openapi_extra=secured)(online_features)
    of_feast = _documented(*(status for status in hot if status not in (406, 409)))
    app.post(feast.PATH, response_model=schemas.FeastResponse, responses=of_feast, openapi_extra=secured)(feast_features)
    pushed = [status for status in _ERRORS if status not in (406, 409) and (access.restricted or status != 401)]
    app.post(pushing.PATH, response_model=schemas.Pushed, responses=_documented(*pushed), openapi_extra=secured)(push)

    @app.get("/v1/feature-services", responses=_documented(*keyed, 503), openapi_extra=secured)
    async def feature_services(request: Request) -> schemas.FeatureServices:
        """The services that can be asked, with their keys, features and watermarks."""
        key: Key = request.state.key
        with reader.store.read() as snapshot:
            services = reader.services(snapshot)
        return schemas.FeatureServices(feature_services=[_shown(s) for s in services.values() if key.may_see(s.name)])

    @app.get("/health")
    async def health() -> schemas.State:
        """The process is alive; says nothing of the store."""
        return schemas.State(status="ok")

    @app.get("/ready", responses=_documented(*keyed, 503), openapi_extra=secured)
    async def ready() -> schemas.State:
        """Every service that is to be answered has a generation; 503 until then, and once the server is told to stop."""
        if connections.draining:
            raise StoreError("FS510", "the server was told to stop", hint="another server")
        with reader.store.read() as snapshot:
            readiness.check(reader.services(snapshot))
        return schemas.State(status="ready")

    @app.get("/metrics", responses=_documented(*keyed, 503) | _METRICS, response_class=Response, openapi_extra=secured)
    async def prometheus(request: Request) -> Response:
        """What the server counts, and what the monitor found last, as Prometheus reads it."""
        if monitored is not None:
            await asyncio.to_thread(monitored.results)  # a new file is read beside the look-ups
        text, kind = render(metrics, reader, version("featurestore"), monitored, request.state.key)
        return Response(text, headers={"content-type": kind})

    _describe(app, restricted=access.restricted)
    return app


def _describe(app: FastAPI, *, restricted: bool) -> None:
    """Add to the OpenAPI document what the framework cannot know: errors have one media type, and how keys are sent."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"].pop("application/json", None)
        if restricted:
            document["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "As `featurestore keys add` prints it."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        return document

    app.openapi = openapi  # type: ignore[method-assign]


async def online_features(request: schemas.OnlineFeaturesRequest) -> NoReturn:
    """Look features up: one row per entity, all as of one instant."""
    raise AssertionError("look-ups are answered before they reach the framework")


async def push(source: str, request: schemas.PushRequest) -> NoReturn:
    """Take rows of a source: all or none, on the disk before they are acknowledged. Off unless the settings say so."""
    raise AssertionError("pushes are answered before they reach the framework")


async def feast_features(request: schemas.FeastRequest) -> NoReturn:
    """Look features up as Feast's clients do, as of now: one column per join key and feature."""
    raise AssertionError("look-ups are answered before they reach the framework")


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"model": schemas.Problem, "description": _ERRORS[s], "content": schema} for s in statuses}


def _shown(service: Service) -> schemas.FeatureService:
    return schemas.FeatureService(
        name=service.name,
        fingerprint=service.fingerprint,
        keys=service.keys,
        request={name: dtype.name for name, dtype in service.request.items()},
        features=[
            schemas.Feature(name=name, type=dtype.name)
            for name, dtype in zip(service.feature_names, service.feature_types, strict=True)
        ],
        watermarks={view: format_instant(watermark) for view, watermark in service.watermarks.items()},
    )


async def _error(request: Request, error: Exception) -> Response:
    status, headers, body = problem(error, request.state.key)
    return Response(body, status, headers={name.decode(): value.decode() for name, value in headers})


async def _http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, or a method a path does not take."""
    assert isinstance(error, HTTPException)
    given: Mapping[str, str] = error.headers or {}
    headers = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    what = f"{request.method} {request.url.path}: {error.detail}"
    return await _error(request, Refused(HTTPStatus(error.status_code), "FS509", what, headers=headers))
