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
    from featurestore.online.runs import Running
    from featurestore.online.store import Snapshot

_EMPTY: dict[str, Any] = {"generations": [], "kept": [], "runs": [], "services": [], "bytes": 0}


def status(run: Run) -> Answer:
    """Show what the online store holds, and how old it is.

    Also what `rollback` can go back to, interrupted runs, the services it can answer, what waits for `materialize`, and
    whether sql/ is stale.

    Example:
      featurestore status --json
    """
    held = _online(run)
    result = {
        "project": run.store.config.project.name, **held, "serve_log": _serve_log(run), **_definitions(run, held),
        "warnings": run.warnings,
    }  # fmt: skip
    return Answer(result, _text(result))


def _online(run: Run) -> dict[str, Any]:
    """What the online store says of itself; nothing where there is none yet."""
    from featurestore.online.generations import generations, kept_generations, served_services
    from featurestore.online.runs import all_running

    try:
        store = run.store.reader.store
    except StoreError as error:
        if error.code != "FS402":
            raise
        return _EMPTY
    sizes, now = store.sizes(), run.store.clock.now()
    with store.read() as snapshot:
        live = generations(snapshot)
        return {
            "generations": [_live(snapshot, g, now, sizes) for g in live],
            "kept": [_kept(one, now, sizes) for of in live for one in reversed(kept_generations(snapshot, of))],
            "runs": [_run(run, sizes) for run in all_running(snapshot)],
            "services": sorted(served_services(snapshot)),
            "bytes": sizes["total"],
        }


def _serve_log(run: Run) -> dict[str, int] | None:
    """Files and bytes of the serve log; None where none was ever kept."""
    assert run.store.root is not None
    folder = run.store.root / run.store.config.serve_log.path
    if not folder.is_dir():
        return None
    from featurestore import serve_log

    files, size = serve_log.size(folder)
    return {"files": files, "bytes": size}


def _live(snapshot: Snapshot, made: Generation, now: int, sizes: dict[str, int]) -> dict[str, Any]:
    """expiring: keys whose records are exact only up to an instant, for facts held back; exact_until: the first of these."""
    from featurestore.online.tables import first_expiry, until_index

    first = first_expiry(snapshot, made.table)
    expiry = {"expiring": snapshot.count(until_index(made.table)), "exact_until": None if first is None else _instant(first)}
    return {**_generation(made, now, sizes), **expiry}


def _kept(made: Generation, now: int, sizes: dict[str, int]) -> dict[str, Any]:
    """bytes: what dropping it would set free: its own table, or what undoes the step that was made in place."""
    return {**_generation(made, now, sizes), "bytes": sizes.get(made.undo, 0) if made.undo else _bytes(made, sizes)}


def _run(run: Running, sizes: dict[str, int]) -> dict[str, Any]:
    """A run under way, or one that was interrupted: only the lock knows which, and a reader does not take it."""
    return {
        "view": run.view,
        "watermark": format_instant(run.watermark),
        "how": run.how,
        "written": run.written - run.rows,
        "bytes": sizes.get(run.table, 0) if run.how in ("new table", "copy") else 0,
    }


def _bytes(made: Generation, sizes: dict[str, int]) -> int:
    from featurestore.online.tables import pushed_to, rows_of, until_index

    beside = until_index(made.table), rows_of(made.table), pushed_to(made.name, made.number)
    return sum(sizes.get(table, 0) for table in (made.table, *beside))


def _instant(micros: int) -> str:
    """An instant as text; as the number it is where no calendar has it."""
    try:
        return format_instant(micros)
    except (OverflowError, ValueError):
        return str(micros)


def _generation(made: Generation, now: int, sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "view": made.name,
        "generation": made.number,
        "fingerprint": made.fingerprint,
        "watermark": format_instant(made.watermark),
        "age_us": now - made.watermark,
        "keys": made.keys,
        "bytes": _bytes(made, sizes),
        "source_files": sum("path" in entry for entry in made.state),
        "push_position": next((entry["position"] for entry in made.state if "push_log" in entry), None),
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


def _table(generations: list[dict[str, Any]]) -> str:
    header = ("view", "generation", "watermark", "age", "keys", "size")
    rows = [(g["view"], g["generation"], g["watermark"], show.age(g["age_us"]), g["keys"], show.size(g["bytes"]))
            for g in generations]  # fmt: skip
    return show.table(header, rows)


def _expiring(generations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{g['view']}: {g['expiring']:,} keys have facts held back; stale from {g['exact_until']} on unless materialized before"
        for g in generations
        if g["expiring"]
    ]


def _text(result: dict[str, Any]) -> str:
    lines = []
    if result["generations"]:
        lines += [_table(result["generations"]), *_expiring(result["generations"]), ""]
        if result["kept"]:
            lines += ["kept, for rollback:", _table(result["kept"]), ""]
        lines.append(f"online store: {show.size(result['bytes'])}")
    else:
        lines.append("online store: empty (featurestore materialize)")
    if result["serve_log"] is not None:
        logged = result["serve_log"]
        lines.append(f"serve log: {show.size(logged['bytes'])} in {logged['files']:,} files")
    lines.append(f"can answer: {', '.join(result['services']) or 'no service'}")
    lines += [
        f"{r['view']}: a run to {r['watermark']} is under way, or was interrupted with {r['written']:,} keys written"
        for r in result["runs"]
    ]
    for what in ("views", "services"):
        if result[f"waiting_{what}"]:
            lines.append(f"{what} waiting for featurestore materialize: {', '.join(result[f'waiting_{what}'])}")
    if result["sql_stale"] is not None:
        lines.append("sql/ is stale: featurestore compile" if result["sql_stale"] else "sql/ is up to date")
    return "\n".join(lines)
