"""`featurestore compile`: definitions in, SQL for review out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.answer import Answer, CheckFailed
from featurestore.cli.command import Run

DialectOption = Annotated[
    str | None, typer.Option(metavar="D", help="The SQL dialect. Default: every one there is.", show_default=False)
]


def compile(
    run: Run,
    check: Annotated[bool, typer.Option("--check", help="Write nothing: print the diff, exit 1 if sql/ is stale.")] = False,
    dialect: DialectOption = None,
) -> Answer:
    """Write sql/ for review: every plan, and its SQL.

    Reads no rows. Column types come from schema=, else from the files, else from the committed sql/manifest.json.

    Example:
      featurestore compile --check
    """
    from featurestore.compiler.files import compiled, difference

    check_dialect(dialect)
    files = compiled(run.store.bound, dialect)
    folder = run.store.sql_folder
    changes = _changes(folder, files, dialect)
    if check:
        return _checked(run, difference(folder, files, dialect), changes)
    _write(folder, files, changes)
    text = "\n".join(f"{what} {run.store.config.project.sql}/{name}" for what, names in changes.items() for name in names)
    return Answer({**changes, "files": len(files), "stale": False}, text or f"{len(files)} files are up to date")


def check_dialect(name: str | None) -> None:
    """Raises: UsageError FS102 for a dialect nobody speaks."""
    from featurestore.compiler.files import DIALECTS
    from featurestore.errors import UsageError, nearest

    if name is not None and name not in DIALECTS:
        raise UsageError("FS102", f"unknown dialect {name!r}", known=DIALECTS, hint=nearest(name, DIALECTS))


def _changes(folder: Path, files: dict[str, str], dialect: str | None) -> dict[str, list[str]]:
    """What `compile` does to a folder: files it adds, changes and removes."""
    from featurestore.compiler.files import obsolete

    added = [name for name in files if not (folder / name).exists()]
    same = {name for name in files if name not in added and (folder / name).read_bytes() == files[name].encode()}
    changed = [name for name in files if name not in added and name not in same]
    return {"added": added, "changed": changed, "removed": obsolete(folder, files, dialect)}


def _write(folder: Path, files: dict[str, str], changes: dict[str, list[str]]) -> None:
    """Each file whole or not at all; the manifest last, for it speaks of the others."""
    from featurestore import atomic

    for name in sorted([*changes["added"], *changes["changed"]], key=lambda n: (n == "manifest.json", n)):
        atomic.sweep(folder / name)
        atomic.write_text(folder / name, files[name])
    for name in changes["removed"]:
        (folder / name).unlink(missing_ok=True)


def _checked(run: Run, diff: str, changes: dict[str, list[str]]) -> Answer:
    result = {**changes, "stale": bool(diff), "diff": diff}
    if not diff:
        return Answer(result, f"{run.store.config.project.sql}/ is up to date")
    count = sum(map(len, changes.values()))
    error = CheckFailed(
        "FS111", f"{run.store.config.project.sql}/ is stale: {count} of its files are not what the definitions say",
        where=next(name for names in changes.values() for name in names) if count else "", hint="featurestore compile",
    )  # fmt: skip
    return Answer(result, diff, [error])
