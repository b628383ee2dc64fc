"""POST /v1/online-features: the hot path.

A service is resolved once per state of the store and its answers are encoded straight to bytes; nothing here is a dict
for a framework to serialize again.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from featurestore.config import Server
from featurestore.errors import UnknownName
from featurestore.retrieval.online_features import Checked, LookedUp, OnlineReader, Service, checked_keys
from featurestore.retrieval.online_request import checked_request
from featurestore.server import asked, formats
from featurestore.server.exchange import Exchange, Reply
from featurestore.server.problems import Refused
from featurestore.server.readiness import Readiness
from featurestore.server.wire import Wire

PATH = "/v1/online-features"


class Lookups:
    """Answers look-ups from one store."""

    def __init__(self, reader: OnlineReader, limits: Server, readiness: Readiness) -> None:
        self._reader, self._limits, self._readiness = reader, limits, readiness
        self._wires: dict[tuple[str, bool], Wire] = {}

    def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """The answer to one request, in JSON or, if that is accepted, as an Arrow stream. Raises: FeatureStoreError."""
        accepted = exchange.headers.get(b"accept", b"")
        form = formats.JSON if accepted in formats.PLAIN else formats.chosen(accepted)
        question = asked.read(body)
        exchange.authorize("lookup", question.feature_service)
        reader = self._reader
        try:
            ask, statuses = partial(self._checked, exchange, question), "statuses" in question.include
            service, found = reader.look_up(question.feature_service, ask, statuses=statuses)
        except UnknownName as error:
            with reader.store.read() as snapshot:
                self._readiness.check_awaited(reader.services(snapshot), question.feature_service)
            raise error
        assert exchange.asked is not None
        exchange.looked_up = LookedUp(service, exchange.asked, found)
        if form == formats.JSON:
            return Reply(self._wire(service, question.int64_text).answer(found, question.include))
        from featurestore.server.arrow import stream  # late: Arrow is not needed to answer in JSON

        return Reply(stream(service, found, exchange.rows, question.include), [(b"content-type", formats.ARROW)])

    def _checked(self, exchange: Exchange, question: asked.Asked, service: Service) -> Checked:
        """The question, checked against the service. Raises: RequestError, Refused 413."""
        keys, rows = checked_keys(service, question.keys(service))
        check_size(exchange, service, rows, self._limits)
        t = service.instant(question.as_of, self._reader.clock)
        values = None
        if service.request or question.request:
            values = checked_request(service.request, question.values(service), rows)
        exchange.asked = Checked(keys, rows, t, values, question.as_of)
        return exchange.asked

    def _wire(self, service: Service, int64_text: bool) -> Wire:
        wire = self._wires.get((service.name, int64_text))
        if wire is None or wire.service is not service:
            wire = self._wires[service.name, int64_text] = Wire(service, int64_text=int64_text)
        return wire


def check_size(exchange: Exchange, service: Service, rows: int, limits: Server) -> None:
    """Note how much is asked for. Raises: Refused FS508 (413)."""
    exchange.rows, exchange.cells = rows, rows * len(service.feature_names)
    if rows > limits.max_rows:
        raise too_large(f"{rows} rows asked for; one request takes {limits.max_rows}")
    if exchange.cells > limits.max_cells:
        what = f"{rows} rows of {len(service.feature_names)} features asked for"
        raise too_large(f"{what}; one answer holds {limits.max_cells} values")


def too_large(what: str) -> Refused:
    hint = "smaller requests, or [server] max_rows, max_cells and max_body"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "FS508", what, hint=hint, closes=True)
