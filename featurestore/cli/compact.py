"""`featurestore compact`: fold what was pushed into Parquet."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run

if TYPE_CHECKING:
    from featurestore.sources.push_compaction import Folded


def compact(
    run: Run,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Sources. Default: all that were pushed to.")
    ] = None,
) -> Answer:
    """Fold what was pushed into Parquet, arrivals kept.

    Values do not change, and pushes go on meanwhile. Killed at any moment, nothing is lost; run it again.

    Example:
      featurestore compact payments
    """
    found = run.store.compact(sources)
    text = "\n".join(map(_line, found, found.values())) or "nothing was pushed"
    return Answer({"sources": {name: asdict(folded) for name, folded in found.items()}}, text)


def _line(source: str, folded: Folded) -> str:
    if not folded.rows:
        return f"{source}: nothing to fold, {folded.position:,} rows are in Parquet"
    return f"{source}: {folded.rows:,} rows folded into {folded.files} files, {folded.position:,} in all"
