"""`featurestore backfill`: a view's values at regular instants, as partitioned Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run, typed_wrong
from featurestore.cli.stale import warn_if_stale
from featurestore.errors import FeatureStoreError

if TYPE_CHECKING:
    from featurestore.backfill import Backfilled


def backfill(
    run: Run,
    view: Annotated[str, Argument(metavar="VIEW", help="A feature view of the project.")],
    start: Annotated[str, Option("--from", metavar="TS", help="The first instant, with an offset from UTC.")],
    end: Annotated[str, Option("--to", metavar="TS", help="Where the instants end; it is none of them.")],
    output: Annotated[str, Option(metavar="FOLDER", help="Where the files lie; it is made if it is not there. Or a table.")],
    every: Annotated[str, Option(metavar="DURATION", help="From one instant to the next: 1d, 6h.")] = "1d",
    partition_by: Annotated[
        str, Option(metavar="instant|day|month", help="A folder for each instant, or for its day or month.")
    ] = "instant",
    include: Annotated[
        list[str] | None, Option(metavar="LIST", help="Add columns: status,event_timestamp (separated by commas).")
    ] = None,
    format: Annotated[
        str, Option(metavar="parquet|delta|iceberg", help="Files in a folder; or rows of a table, by its path, URL or name.")
    ] = "parquet",
    jobs: Annotated[int, Option(metavar="N", help="Instants computed side by side.")] = 1,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    engine: Annotated[str | None, Option(metavar="duckdb|spark", help="Where instants are computed. Default: as set.")] = None,
    memory_limit: Annotated[str | None, Option(metavar="SIZE", help="Memory the engine may use, such as 4GB.")] = None,
) -> Answer:
    """Write a view's values at regular instants, for batch scoring and dashboards.

    Each instant has one Parquet file with a row for every key known by then: keys, as_of, features. What is up to date is
    left alone: the same command again does nothing, and after late rows it writes the instants that they touch. Killed at any
    moment, every file is whole.

    Example:
      featurestore backfill card_payments --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --output out/card_payments
    """
    from featurestore.cli.build import names
    from featurestore.intervals import parse_duration

    try:
        parse_duration(every)
    except FeatureStoreError as error:
        raise typed_wrong("--every", error) from error
    warn_if_stale(run)
    with run.progress() as watch:
        done = run.store.backfill(
            view, start, end, output=output, every=every, partition_by=partition_by, include=names(include), jobs=jobs,
            dry_run=dry_run, format=format, engine=engine, memory_limit=memory_limit, watch=watch,
        )  # fmt: skip
    for warning in done.warnings:
        run.warn(warning)
    return Answer({**done.to_dict(), "warnings": run.warnings}, _text(done))


def _text(done: Backfilled) -> str:
    written, all_of_them, computed = len(done.written), len(done.partitions), sum(done.reasons.values())
    if not computed:
        return f"{done.view}: nothing to do, {all_of_them:,} of {all_of_them:,} instants are up to date in {done.output}"
    what = "to be written" if done.dry_run else "written"
    why = "; ".join(f"{n:,} {reason}" for reason, n in done.reasons.items())
    same = f", {computed - written:,} computed and found as they were" if computed > written else ""
    lines = [f"{done.view}: {written:,} of {all_of_them:,} instants {what} in {done.output}{same} ({why})"]
    if not done.dry_run:
        lines.append(f"rows: {sum(p.rows or 0 for p in done.written):,} written")
    if done.left_out:
        lines.append(f"source rows left out: {show.counts(done.left_out)}")
    return "\n".join(lines)
