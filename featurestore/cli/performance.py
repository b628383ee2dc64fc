"""`featurestore performance`: how good were predictions, once their labels are known?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed, plain
from featurestore.cli.build import check_length, check_options, names
from featurestore.cli.command import Run
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.monitoring.performance import Performance

Option = typer.Option


def performance(
    run: Run,
    service: Annotated[str, Option(metavar="S", help="The service that was served; one of its labels is the truth.")],
    predictions: Annotated[
        str, Option(metavar="FILE", help="Join keys, instant and score: Parquet, CSV, or serve-log:SERVICE@FROM..TO.")
    ],
    score: Annotated[str, Option(metavar="COLUMN", help="The column of scores.")] = "score",
    label: Annotated[str | None, Option(metavar="COLUMN", help="Which label, where the service has several.")] = None,
    metric: Annotated[
        list[str] | None, Option(metavar="LIST", help="auc, logloss; rmse, mae. Default: by the label's type.")
    ] = None,
    threshold: Annotated[
        list[str] | None, Option(metavar="METRIC=VALUE", help="Alert on a day whose auc is below, or any other above.")
    ] = None,
    min_rows: Annotated[
        int | None, Option(metavar="N", min=1, help="Rows a day needs to be judged. Default: [drift] min_rows.")
    ] = None,
    slice: Annotated[str, Option(metavar="DURATION", help="What is judged together, from multiples since 1970 UTC on.")] = "1d",
    known_before: Annotated[
        str | None, Option(metavar="TS", help="Judge as one would have at this instant: later facts do not count.")
    ] = None,
    as_of_column: Annotated[
        str | None, Option(metavar="COLUMN", help="The column of instants. Default: as a manifest says, or as_of.")
    ] = None,
    timezone: Annotated[str, Option(metavar="Z", help="The zone in which naive instants are read.")] = "UTC",
    record: Annotated[
        bool, Option("--record", help="Keep the result where monitor keeps its own: for boards and should-retrain.")
    ] = False,
) -> Answer:
    """Judge predictions by UTC day, once the labels of that day are settled; younger days are marked and not judged.

    A label is built from the service's label view with the facts that are known by now, or before --known-before. Exit code 1
    if a day breaks a threshold.

    Example:
      featurestore performance --service fraud_v2 --predictions scores.parquet --metric auc --threshold auc=0.8
    """
    check_options(timezone, "0s")
    check_length("--slice", slice)
    found = run.store.performance(
        predictions, service, score=score, label=label, metrics=names(metric), thresholds=_thresholds(threshold or []),
        min_rows=min_rows, slice=slice, known_before=known_before, as_of=as_of_column, timezone=timezone,
    )  # fmt: skip
    if record:
        run.store.record(found.results(run.store.clock.now()))
    if not any(day.metrics for day in found.days):
        run.warn("no day could be judged")
    return Answer(plain(found.to_json()), text(found), [] if found.ok else [failed(found)])


def _thresholds(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise UsageError("FS396", f"threshold {text!r} is not METRIC=VALUE", hint="--threshold auc=0.8")
    return found


def failed(found: Performance) -> CheckFailed:
    first = found.alerts[0]
    what = f"{len(found.alerts)} of {len(found.days)} days break a threshold; the first: {first.what}"
    return CheckFailed("FS397", what, where=f"{found.service} on {first.to_json()['day']}")


def text(found: Performance) -> str:
    from featurestore.intervals import format_instant

    until = "no label is settled" if found.mature_until is None else f"settled up to as_of {format_instant(found.mature_until)}"
    lines = [f"{found.score} of {found.service} against {found.label}, {until}"]
    rows = []
    for day in found.days:
        cells = ["" if day.metrics.get(name) is None else f"{day.metrics[name]:.4f}" for name in found.metrics]
        rows.append([day.to_json()["day"], day.status, day.rows, day.judged, *cells, day.what])
    lines.append(show.table(["day", "", "rows", "judged", *found.metrics, ""], rows, indent="  "))
    lines += [f"rows without a score: {found.without_score:,}"] if found.without_score else []
    lines += [f"rows whose settled label is NULL: {found.without_label:,}"] if found.without_label else []
    lines.append(f"alerts: {len(found.alerts)}")
    return "\n".join(lines)
