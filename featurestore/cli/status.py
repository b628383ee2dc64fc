"""`featurestore status`: what the online store holds, and how old it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.cli.stale import is_stale
from featurestore.errors import FeatureStoreError, StoreError
from featurestore.intervals import format_instant

if TYPE_CHECKING:
    from featurestore.online.generations import Generation

_EMPTY: dict[str, Any] = {"generations": [], "services": [], "bytes": 0}


def status(run: Run) -> Answer:
    """Show what the online store holds, and how old it is.

    Also the services it can answer, what waits for `materialize`, and whether sql/ is stale.

    Example:
      featurestore status --json
    """
    held = _online(run)
    result = {"project": run.store.config.project.name, **held, **_definitions(run, held), "warnings": run.warnings}
    return Answer(result, _text(result))


def _online(run: Run) -> dict[str, Any]:
    """What the online store says of itself; nothing where there is none yet."""
    from featurestore.online.generations import generations, served_services

    try:
        store = run.store.reader.store
    except StoreError as error:
        if error.code != "FS402":
            raise
        return _EMPTY
    sizes, now = store.sizes(), run.store.clock.now()
    with store.read() as snapshot:
        found = [_generation(g, now, sizes) for g in generations(snapshot)]
        return {"generations": found, "services": sorted(served_services(snapshot)), "bytes": sizes["total"]}


def _generation(made: Generation, now: int, sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "view": made.name,
        "generation": made.number,
        "fingerprint": made.fingerprint,
        "watermark": format_instant(made.watermark),
        "age_us": now - made.watermark,
        "keys": made.keys,
        "bytes": sizes.get(made.table, 0),
        "source_files": len(made.state),
    }


def _definitions(run: Run, held: dict[str, Any]) -> dict[str, Any]:
    """What the definitions ask for that the online store or sql/ has not got yet; all None if they cannot be loaded."""
    try:
        bound, stale = run.store.bound, is_stale(run.store)
    except FeatureStoreError as error:
        run.warn(f"the definitions cannot be loaded: {error}")
        return {"waiting_views": None, "waiting_services": None, "sql_stale": None}
    made = {(g["view"], g["fingerprint"]) for g in held["generations"]}
    views = [n for n, v in bound.views.items() if v.view.online and (n, v.fingerprint) not in made]
    offline = {n for n, s in bound.services.items() if not all(i.bound.view.online for i in s.instances)}
    services = [n for n in bound.services if n not in held["services"] and n not in offline]
    return {"waiting_views": views, "waiting_services": services, "sql_stale": stale}


def _text(result: dict[str, Any]) -> str:
    lines = []
    if result["generations"]:
        header = ("view", "generation", "watermark", "age", "keys", "size")
        rows = [(g["view"], g["generation"], g["watermark"], show.age(g["age_us"]), g["keys"], show.size(g["bytes"]))
                for g in result["generations"]]  # fmt: skip
        lines += [show.table(header, rows), "", f"online store: {show.size(result['bytes'])}"]
    else:
        lines.append("online store: empty (featurestore materialize)")
    lines.append(f"can answer: {', '.join(result['services']) or 'no service'}")
    for what in ("views", "services"):
        if result[f"waiting_{what}"]:
            lines.append(f"{what} waiting for featurestore materialize: {', '.join(result[f'waiting_{what}'])}")
    if result["sql_stale"] is not None:
        lines.append("sql/ is stale: featurestore compile" if result["sql_stale"] else "sql/ is up to date")
    return "\n".join(lines)
