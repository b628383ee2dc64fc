"""`featurestore drift`: have the distributions of features moved?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed, plain
from featurestore.cli.build import check_options
from featurestore.cli.command import Run, typed_wrong
from featurestore.errors import FeatureStoreError, UsageError, shorten

if TYPE_CHECKING:
    from featurestore.monitoring.drift import Comparison, FeatureDrift, Windows
    from featurestore.monitoring.drift.found import Compared

Option = typer.Option
_SHOWN = ("ks", "wasserstein_std", "psi", "js", "chi_square", "null_rate", "new_categories", "auc")
_NAMED = {"wasserstein_std": "w/std", "chi_square": "V", "null_rate": "nulls", "new_categories": "new"}
_MOST = 40
"""Features the text shows; `--json` has all."""


def drift(
    run: Run,
    reference: Annotated[
        str, Option(metavar="SIDE", help="What is usual: a training set, a .profile, or serve-log:SERVICE@FROM..TO.")
    ],
    current: Annotated[str, Option(metavar="SIDE", help="What is compared with it; likewise. serve-log:SERVICE@7d: a week.")],
    service: Annotated[
        str | None, Option(metavar="S", help="Compare this service's features. Default: those the sides have.")
    ] = None,
    label: Annotated[
        str | None, Option(metavar="COLUMN", help="Compare this column as the label. Default: as a manifest says.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        Option(metavar="FEATURE.MEASURE=VALUE", help="Alert by this effect instead of the default rule; '*' is every feature."),
    ] = None,
    alpha: Annotated[
        float | None, Option(metavar="SHARE", help="Of comparisons without drift so many may alert. Default: [drift] alpha.")
    ] = None,
    window: Annotated[
        str | None, Option(metavar="DURATION", help="Compare windows of the current side: each so long, by as_of or t.")
    ] = None,
    step: Annotated[str | None, Option(metavar="DURATION", help="From window to window. Default: as long as they are.")] = None,
    cumulative: Annotated[
        bool, Option("--cumulative/--sliding", help="Windows hold all rows before their end, or those of their length.")
    ] = False,
    as_of_column: Annotated[
        str | None, Option(metavar="COLUMN", help="The column of instants of files. Default: as a manifest says, or as_of.")
    ] = None,
    timezone: Annotated[str, Option(metavar="Z", help="The zone in which naive instants are read.")] = "UTC",
    sample: Annotated[
        int | None, Option(metavar="N", min=1, help="Draw so many rows of either side, and say what that costs.")
    ] = None,
    seed: Annotated[int, Option(metavar="N", min=0, help="Which rows are drawn, and how the classifier's folds fall.")] = 0,
    tests: Annotated[
        bool, Option("--tests/--no-tests", help="Without: distances and thresholds alone, no extra needed.")
    ] = True,
    record: Annotated[
        bool, Option("--record", help="Keep the result where monitor keeps its own: for boards and should-retrain.")
    ] = False,
    output: Annotated[Path | None, Option(metavar="FILE", help="Write a report with pictures there: .html.")] = None,
) -> Answer:
    """Compare the distributions of features: a training set, a profile or served rows with another of these.

    Of each feature: KS, Wasserstein, PSI and Jensen–Shannon distance, chi-square, shares of NULL and NaN, new categories; of
    all together how well a classifier tells the sides apart. Without thresholds a feature alerts if its difference is
    neither chance (all tests together, [drift] alpha) nor a trifle. Exit code 1 if any alerts.

    Example:
      featurestore drift --reference train.parquet --current serve-log:fraud_v1@7d --output drift.html
    """
    check_options(timezone, "0s")
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError("FS106", f"--output {output.name!r} is no .html file", hint="drift.html")
    if alpha is not None and not 0 < alpha < 1:
        raise UsageError("FS102", f"--alpha {alpha} is no share between 0 and 1", hint="0.01")
    from featurestore.monitoring.drift.rules import parsed

    thresholds = parsed(threshold or [])
    with run.progress() as watch:
        found = run.store.drift(
            reference, current, service=service, label=label, as_of=as_of_column, timezone=timezone, sample=sample, seed=seed,
            windows=windows(window, step, cumulative), alpha=alpha, thresholds=thresholds, tests=tests, watch=watch,
        )  # fmt: skip
    if record:
        subject = ("training_set", found.current.name) if service is None else ("service", service)
        run.store.record(found.results(run.store.clock.now(), *subject))
    if output is not None:
        from featurestore.atomic import write_text
        from featurestore.monitoring.drift.html import page

        write_text(output, page(found))
    told = {**found.to_json(), "report": None if output is None else str(output)}
    return Answer(plain(told), text(found, output), [] if found.ok else [failed(found)])


def windows(length: str | None, step: str | None, cumulative: bool) -> Windows | None:
    """Raises: UsageError FS398, FS211 for lengths typed wrong."""
    if length is None:
        if step is not None or cumulative:
            raise UsageError("FS398", "--step and --cumulative belong to windows", hint="--window 7d")
        return None
    from featurestore.intervals import parse_duration
    from featurestore.monitoring.drift import Windows

    micros = {}
    for option, given in (("--window", length), ("--step", step or length)):
        try:
            micros[option] = parse_duration(given).micros
        except FeatureStoreError as error:
            raise typed_wrong(option, error) from error
    return Windows(micros["--window"], micros["--step"], cumulative)


def failed(found: Comparison) -> CheckFailed:
    names = dict.fromkeys("all features together" if f.name == "*" else f.name for f in found.alerts)
    return CheckFailed("FS395", f"drifted: {shorten(names, 5)}", where=found.current.name)


def text(found: Comparison, output: Path | None) -> str:
    lines = [f"{_side(found.current)} against {_side(found.reference)}"]
    if found.error:
        lines.append(
            f"drawn: a KS distance lies within ±{found.error:.4f} of that of all rows (95 % of the time, for each feature)"
        )
    for window in dict.fromkeys(f.window for f in found.features):
        lines += _of_window(window, [f for f in found.features if f.window == window])
    said = dict.fromkeys(f"  {_name(f)}: {f.what}" for f in found.features if f.what and f.window is None)
    lines += list(said)[:_MOST]
    lines += list(found.notes)
    lines.append(f"{found.tests} tests, corrected together; alpha {found.alpha:g}; alerts: {len(found.alerts)}")
    lines += [f"report: {output}"] if output is not None else []
    return "\n".join(lines)


def _side(side: Compared) -> str:
    drawn = "" if side.drawn is None else f", {side.drawn:,} drawn"
    return f"{side.name} ({side.rows:,} rows{drawn})"


def _of_window(window: tuple[int, int] | None, features: list[FeatureDrift]) -> list[str]:
    """All rows: every feature. A window: those that alert."""
    if window is None:
        return [_table(features)]
    from featurestore.intervals import format_instant

    first, last = (format_instant(end).replace(":00.000000Z", "Z") for end in window)
    alerts = [f for f in features if f.alerts]
    skipped = all(not f.tests for f in features) and next((f.what for f in features if any(f.rows)), "nothing in common")
    found = skipped or f"{len(alerts) or 'none'} of {len(features)} alert"
    told = f"{first} to {last}, {max(f.rows[1] for f in features):,} rows: {found}"
    return [told, _table(alerts)] if alerts else [told]


def _name(feature: FeatureDrift) -> str:
    return "all together" if feature.name == "*" else f"{feature.name} (label)" if feature.is_label else feature.name


def _table(features: list[FeatureDrift]) -> str:
    shown = [name for name in _SHOWN if any(name in f.effects for f in features)]
    rows = []
    for f in features[:_MOST]:
        cells = ["" if f.effects.get(name) is None else f"{f.effects[name]:.3f}" for name in shown]
        rows.append([_name(f), f.status, *cells, "" if f.p is None else f"{f.p:.2g}"])
    table = show.table(["feature", "", *(_NAMED.get(name, name) for name in shown), "p"], rows, indent="  ")
    return table if len(features) <= _MOST else f"{table}\n  … {len(features) - _MOST:,} more"
