"""Read the body of a look-up: which fields there are, and of which types. Names and values are the service's to check."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

from featurestore.errors import RequestError, nearest
from featurestore.intervals import micros_of
from featurestore.retrieval.online_features import INCLUDES, Keys, Service
from featurestore.server.problems import Refused

FIELDS = ("feature_service", "entities", "request", "as_of", "include", "int64")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,38})", re.ASCII)


class Asked(NamedTuple):
    """A look-up as asked. as_of: microseconds, or None for now. int64_text: 64-bit integers come and go as text.
    request: what on-demand features take from it, by column."""

    feature_service: str
    entities: Mapping[str, Sequence[Any]]
    as_of: int | None
    include: Sequence[str]
    int64_text: bool
    request: Mapping[str, Sequence[Any]]

    def keys(self, service: Service) -> Keys:
        """The entities, with integer keys in text read where that was asked for."""
        if not self.int64_text:
            return self.entities
        families = service.keys
        return {
            column: [_integer(v, f"key {column!r}") for v in values] if families.get(column) == "integer" else values
            for column, values in self.entities.items()
        }

    def values(self, service: Service) -> Mapping[str, Sequence[Any]]:
        """The request columns, with integers in text read where that was asked for."""
        if not self.int64_text:
            return self.request
        integers = {name for name, dtype in service.request.items() if dtype.is_integer}
        return {
            name: [_integer(v, f"request column {name!r}") for v in values] if name in integers else values
            for name, values in self.request.items()
        }


def read(body: bytes) -> Asked:
    """Raises: Refused FS505 (400: not JSON), RequestError FS502, FS506 (422)."""
    given = json_object(body, FIELDS)
    entities = lists(given.get("entities"), "entities", '{"customer_id": [1, 2]}')
    request = lists(given.get("request", {}), "request", '{"amount": [9.5, 20.0]}')
    refuse_repeated(body, given, entities, request, text=given.get("as_of"))
    return Asked(
        _service(given.get("feature_service")),
        entities,
        None if len(given) == 2 else _optional(given),
        given.get("include", ()),
        "int64" in given,
        request,
    )


def json_object(body: bytes, fields: Sequence[str]) -> dict[str, Any]:
    """The body's members, all among `fields`. Raises: Refused FS505 (400), RequestError FS506 (422)."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "FS505", f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise RequestError("FS506", "the body must be a JSON object", known=fields)
    for field in given:
        if field not in fields:
            raise RequestError("FS506", f"unknown field {field!r}", known=fields, hint=nearest(field, fields))
    return given


def lists(given: object, field: str, example: str) -> dict[str, list[Any]]:
    """A field that maps columns to lists. Raises: RequestError FS506."""
    if not isinstance(given, dict) or not all(type(values) is list for values in given.values()):
        raise RequestError("FS506", f"{field} must map each column to a list of values, one per row", hint=example)
    return given


def _service(name: object) -> str:
    if not isinstance(name, str):
        raise RequestError("FS506", "feature_service must be the name of a service")
    return name


def _optional(given: Mapping[str, Any]) -> int | None:
    """The instant asked for; the other fields that may be absent are only checked."""
    include = given.get("include", [])
    if not isinstance(include, list) or not all(isinstance(i, str) and i in INCLUDES for i in include):
        raise RequestError("FS506", f"include takes {' and '.join(INCLUDES)}", known=INCLUDES)
    if "int64" in given and given["int64"] != "string":
        raise RequestError("FS506", 'int64 takes "string" only', known=["string"])
    return _instant(given["as_of"]) if "as_of" in given else None


def _instant(text: object) -> int:
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        shown = json.dumps(text)
        raise RequestError(
            "FS506", f"as_of {shown[:60]} is not an RFC 3339 instant with an offset", hint='"2026-01-31T13:45:00Z"'
        )
    try:
        return micros_of(datetime.fromisoformat(text.upper()))
    except ValueError as error:
        raise RequestError("FS506", f"as_of {text!r} is not an instant: {error}", hint='"2026-01-31T13:45:00Z"') from None


def _integer(value: Any, what: str) -> Any:
    """A decimal string as the integer it writes; beyond 128 bits as well, where it matches nothing."""
    if not isinstance(value, str):
        return value
    if not _INTEGER.fullmatch(value):
        raise RequestError("FS504", f"{what} takes an integer, got {json.dumps(value)[:60]}")
    return int(Decimal(value)) if len(value) > 19 else int(value)


def refuse_repeated(body: bytes, *objects: Mapping[str, Any], text: object = "") -> None:
    """A name given twice in one object: orjson would keep the last in silence.

    Every name is followed by a colon, so as many colons as names, and as `text` holds, mean that nothing is repeated, and
    that is cheap to see. Only where there are others (in a text key) is the body read a second time.

    Raises: Refused FS505 (400), RequestError FS506.
    """
    colons = sum(map(len, objects))
    if isinstance(text, str) and b"\\u003" not in body:  # as a colon may also be written
        colons += text.count(":")
    if body.count(b":") != colons:
        try:
            json.loads(body, object_pairs_hook=_distinct)
        except RecursionError:
            raise RequestError("FS506", "the body is nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise Refused(HTTPStatus.BAD_REQUEST, "FS505", f"the body names {twice!r} twice")
    return names
