"""`featurestore init`: a project that runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run

NEXT = (
    "featurestore check",
    "featurestore compile",
    "featurestore build fraud_v1 --spine data/spine.parquet --output train.parquet",
    "featurestore materialize",
    "featurestore serve",
)


def init(
    run: Run,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or an empty one.")],
    rows: Annotated[int, typer.Option(metavar="N", help="Rows of payments to generate.")] = 20_000,
) -> Answer:
    """Scaffold a project that runs at once.

    It comes with a seeded, generated data set. With --project, a relative DIR is made below that folder.

    Example:
      featurestore init shop --rows 50000
    """
    from featurestore import scaffold
    from featurestore.progress import Progress

    target = directory if run.project is None else run.project / directory
    with run.progress() as watch:
        made = scaffold.create(
            target, rows=rows, progress=lambda done, total: watch(Progress("generating payments", done, total))
        )
    text = f"made {target}: {len(made)} files, {rows:,} rows of payments\n\nnext:\n"
    text += "\n".join(f"  {line}" for line in (f"cd {target}", *NEXT))
    return Answer({"project": str(target), "name": scaffold.name_of(target.absolute()), "rows": rows, "files": made}, text)
