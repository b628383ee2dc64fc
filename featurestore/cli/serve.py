"""`featurestore serve`: answer look-ups over HTTP from the online store alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run


def serve(
    run: Run,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="The address to bind. Default: as in featurestore.toml.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", min=0, max=65535, help="The port; 0: any free one.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes that answer.")] = 1,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Be ready only once every service of this manifest can be answered.")
    ] = None,
    serve_log: Annotated[
        bool | None,
        typer.Option("--serve-log/--no-serve-log", help="Keep a log of what is answered. Default: as in featurestore.toml."),
    ] = None,
) -> Answer:
    """Serve look-ups over HTTP until SIGTERM or Ctrl-C.

    Needs neither registry/, sql/ nor the sources. Without API keys (featurestore keys) it listens on this machine only.

    Example:
      featurestore serve --port 8000 --workers 2
    """
    from featurestore.server.run import serve as blocking

    store = run.store
    assert store.root is not None
    config = store.config
    if serve_log is not None:
        config = config.model_copy(update={"serve_log": config.serve_log.model_copy(update={"on": serve_log})})
    blocking(config, store.root, host, port, workers, manifest)
    return Answer({"stopped": True})
