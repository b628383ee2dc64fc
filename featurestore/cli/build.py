"""`featurestore build`: a training set in a file, with its manifest and a summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run, typed_wrong
from featurestore.cli.explain import ServiceArgument
from featurestore.cli.split import split_of
from featurestore.cli.split import told as split_told
from featurestore.cli.stale import warn_if_stale
from featurestore.errors import FeatureStoreError

if TYPE_CHECKING:
    from featurestore.retrieval.training_set import Report
    from featurestore.store import FeatureStore

Option = typer.Option
_REPORTED = ("service", "fingerprint", "rows", "views", "features", "left_out", "source_rows", "without_value", "label",
             "labels", "split", "at_once", "known_before", "serving_lag_us", "trust", "content_hash")  # fmt: skip
"""What the answer repeats of the manifest."""
_TOLD = ("service", "fingerprint", "rows", "known_before", "content_hash")
"""What an event tells of a training set that is written."""


def build(
    run: Run,
    service: ServiceArgument,
    spine: Annotated[str, Option(metavar="FILE", help="The rows that ask: join keys, as_of, label. Parquet or CSV, or a URL.")],
    output: Annotated[Path, Option(metavar="FILE", help="The training set to write: .parquet or .csv.")],
    as_of_column: Annotated[str, Option(metavar="COLUMN", help="The spine's column of instants.")] = "as_of",
    as_of_format: Annotated[
        str | None, Option(metavar="F", help="Format of as_of in text, such as '%d.%m.%Y'; default ISO 8601.")
    ] = None,
    timezone: Annotated[str, Option(metavar="Z", help="The zone in which naive as_of are read.")] = "UTC",
    known_before: Annotated[str | None, Option(metavar="TS", help="Use facts known before this instant only.")] = None,
    serving_lag: Annotated[
        str, Option(metavar="DURATION", help="Answer as a store materialized that long before each row.")
    ] = "0s",
    include: Annotated[
        list[str] | None, Option(metavar="LIST", help="Add columns per feature: status,event_timestamp.")
    ] = None,
    label: Annotated[
        str | None, Option(metavar="COLUMN", help="A label column of the spine: checked, counted, recorded.")
    ] = None,
    split: Annotated[
        str | None, Option(metavar="time|group|random", help="Add a column split: train, validation, test, purged, embargo.")
    ] = None,
    test_from: Annotated[str | None, Option(metavar="TS", help="By time: rows from this instant on are tested on.")] = None,
    validation_from: Annotated[str | None, Option(metavar="TS", help="By time: rows from it to --test-from validate.")] = None,
    embargo: Annotated[
        str | None, Option(metavar="DURATION", help="By time: rows that close before a later part are in none.")
    ] = None,
    label_window: Annotated[
        str | None, Option(metavar="DURATION", help="By time: how far a label of the spine looks ahead of its row.")
    ] = None,
    split_by: Annotated[
        list[str] | None, Option(metavar="LIST", help="Columns that name an entity: it is in one part only.")
    ] = None,
    test_share: Annotated[float | None, Option(metavar="SHARE", help="Group, random: the share to test on: 0.2.")] = None,
    validation_share: Annotated[float | None, Option(metavar="SHARE", help="Group, random: the share to validate on.")] = None,
    seed: Annotated[int | None, Option(metavar="N", help="Group, random: which ones; the same seed draws the same.")] = None,
    engine: Annotated[str | None, Option(metavar="duckdb|spark", help="The engine. Default: as in featurestore.toml.")] = None,
    memory_limit: Annotated[str | None, Option(metavar="SIZE", help="Memory the engine may use, such as 4GB.")] = None,
    temp_directory: Annotated[
        Path | None, Option(metavar="DIR", help="Where data is spilled, and finished partitions are kept. Default: as set.")
    ] = None,
    partitions: Annotated[
        int | None, Option(metavar="N", help="Cut the keys into so many partitions. Default: as many as memory asks for.")
    ] = None,
) -> Answer:
    """Build a point-in-time training set into a file.

    It has the spine's rows, in order, each with what could have been known at its instant. Beside OUTPUT lies
    OUTPUT.manifest.json: what went in, what it means, what was counted. On any error nothing is written. A large build that
    was stopped goes on with its finished partitions when the same command is given again.

    Example:
      featurestore build fraud_v1 --spine data/spine.parquet --output train.parquet --label label
    """
    from featurestore.retrieval.output import manifest_path

    store, reports = run.store, list["Report"]()
    check_options(timezone, serving_lag)
    parts = split_of(
        split, split_by, test_from=test_from, validation_from=validation_from, embargo=embargo, label_window=label_window,
        test_share=test_share, validation_share=validation_share, seed=seed,
    )  # fmt: skip
    store.bound_service(service)  # an unknown service comes before any advice
    warn_if_stale(run)
    with run.progress() as watch:
        store.build_training_set(
            service, spine, as_of=as_of_column, as_of_format=as_of_format, timezone=timezone, known_before=known_before,
            serving_lag=serving_lag, include=names(include), label=label, split=parts, engine=engine,
            memory_limit=memory_limit, temp_directory=temp_directory, partitions=partitions, output=output, watch=watch,
            report=reports.append,
        )  # fmt: skip
    for warning in reports[0].warnings:
        run.warn(warning)
    manifest = json.loads(manifest_path(output).read_text(encoding="utf-8"))
    run.tell("training_set", output=str(output), **{name: manifest[name] for name in _TOLD})
    watermark_age = _newest_watermark_age(store)
    result = {
        "output": str(output), "manifest": str(manifest_path(output)),
        **{name: manifest[name] for name in _REPORTED},
        "watermark_age_us": watermark_age, "warnings": run.warnings,
    }  # fmt: skip
    return Answer(result, _summary(result))


def check_options(timezone: str, serving_lag: str) -> None:
    """Raises: UsageError for a zone or a duration typed wrong."""
    from featurestore.intervals import parse_duration, zone

    for option, read in (
        ("--timezone", lambda: zone(timezone)),
        ("--serving-lag", lambda: parse_duration(serving_lag)),
    ):
        try:
            read()
        except FeatureStoreError as error:
            raise typed_wrong(option, error) from error


def check_length(option: str, given: str) -> None:
    """Raises: UsageError for a length of time typed wrong, or of nothing."""
    from featurestore.errors import UsageError
    from featurestore.intervals import parse_duration

    try:
        if not parse_duration(given).micros:
            raise UsageError("FS211", f"{option} must be longer than nothing")
    except FeatureStoreError as error:
        raise typed_wrong(option, error) from error


def names(lists: list[str] | None) -> tuple[str, ...]:
    """`--include a,b` and `--include a --include b` alike."""
    return tuple(name.strip() for text in lists or () for name in text.split(",") if name.strip())


def _newest_watermark_age(store: FeatureStore) -> int | None:
    """How old the newest watermark of the online store is, in microseconds; None without one."""
    from featurestore.online.generations import generations
    from featurestore.store import open_online

    try:
        online = open_online(store.config, store.root, read_only=True)
    except FeatureStoreError:
        return None
    try:
        with online.read() as snapshot:
            watermarks = [g.watermark for g in generations(snapshot)]
    except FeatureStoreError:
        return None
    finally:
        online.close()
    return store.clock.now() - max(watermarks) if watermarks else None


def _summary(result: dict[str, Any]) -> str:
    lines = [f"{result['service']}: {result['rows']:,} rows in {result['output']}"]
    lines += [f"  {name}: {show.counts(counts)}" for name, counts in result["views"].items()]
    if result["without_value"]:
        lines.append(f"rows in which an operation had no value: {show.counts(result['without_value'], plain=True)}")
    lines += _left_out(result["left_out"])
    if result["label"] is not None:
        label = result["label"]
        lines.append(f"label {label['column']}: {label['present']:,} of {result['rows']:,} rows have one")
    lines += [_label(name, told) for name, told in result["labels"].items()]
    lines += split_told(result["split"])
    trust = result["trust"]
    lines.append(f"static sources: {', '.join(trust['static']) or 'none'}")
    if trust["assumed_known_at_once"]:
        lines.append(f"assumed known at once: {', '.join(trust['assumed_known_at_once'])}")
    lines.append(f"known before: {result['known_before'] or 'no cut-off'}")
    lines.append(_lag(result["serving_lag_us"], result["watermark_age_us"]))
    if result["at_once"]:
        lines.append(f"asked at one instant, {result['at_once']}: by snapshot")
    lines.append(f"manifest: {result['manifest']}")
    lines.append(f"content hash: {result['content_hash']}")
    return "\n".join(lines)


def _label(name: str, told: dict[str, Any]) -> str:
    counted = show.counts({what: told[what] for what in ("mature", "immature", "positive")})
    until = "no row of its source is known" if told["mature_until"] is None else f"mature up to as_of {told['mature_until']}"
    return f"label view {name}: {counted}; {until}"


def _left_out(by_view: dict[str, dict[str, int]]) -> list[str]:
    lines = [f"source rows left out of {view}: {show.counts(reasons)}" for view, reasons in by_view.items() if reasons]
    return lines or ["source rows left out: none"]


def _lag(lag: int, watermark_age: int | None) -> str:
    said = f"serving lag: {show.age(lag)}" if lag else "serving lag: 0, as a store that is always up to date"
    if watermark_age is None:
        return said
    return f"{said} (the online store's newest watermark is {show.age(watermark_age)} old)"
