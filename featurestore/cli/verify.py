"""`featurestore verify`: online answers against the offline truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed, json_text
from featurestore.cli.command import Run
from featurestore.errors import FeatureStoreError, UsageError

if TYPE_CHECKING:
    from featurestore.audit.report import Difference, ServiceVerification, Verification

SHOWN = 2
"""Differing cells of each cause that are printed; --json has more."""


def verify(
    run: Run,
    service: Annotated[
        str | None, typer.Argument(metavar="[SERVICE]", help="A feature service. Default: all that are kept online.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many rows are asked of a service. Default: 1000; with --log 10000 logged ones."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Which rows: the same seed asks the same.")] = 0,
    scratch: Annotated[
        int, typer.Option(metavar="N", help="How many stores are made in memory for each view, each just before an event.")
    ] = 2,
    log: Annotated[bool, typer.Option("--log", help="Compare what was served, by the serve log, instead of asking.")] = False,
    since: Annotated[str | None, typer.Option(metavar="TS", help="With --log: answers for instants from TS on.")] = None,
) -> Answer:
    """Compare online answers with the offline truth at the same instants, watermarks and source files.

    Keys and instants are sampled, among them those at which windows and ttl turn. Exit 1 on any difference, or if nothing at
    all could be compared. A view whose source files are gone or changed, or that is answered by another definition than the
    registry's, is `unverifiable`: a warning says why, and the exit code goes by what was compared. Reads only.

    With --log the questions are those of the serve log, and the answers what was served: exit 1 if of any feature a greater
    share of cells differs than `[monitor] skew` says.

    Example:
      featurestore verify fraud_v1 --sample 5000
      featurestore verify --log --since 2026-01-01T00:00:00Z
    """
    if log:
        return _log(run, service, since, 10_000 if sample is None else sample, seed)
    if since is not None:
        raise UsageError("FS102", "--since goes with --log", hint="--log")
    with run.progress() as watch:
        found = run.store.verify(service, sample=1_000 if sample is None else sample, seed=seed, scratch=scratch, watch=watch)
    for name, told in found.services.items():
        run.tell("service", service=name, rows=told.rows, cells={view: v.cells for view, v in told.views.items()})
    for name, reason in found.unverifiable.items():
        run.warn(f"{name} is unverifiable: {reason}")
    result = {**found.to_dict(), "warnings": run.warnings}
    return Answer(result, _text(found), _errors(found))


def _log(run: Run, service: str | None, since: str | None, sample: int, seed: int) -> Answer:
    from featurestore.cli import skew  # late: most do not ask

    with run.progress() as watch:
        found = run.store.verify_log(service, since=since, sample=sample, seed=seed, watch=watch)
    for name, told in found.services.items():
        run.tell("service", service=name, rows=told.rows, cells={f: skew.cells(one) for f, one in told.features.items()})
    for name, reason in found.reasons.items():
        run.warn(f"{name}: {reason}")
    return Answer({**found.to_dict(), "warnings": run.warnings}, skew.text(found), skew.errors(found))


def _errors(found: Verification) -> list[FeatureStoreError]:
    if found.different:
        views = ", ".join(sorted({v.view for v in found.views if v.cells["different"] or v.scratch["different"]}))
        what = f"{found.different:,} of {found.compared:,} cells differ: {views}"
        return [CheckFailed("FS131", what, hint="featurestore materialize --full")]
    if not found.ok:
        why = "; ".join(f"{name}: {reason}" for name, reason in found.unverifiable.items())
        why = why or ("every answer was stale or unavailable" if found.services else "no service is kept online")
        return [CheckFailed("FS132", f"nothing could be verified: {why}", hint="featurestore materialize")]
    return []


def _text(found: Verification) -> str:
    return "\n\n".join(_service(name, service) for name, service in found.services.items()) or "no service is kept online"


def _service(name: str, service: ServiceVerification) -> str:
    if service.reason:
        return f"{name}: {service.reason}"
    header = ("view", "watermark", "equal", "different", "stale", "unavailable", "unverifiable")
    rows = []
    for view, told in service.to_dict()["views"].items():
        rows.append((view, told["watermark"] or "on demand", *(told[outcome] for outcome in header[2:])))
    parts = [f"{name}: {service.rows:,} rows asked; cells:", show.table(header, rows, indent="  ")]
    parts += [line for view, found in service.views.items() if (line := _scratch(view, found.scratch))]
    for view, found in service.views.items():
        parts += [f"\n{view}, by cause: {show.counts(found.causes, plain=True)}"] if found.causes else []
        for cause in dict.fromkeys(example.cause for example in found.examples):
            parts += [_difference(e) for e in [e for e in found.examples if e.cause == cause][:SHOWN]]
    return "\n".join(parts)


def _scratch(view: str, counted: Mapping[str, int]) -> str:
    if not counted["stores"]:
        return ""
    said = f"{counted['equal']:,} cells equal, {counted['different']:,} different"
    return f"  {view}, {counted['stores']} stores made just before an event: {said}"


def _difference(example: Difference) -> str:
    named = ", ".join(f"{name}={_shown(value)}" for name, value in (*example.keys.items(), *example.request.items()))
    at = f" ({example.probe})" if example.probe else ""
    lines = [f"  {example.feature} of {named or 'the one row'} at {example.as_of}{at}"]
    lines += [_side("online", example.online), _side("offline", example.offline), f"    cause    {example.cause}"]
    return "\n".join(lines)


def _side(name: str, cell: Any) -> str:
    event = f", event time {cell['event_timestamp']}" if cell["event_timestamp"] else ""
    return f"    {name:<8} {_shown(cell['value'])} ({cell['status']}{event})"


def _shown(value: Any) -> str:
    return show.cell(None) if value is None else json_text(value).strip('"') if isinstance(value, str) else json_text(value)
