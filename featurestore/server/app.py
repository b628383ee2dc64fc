"""The ASGI application: the hot path in front, everything else by FastAPI behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from featurestore.config import Server
from featurestore.errors import FeatureStoreError
from featurestore.intervals import Duration, format_instant, parse_duration
from featurestore.retrieval.online_features import OnlineReader, Service
from featurestore.server import push as pushing
from featurestore.server import schemas
from featurestore.server.bodies import Receive, Scope, Send
from featurestore.server.lookups import PATH, Lookups
from featurestore.server.problems import Refused, problem
from featurestore.server.readiness import Readiness

_ERRORS = {
    400: "The body is not JSON.",
    403: "Pushing is off.",
    404: "No such feature service, or source.",
    408: "The body did not arrive in time.",
    409: "as_of is before a watermark.",
    413: "Too many bytes or rows.",
    415: "Not application/json.",
    422: "A wrong or missing field, key column, type or length.",
    503: "The online store cannot answer yet, or now; see Retry-After.",
}


_LOOKUP_ERRORS = (400, 404, 408, 409, 413, 415, 422, 503)
_PUSH_ERRORS = (400, 403, 404, 408, 413, 415, 422, 503)


class Application:
    """Look-ups go straight to `Lookups`, pushes to `Pushes`, all else to `rest`."""

    def __init__(self, lookups: Lookups, pushes: pushing.Pushes, rest: FastAPI) -> None:
        self.lookups, self.pushes, self.rest = lookups, pushes, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await self.lookups(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(pushing.PATH):
            await self.pushes(scope, receive, send)
        else:
            await self.rest(scope, receive, send)


def create_app(
    reader: OnlineReader,
    *,
    limits: Server | None = None,
    readiness: Readiness | None = None,
    push_folder: Callable[[str], Path] | None = None,
    push_skew: Duration | None = None,
) -> Application:
    """The server's application over a reader. limits: by default those of an empty featurestore.toml.

    push_folder: where the push log of a source lies; without it no rows are taken. push_skew: by default five minutes.
    """
    limits = limits or Server.model_validate({})
    readiness = readiness or Readiness()
    pushes = pushing.Pushes(reader, limits, push_folder, push_skew or parse_duration("5m"))
    return Application(Lookups(reader, limits, readiness), pushes, _rest(reader, readiness))


def _rest(reader: OnlineReader, readiness: Readiness) -> FastAPI:
    app = FastAPI(
        title="featurestore",
        description="Features of the online store, as of now or of an instant since its watermarks.",
        version="1",  # of what is spoken here: the paths' v1
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        # What is raised on purpose has a handler of its own: for `Exception`, each would also be logged with its traceback.
        exception_handlers={HTTPException: _http_error, FeatureStoreError: _error, Exception: _error},
    )
    app.post(PATH, response_model=schemas.OnlineFeatures, responses=_documented(*_LOOKUP_ERRORS))(online_features)

    app.post(f"{pushing.PATH}{{source}}", response_model=schemas.Pushed, responses=_documented(*_PUSH_ERRORS))(push)

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


async def push(source: str, request: schemas.PushRequest) -> NoReturn:
    """Take rows of a source: all or none, on the disk before they are acknowledged. Off unless the settings say so."""
    raise AssertionError("pushes are answered before they reach the framework")


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
