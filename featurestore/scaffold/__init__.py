"""Decide what a new project is: the files in `project/` and generated data, complete or not there at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from featurestore.atomic import sync
from featurestore.definitions.base import check_name
from featurestore.errors import UsageError
from featurestore.scaffold.aside import files, folder_aside

if TYPE_CHECKING:
    from featurestore.scaffold.generate import Progress

TEMPLATE = Path(__file__).parent / "project"
_RENAMED = {"gitignore": ".gitignore"}
"""Kept here under another name, lest git and the build read it as their own."""
_LAST = "featurestore.toml"
"""What makes a folder a project comes last: until it is there, no command takes the folder for one."""


def create(
    directory: Path, *, name: str | None = None, rows: int = 20_000, seed: int = 7, progress: Progress | None = None
) -> list[str]:
    """Make a project that runs at once: featurestore.toml, registry/, README.md, .gitignore and generated data/.

    Written aside and renamed, so an interrupted run leaves no half of a project.

    Args:
        directory: a folder that does not exist yet, or an empty one.
        name: the project's name; by default made from the folder's.
        rows: rows of payments to generate. seed: another seed, other data.
    Returns: the files made, relative to `directory`, sorted.
    Raises: UsageError FS104 for a folder that holds anything; DefinitionError FS201 for a `name` that is none.
    """
    from featurestore.scaffold.generate import generate  # late: Polars and Arrow cost more than all the rest

    target = Path(directory).absolute()
    chosen = name_of(target) if name is None else check_name(name, "project")
    _refuse_unless_empty(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_aside(target.parent) as staging:
        _copy_template(staging / "new", chosen)
        generate(staging / "new" / "data", rows=rows, seed=seed, progress=progress)
        made = [path.relative_to(staging / "new").as_posix() for path in files(staging / "new")]
        _switch(staging / "new", target)
    return made


def name_of(directory: Path) -> str:
    """A project name from a folder's name: "My Project 2" gives my_project_2; "project" where nothing is left."""
    words = re.sub(r"[^a-z0-9]+", "_", directory.name.lower()).lstrip("_0123456789")
    return words[:63].rstrip("_") or "project"


def _refuse_unless_empty(target: Path) -> None:
    if target.is_dir():
        found = sorted(path.name for path in target.iterdir())
        if found:
            raise UsageError("FS104", f"{target.name} is not empty: it holds {found[0]!r}", hint="an empty folder")
    elif target.exists() or target.is_symlink():
        raise UsageError("FS104", f"{target.name} is there and is not a folder", hint="an empty folder")


def _copy_template(staging: Path, name: str) -> None:
    for source in files(TEMPLATE):
        if source.suffix == ".pyc":
            continue
        relative = source.relative_to(TEMPLATE)
        written = staging / relative.with_name(_RENAMED.get(relative.name, relative.name))
        written.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        written.write_text(text if source.suffix == ".py" else Template(text).substitute(name=name), encoding="utf-8")
        sync(written)


def _switch(staging: Path, target: Path) -> None:
    """One rename where the folder is new. Into an empty folder, which may be the shell's own, one rename per entry."""
    if not target.exists():
        os.rename(staging, target)
        return
    for entry in sorted(staging.iterdir(), key=lambda path: (path.name == _LAST, path.name)):
        os.rename(entry, target / entry.name)


__all__ = ["create", "name_of"]
