"""`featurestore gc`: drop what the online store keeps of former generations and interrupted runs, and what stopped builds
left."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run


def gc(
    run: Run,
    keep: Annotated[int, typer.Option(metavar="N", help="Generations to keep of each view, the live one among them.")] = 1,
) -> Answer:
    """Drop former generations, and what interrupted runs and builds left.

    The live generation always stays. The room is free for what is written next; the file keeps its size on disk.

    Example:
      featurestore gc --keep 2
    """
    builds = run.store.sweep_builds()
    done = run.store.gc(keep=keep)
    lines = [f"{d['view']}: generation {d['generation']} dropped, watermark {d['watermark']}" for d in done.dropped]
    lines += [f"{view}: interrupted run given up" for view in done.runs]
    lines += [f"{folder}: finished partitions of a stopped build removed" for folder in builds]
    lines.append(f"{show.size(done.bytes_freed)} free for reuse")
    return Answer({**done.to_dict(), "builds": builds, "warnings": run.warnings}, "\n".join(lines))
