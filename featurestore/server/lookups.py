"""POST /v1/online-features: the hot path, a plain ASGI function in front of the framework.

A service is resolved once per state of the store and its answers are encoded straight to bytes; nothing here is a dict
for a framework to serialize again.
"""

from __future__ import annotations

from functools import partial

from featurestore.config import Server
from featurestore.errors import UnknownName
from featurestore.retrieval.online_features import Checked, OnlineReader, Service, checked_keys
from featurestore.retrieval.online_request import checked_request
from featurestore.server import asked, bodies
from featurestore.server.bodies import Receive, Scope, Send
from featurestore.server.problems import problem
from featurestore.server.readiness import Readiness
from featurestore.server.wire import Wire

PATH = "/v1/online-features"


class Lookups:
    """The ASGI application of one path."""

    def __init__(self, reader: OnlineReader, limits: Server, readiness: Readiness) -> None:
        self._reader, self._limits, self._readiness = reader, limits, readiness
        self._wires: dict[tuple[str, bool], Wire] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            bodies.check(scope, PATH, self._limits.max_body)
            status, headers, body = 200, bodies.JSON, self.answer(await bodies.read(receive, self._limits.max_body))
        except bodies.Gone:
            return
        except Exception as error:
            status, headers, body = problem(error)
        await bodies.answer(send, status, headers, body)

    def answer(self, body: bytes) -> bytes:
        """The answer to one request's body. Raises: FeatureStoreError."""
        question = asked.read(body)
        reader = self._reader
        try:
            ask, statuses = partial(self._checked, question), "statuses" in question.include
            service, found = reader.look_up(question.feature_service, ask, statuses=statuses)
        except UnknownName as error:
            with reader.store.read() as snapshot:
                self._readiness.check_awaited(reader.services(snapshot), question.feature_service)
            raise error
        return self._wire(service, question.int64_text).answer(found, question.include)

    def _checked(self, question: asked.Asked, service: Service) -> Checked:
        """The question, checked against the service. Raises: RequestError, Refused 413."""
        keys, rows = checked_keys(service, question.keys(service))
        if rows > self._limits.max_rows:
            raise bodies.too_large(f"{rows} rows asked for; one request takes {self._limits.max_rows}")
        t = service.instant(question.as_of, self._reader.clock)
        if not (service.request or question.request):
            return Checked(keys, rows, t)
        return Checked(keys, rows, t, checked_request(service.request, question.values(service), rows))

    def _wire(self, service: Service, int64_text: bool) -> Wire:
        wire = self._wires.get((service.name, int64_text))
        if wire is None or wire.service is not service:
            wire = self._wires[service.name, int64_text] = Wire(service, int64_text=int64_text)
        return wire
