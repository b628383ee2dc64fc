"""`featurestore materialize`: bring the online store to a watermark."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.cli.stale import warn_if_stale

if TYPE_CHECKING:
    from featurestore.materialization import ViewReport


_TOLD = ("view", "mode", "reason", "watermark", "generation", "keys", "keys_written", "bytes_written", "seconds")
"""What an event tells of a view that is done."""


def materialize(
    run: Run,
    views: Annotated[
        list[str] | None, typer.Argument(metavar="[VIEW]...", help="Feature views. Default: all that are kept online.")
    ] = None,
    known_before: Annotated[
        str | None, typer.Option(metavar="TS", help="The watermark: facts known before it. Default: now.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Make the views anew instead of stepping on from the last run.")] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="duckdb|spark", help="What computes the states. Default: as in featurestore.toml.")
    ] = None,
) -> Answer:
    """Bring the online store to a watermark.

    Each view switches to its new state at once. A watermark before the stored one leaves nothing to do. Killed at any
    moment, the last complete state answers, and the same command goes on where the killed one was.

    Example:
      featurestore materialize --known-before 2026-01-01T00:00:00Z
    """
    warn_if_stale(run)
    os.nice(run.store.config.online.nice)  # a server on this machine goes first; the process ends with this command

    def done(report: ViewReport) -> None:
        run.tell("view", **{name: getattr(report, name) for name in _TOLD})

    with run.progress() as watch:
        reports = run.store.materialize(
            views, known_before=known_before, full=full, engine=engine, watch=watch, report=done
        )  # fmt: skip
    for report in reports:
        for warning in report.warnings:
            run.warn(warning)
    result = {"views": [report.to_dict() for report in reports], "warnings": run.warnings}
    return Answer(result, "\n".join(map(_line, reports)) or "no view is kept online")


def _line(report: ViewReport) -> str:
    if report.mode == "nothing":
        return f"{report.view}: nothing to do, {report.reason}"
    why = f" ({report.reason})" if report.reason else ""
    line = f"{report.view}: {report.mode}{why}, watermark {report.watermark}"
    line += f", {report.keys:,} keys, {report.keys_written:,} written"
    for count, what in (
        (report.keys_resumed, "of them by an interrupted run"),
        (report.keys_kept, "kept"),
        (report.keys_removed, "removed"),
        (report.keys_held_back, "with facts held back"),
        (report.new_files, "new files"),
    ):
        line += f", {count:,} {what}" if count else ""
    line += f"; {show.size(report.bytes_written)} in {report.seconds:.1f} s, {report.keys_per_second:,} keys/s, {report.how}"
    return line + (f"; left out: {show.counts(report.left_out)}" if report.left_out else "")
