"""The ASGI application: the hot path in front, everything else by FastAPI behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from featurestore.config import Server
from featurestore.intervals import format_instant
from featurestore.retrieval.online_features import OnlineReader, Service
from featurestore.server import feast, formats, schemas
from featurestore.server.lookups import PATH, Lookups, Receive, Scope, Send
from featurestore.server.problems import Refused, problem
from featurestore.server.readiness import Readiness

_ERRORS = {
    400: "The body is not JSON.",
    404: "No such feature service, view or feature.",
    406: "Neither of the formats answers come in is accepted.",
    408: "The body did not arrive in time.",
    409: "as_of is before a watermark.",
    413: "Too many bytes or rows.",
    415: "Not application/json.",
    422: "A wrong or missing field, key column, type or length.",
    503: "The online store cannot answer yet, or now; see Retry-After.",
}


class Application:
    """Look-ups go straight to `Lookups` of their path, all else to `rest`."""

    def __init__(self, lookups: Iterable[Lookups], rest: FastAPI) -> None:
        self.lookups, self.rest = {of.path: of for of in lookups}, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lookups = self.lookups.get(scope["path"]) if scope["type"] == "http" else None
        if lookups is not None:
            await lookups(scope, receive, send)
        else:
            await self.rest(scope, receive, send)


def create_app(reader: OnlineReader, *, limits: Server | None = None, readiness: Readiness | None = None) -> Application:
    """The server's application over a reader. limits: by default those of an empty featurestore.toml."""
    limits = limits or Server.model_validate({})
    readiness = readiness or Readiness()
    lookups = [of(reader, limits, readiness) for of in (Lookups, feast.FeastLookups)]
    return Application(lookups, _rest(reader, readiness))


def _rest(reader: OnlineReader, readiness: Readiness) -> FastAPI:
    app = FastAPI(
        title="featurestore",
        description="Features of the online store, as of now or of an instant since its watermarks.",
        version="1",  # of what is spoken here: the paths' v1
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _http_error, Exception: _error},
    )
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {formats.ARROW.decode(): {}}, "description": "In JSON, or as an Arrow stream if accepted."}
    }
    app.post(PATH, response_model=schemas.OnlineFeatures, responses=answers | _documented(*_ERRORS))(online_features)
    of_feast = _documented(*(status for status in _ERRORS if status not in (406, 409)))
    app.post(feast.PATH, response_model=schemas.FeastResponse, responses=of_feast)(feast_features)

    @app.get("/v1/feature-services", responses=_documented(503))
    async def feature_services() -> schemas.FeatureServices:
        """The services that can be asked, with their keys, features and watermarks."""
        with reader.store.read() as snapshot:
            services = reader.services(snapshot)
        return schemas.FeatureServices(feature_services=[_shown(service) for service in services.values()])

    @app.get("/health")
    async def health() -> schemas.State:
        """The process is alive; says nothing of the store."""
        return schemas.State(status="ok")

    @app.get("/ready", responses=_documented(503))
    async def ready() -> schemas.State:
        """Every service that is to be answered has a generation; 503 until then."""
        with reader.store.read() as snapshot:
            readiness.check(reader.services(snapshot))
        return schemas.State(status="ready")

    return app


async def online_features(request: schemas.OnlineFeaturesRequest) -> NoReturn:
    """Look features up: one row per entity, all as of one instant."""
    raise AssertionError("look-ups are answered before they reach the framework")


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
    status, headers, body = problem(error)
    return Response(body, status, headers={name.decode(): value.decode() for name, value in headers})


async def _http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, or a method a path does not take."""
    assert isinstance(error, HTTPException)
    given: Mapping[str, str] = error.headers or {}
    headers = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    what = f"{request.method} {request.url.path}: {error.detail}"
    return await _error(request, Refused(HTTPStatus(error.status_code), "FS509", what, headers=headers))
