"""`featurestore get`: one entity's features, from the online store."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, json_text
from featurestore.cli.command import Run
from featurestore.cli.explain import ServiceArgument
from featurestore.cli.stale import warn_if_stale
from featurestore.errors import FeatureStoreError, RequestError, StoreError, UnknownName, nearest
from featurestore.intervals import format_instant

if TYPE_CHECKING:
    from featurestore.dtypes import DType
    from featurestore.retrieval.online_features import OnlineFeatures

INCLUDES = ("statuses", "event_timestamps")


def get(
    run: Run,
    service: ServiceArgument,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="The entity: one KEY=VALUE per join key.")
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What on-demand features take from the request; NAME= is NULL, or empty text."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TS", help="Answer for this instant, not before the watermark. Default: now.")
    ] = None,
) -> Answer:
    """Look up one entity's features in the online store.

    Binary values are given in base64, dates as 2026-01-31, instants with an offset.

    Example:
      featurestore get fraud_v1 customer_id=10038 merchant_id=m00042
    """
    _advise(run)
    families, types = _asked_by(run, service)
    entity = {name: [typed_key(name, text, families[name])] for name, text in pairs(keys or (), "key", families).items()}
    given = pairs(request or (), "request column", types)
    values = {name: [brought(name, text, types[name])] for name, text in given.items()}
    return _answer(run, run.store.get_online_features(service, entity, request=values, as_of=as_of, include=INCLUDES))


def _advise(run: Run) -> None:
    """Warn of a stale sql/. The registry is not what answers, so one that cannot be loaded is a warning as well."""
    try:
        warn_if_stale(run)
    except FeatureStoreError as error:
        if error.code == "FS107":
            raise
        run.warn(f"the definitions cannot be checked against the online store: {error}")


def _asked_by(run: Run, service: str) -> tuple[Mapping[str, str], Mapping[str, DType]]:
    """Key column -> family, and request column -> type of a service, as the online store has it.

    Raises: UnknownName FS101, FS501, StoreError FS402.
    """
    defined = _defined(run)
    try:
        reader = run.store.reader
    except StoreError as error:
        if error.code == "FS402" and defined is not None:
            from featurestore.registry import known

            known(defined, service, "feature service")
        raise
    with reader.store.read() as snapshot:
        services = reader.services(snapshot)
        if service in services:
            return services[service].keys, services[service].request
    hint = "featurestore materialize" if defined and service in defined else nearest(service, services)
    raise UnknownName("FS501", f"the online store cannot answer feature service {service!r}", known=services, hint=hint)


def _defined(run: Run) -> Mapping[str, Any] | None:
    """The registry's services; None if it cannot be loaded."""
    try:
        return run.store.registry.services
    except FeatureStoreError:
        return None


def pairs(given: Sequence[str], what: str, names: Mapping[str, Any]) -> dict[str, str]:
    """NAME=VALUE arguments. Raises: RequestError FS502 for another shape, an unknown, missing or repeated name."""
    pairs: dict[str, str] = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if not equals:
            raise RequestError(
                "FS502", f"{argument!r} is not {what.split()[0].upper()}=VALUE", known=names, hint=f"{argument}=…"
            )
        if name not in names:
            raise RequestError("FS502", f"unknown {what} {name!r}", known=names, hint=nearest(name, names))
        if name in pairs:
            raise RequestError(
                "FS502", f"{what} {name!r} is given twice", hint="one entity per call; the HTTP server takes many"
            )
        pairs[name] = value
    for name in names:
        if name not in pairs:
            option = "--request " if what == "request column" else ""
            raise RequestError("FS502", f"missing {what} {name!r}", known=names, hint=f"{option}{name}=…")
    return pairs


def typed_key(name: str, text: str, family: str) -> object:
    """A key's value, read as its family. Raises: RequestError FS504."""
    read, shape = _READERS[family]
    try:
        return read(text)
    except ValueError:
        raise RequestError("FS504", f"key {name!r} takes {family}, got {text!r}", hint=f"{name}={shape}") from None


def brought(name: str, text: str, dtype: DType) -> object:
    """A request value: numbers and booleans are read, all else is text that says what it is. Raises: RequestError FS504."""
    if not text and dtype.name != "string":
        return None
    read = _integer if dtype.is_integer else _number if dtype.is_float else _bool if dtype.name == "bool" else str
    try:
        return read(text)
    except ValueError:
        raise RequestError("FS504", f"request column {name!r} takes {dtype}, got {text!r}") from None


def _number(text: str) -> float | str:
    """NaN and infinities stay text: the reader of requests knows their names."""
    return text if text in ("NaN", "Infinity", "-Infinity") else float(text)


def _integer(text: str) -> int:
    if not text.removeprefix("-").removeprefix("+").isdecimal() or not text.isascii():
        raise ValueError
    return int(text)


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


_READERS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "integer": (_integer, "42"),
    "text": (str, "abc"),
    "bool": (_bool, "true"),
    "date": (date.fromisoformat, "2026-01-31"),
    "binary": (lambda text: base64.b64decode(text, validate=True), "aGVsbG8="),
}
"""Family -> how its values are read, and an example."""


def _answer(run: Run, found: OnlineFeatures) -> Answer:
    values = {name: column[0] for name, column in found.to_dict().items()}
    events = [None if event is None else format_instant(event) for event in found.event_timestamps[0]]
    cells = list(zip(found.feature_names, values.values(), found.statuses[0], events, strict=True))
    result = {
        "feature_service": found.feature_service,
        "fingerprint": found.fingerprint,
        "as_of": format_instant(found.as_of),
        "features": {n: {"value": v, "status": s, "event_timestamp": e} for n, v, s, e in cells},
        "watermarks": {view: format_instant(at) for view, at in found.watermarks.items()},
        "warnings": run.warnings,
    }
    rows = [(n, json_text(v) if isinstance(v, list) else v, s, e or "") for n, v, s, e in cells]
    table = show.table(("feature", "value", "status", "event time"), rows)
    return Answer(result, f"{table}\n\nas of {result['as_of']}")
