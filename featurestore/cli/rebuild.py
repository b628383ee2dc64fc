"""`featurestore rebuild`: a training set built again from its manifest, or the proof that it can be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.answer import Answer, CheckFailed
from featurestore.cli.command import Run
from featurestore.cli.diff import by_column
from featurestore.errors import FeatureStoreError

if TYPE_CHECKING:
    from featurestore.audit.rebuild import Rebuilt

Option = typer.Option


def rebuild(
    run: Run,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the training set it lies beside.")],
    output: Annotated[Path | None, Option(metavar="FILE", help="Write the set there. Default: where it was, if gone.")] = None,
    spine: Annotated[
        Path | None, Option(metavar="FILE", help="The spine, if it is not where it was, or was a table in memory.")
    ] = None,
    verify: Annotated[
        bool, Option("--verify", help="Compare with what the manifest says; keep nothing unless --output is given.")
    ] = False,
    memory_limit: Annotated[str | None, Option(metavar="SIZE", help="Memory the engine may use, such as 4GB.")] = None,
) -> Answer:
    """Build a training set again from its manifest.

    It is built from exactly the files the manifest lists, each hashed anew, with the same cut-off, lag and columns. Files and
    pushed rows that came later are not used. No file with other bytes is written over. With --verify, exit 1 unless the bytes
    are the same, and what is not as it was is named: a source file, a push log, the spine, a definition, a version.

    Example:
      featurestore rebuild train.parquet --verify
    """
    with run.progress() as watch:
        done = run.store.rebuild(manifest, output=output, spine=spine, verify=verify, memory_limit=memory_limit, watch=watch)
    if not verify:
        for change in done.changed:
            run.warn(str(change))
    return Answer({**done.to_dict(), "warnings": run.warnings}, _text(done, verify), _errors(done) if verify else [])


def _errors(done: Rebuilt) -> list[FeatureStoreError]:
    if done.same:
        return []
    why = "; ".join(map(str, done.changed)) or "nothing that is recorded has changed"
    what = f"{done.manifest.name}: {_outcome(done)}: {why}"
    return [CheckFailed("FS133", what, hint="what is named above, as it was")]


def _outcome(done: Rebuilt) -> str:
    if done.bytes is None:
        return "the set cannot be built as it was"
    if done.bytes:
        return "the same bytes were built, but the set beside the manifest is another"
    return "other bytes, same content" if done.content else "other bytes, other content"


def _text(done: Rebuilt, verify: bool) -> str:
    lines = []
    if done.same:
        lines.append(f"{done.manifest.name}: the same bytes")
    elif done.bytes is not None or verify:
        lines.append(f"{done.manifest.name}: {_outcome(done)}")
    lines += [f"  {change.what}: {change}" for change in done.changed]
    lines += [f"note: {note}" for note in done.notes]
    if done.differences is not None:
        lines += by_column(done.differences, "as it was", "built now")
    if done.output is not None:
        lines.append(f"output: {done.output}")
    return "\n".join(lines)
