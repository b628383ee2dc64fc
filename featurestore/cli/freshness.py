"""`featurestore freshness`: is what is served fresh, and do the sources still send?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed
from featurestore.cli.command import Run

if TYPE_CHECKING:
    from featurestore.monitoring.results import Result


def freshness(
    run: Run,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VIEW|SOURCE…]", help="What to look at; of a view also its source. Default: all."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TS", help="Judge by what was known before this instant. Default: now.")
    ] = None,
) -> Answer:
    """Tell how old watermarks are, and whether sources send as they usually do.

    Watermarks by the limits of `[monitor] freshness`; of each source how long nothing came in, how late rows are, how many
    happened in the newest hour or day that is complete, and what is missing, each by its own last four weeks. Exit 1 if any of
    it alerts. Reads only.

    Example:
      featurestore freshness --json
    """
    found = run.store.freshness(names or (), now=as_of)
    alerts = [f"{r.subject}: {r.what}" for r in found if r.status == "alert"]
    result = {"results": [_told(r) for r in found], "alerts": len(alerts), "warnings": run.warnings}
    what = f"{len(alerts)} {'alerts' if len(alerts) > 1 else 'alert'}: {'; '.join(alerts)}"
    return Answer(result, _text(found), [CheckFailed("FS167", what[:500])] if alerts else [])


def _told(result: Result) -> dict[str, Any]:
    return {key: value for key, value in result.to_json().items() if key not in ("format", "feature")}


def _text(found: list[Result]) -> str:
    if not found:
        return "no view is kept online, and there is no source"
    rows = [(r.kind, r.subject, r.check, r.status, r.what) for r in found]
    return show.table(("kind", "name", "check", "status", "what"), rows)
