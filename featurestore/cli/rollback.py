"""`featurestore rollback`: turn a view back to its generation before."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run


def rollback(
    run: Run,
    view: Annotated[str, typer.Argument(metavar="VIEW", help="A feature view of the online store.")],
    live: Annotated[
        int | None, typer.Option("--from", metavar="N", help="Only if generation N is live: asking twice is asking once.")
    ] = None,
) -> Answer:
    """Turn a view back to the generation before the live one.

    Its watermark goes back with it: this is the one thing that may. The generation that was live is gone, and the next
    materialize goes on from the one that is. Says what changes. Asked again it goes back once more, unless --from names the
    generation to leave.

    Example:
      featurestore rollback card_payments
    """
    done = run.store.rollback(view, live=live)
    result = {**done.to_dict(), "warnings": run.warnings}
    if done.generation == done.generation_before:
        return Answer(result, f"{done.view}: nothing to do, generation {done.generation} is live, not {live}")
    lines = [
        f"{done.view}: back from generation {done.generation_before} to {done.generation}",
        f"watermark: {done.watermark_before} before, {done.watermark} now",
        f"keys: {done.keys_before:,} before, {done.keys:,} now",
        f"it can be turned back {done.left} more {'time' if done.left == 1 else 'times'}",
    ]
    return Answer(result, "\n".join(lines))
