"""Errors over HTTP: RFC 9457 problem documents, made from the one tree of errors.

The class decides the status. What a store or a bug has to say about this machine (paths, tracebacks) is logged, not told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

import orjson

from featurestore.errors import FeatureStoreError, StoreError

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]
RETRY_SECONDS = 1


class Refused(FeatureStoreError):
    """A request that HTTP itself gives a status for. closes: what is left of its body is not worth reading."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        what: str,
        *,
        known: Iterable[str] = (),
        hint: str = "",
        headers: Headers | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(code, what, known=known, hint=hint)
        self.http_status = status  # type: ignore[misc]
        self.headers = [*(headers or []), *([(b"connection", b"close")] if closes else [])]


class Sees(Protocol):
    """Who an error is told to. services: those they may see; empty: all."""

    @property
    def services(self) -> tuple[str, ...]: ...


_NAMES_SERVICES = {"FS501", "FS510"}
"""Errors that say which services there are."""


def problem(error: Exception, to: Sees | None = None) -> tuple[int, Headers, bytes]:
    """Status, headers and body that tell of an error, and name no service that who asks may not see."""
    if not isinstance(error, FeatureStoreError) or error.http_status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("unexpected error", exc_info=error)
        error = FeatureStoreError("FS511", "the server failed; its log says how", hint="a report to those who run it")
    elif isinstance(error, StoreError):
        log.warning("%s", error)
    status = HTTPStatus(error.http_status)
    told = error.to_dict()
    if to is not None and to.services and error.code in _NAMES_SERVICES:
        told |= {"known": [name for name in told["known"] if name in to.services], "try": ""}
        told["what"] = "a feature service has no generation" if error.code == "FS510" else told["what"]
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": told["what"],
        "code": told["code"],
        "where": "" if isinstance(error, StoreError) else told["where"],
        "known": told["known"],
        "try": told["try"],
    }
    headers: Headers = [(b"content-type", b"application/problem+json"), *getattr(error, "headers", [])]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
    return status.value, headers, orjson.dumps(body)
