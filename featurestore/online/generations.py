"""What the online store says about itself: generations of views, and the services they can answer.

Metas, all JSON with `format`:
    epoch                        changes with what services are made of; readers keep what they resolved while it stands
    last_number                  the last number given to a run: no number, and so no table's name, is ever used twice
    view/<name>/<fingerprint>    the generation of a view by one definition: watermark, source state, table, columns
    kept/<name>/<fingerprint>/N  a former generation, number N, that the view can be turned back to
    run/<name>                   a run of the view under way (`runs`)
    service/<name>               the definition by which a service answers
    source/<name>                what rows pushed to a source must bring, as the last run found it
A service answers by its old definition until every view in it has a generation of the new one; then it switches at once,
in the write that completes it. Definitions no service answers by any more are forgotten in the same write.

What is forgotten here are documents; of a generation that was live a little is remembered (`past`). The tables they named are
then nobody's; `sweep_tables` drops such, each in a write of its own, and what a crash leaves of that the next run sweeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from featurestore.dtypes import parse_dtype
from featurestore.errors import StoreFormat
from featurestore.online import past, tables
from featurestore.online.pushes import PushCodec
from featurestore.online.store import Batch, OnlineStore

GENERATION_FORMAT = 4
"""2: views may hold any aggregate, with a parameter, and entries the known time. 3: records may be in columns, or indexed; a
state may name how much of a push log was read; generations are kept, and runs have documents of their own. 4: rows and pushes
may stand beside the records. What older formats wrote reads the same."""
KEYED = 4
"""From this format on what is kept under a digest has its key behind it."""
EPOCH = "epoch"
_LAST_NUMBER = "last_number"


class Metas(Protocol):
    def meta(self, name: str) -> bytes | None: ...

    def metas(self, prefix: str = "") -> dict[str, bytes]: ...


class Scanned(Metas, past.Scanned, Protocol):
    """Metas, and tables that can be scanned."""


@dataclass(frozen=True)
class Generation:
    """One complete state of a view online.

    watermark: facts known before it are in (microseconds). horizon: how far beyond it pending facts are kept.
    state: the source files read, [{"path", "size", "sha256"}], and how much of its push log, {"push_log", "log",
    "position"}. columns: the types of an entry's values, by name: the view's latest features, then the measures of its
    windows, then the known time if an aggregate orders by it.
    view: the view's own manifest. undo: of a kept one, the table of records that turn the next newer generation back into
    it; "" if it has a table of its own. push: what makes a fact of a pushed row, as data; empty where the next run alone can
    tell. rows: how many were kept beside the records when they were last made anew. log, applied: the push log, and up to
    which position it was applied when the generation was made. pushed: whether anything stands in `tables.pushed_to`.
    """

    name: str
    fingerprint: str
    number: int
    watermark: int
    horizon: int
    table: str
    keys: int
    columns: tuple[tuple[str, str], ...]
    state: tuple[Mapping[str, Any], ...]
    view: Mapping[str, Any] = field(repr=False)
    undo: str = ""
    push: Mapping[str, Any] = field(default_factory=dict, repr=False)
    rows: int = 0
    log: str = ""
    applied: int = 0
    pushed: bool = False
    format: int = GENERATION_FORMAT

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Generation:
        given = read_json(raw)
        given["columns"] = tuple((n, t) for n, t in given["columns"])
        given["state"] = tuple(given["state"])
        return cls(**given)


def read_json(raw: bytes) -> dict[str, Any]:
    """A stored document. Raises: StoreFormat FS404 for one of a newer format."""
    given: dict[str, Any] = json.loads(raw)
    if given.get("format", 0) > GENERATION_FORMAT:
        raise StoreFormat(
            "FS404", f"the store holds documents of format {given['format']}, this featurestore reads {GENERATION_FORMAT}",
            hint="a newer featurestore",
        )  # fmt: skip
    return given


def _view_name(view: str, fingerprint: str) -> str:
    return f"view/{view}/{fingerprint}"


def _kept_name(made: Generation) -> str:
    return f"kept/{made.name}/{made.fingerprint}/{made.number:020d}"


def generation(metas: Metas, view: str, fingerprint: str) -> Generation | None:
    """The generation of a view by one definition, if there is one."""
    raw = metas.meta(_view_name(view, fingerprint))
    return None if raw is None else Generation.from_bytes(raw)


def generations(metas: Metas) -> list[Generation]:
    """All generations, by view name and fingerprint."""
    return [Generation.from_bytes(raw) for raw in metas.metas("view/").values()]


def served_services(metas: Metas) -> dict[str, dict[str, Any]]:
    """The services that can be answered, by name: their definition as data."""
    return {name.removeprefix("service/"): read_json(raw) for name, raw in metas.metas("service/").items()}


def kept_generations(metas: Metas, made: Generation) -> list[Generation]:
    """The former generations of a view that are kept, by the same definition; the oldest first."""
    return [Generation.from_bytes(raw) for raw in metas.metas(f"kept/{made.name}/{made.fingerprint}/").values()]


def next_number(batch: Batch) -> int:
    """Take a number that nothing in the store has had."""
    last = [json.loads(raw) for raw in (batch.meta(EPOCH), batch.meta(_LAST_NUMBER)) if raw is not None]
    number = 1 + max((int(document["epoch"]) for document in last), default=0)
    batch.put_meta(_LAST_NUMBER, _numbered(number))
    return number


def _numbered(number: int) -> bytes:
    return json.dumps({"format": GENERATION_FORMAT, "epoch": number}).encode()


def past_generations(metas: Scanned, made: Generation) -> list[Generation]:
    """The generations of a view that were live before, by the same definition, as far as they are remembered; newest first.

    They say of when and what they were, and have no records any more.
    """
    kept, names = kept_generations(metas, made), ("number", "watermark", "state", "log", "applied")
    told = past.remembered(metas, [made, *kept])
    found = [replace(made, **{name: one[name] for name in names}) for one in told]
    return sorted([*kept, *found], key=lambda one: -one.number)


def keep(batch: Batch, former: Generation, undo: str = "") -> None:
    """Keep a generation that a newer one is about to replace. undo: see `Generation`."""
    kept = replace(former, undo=undo)
    batch.put_meta(_kept_name(kept), kept.to_bytes())


def trim(batch: Batch, made: Generation, count: int) -> list[Generation]:
    """Forget the oldest kept generations of a view until, with the live one, `count` are left. Returns: those forgotten."""
    kept = kept_generations(batch, made)
    forgotten = kept[: max(len(kept) - (count - 1), 0)]
    for one in forgotten:
        batch.delete_meta(_kept_name(one))
    return forgotten


def turn_back(batch: Batch, made: Generation, former: Generation) -> None:
    """Make the newest kept generation the live one again, and forget the one that was; records, W and S go back with it."""
    if former.undo:
        tables.replace(batch, former.table, list(batch.scan(former.undo)))
    batch.delete_meta(_kept_name(former))
    past.remember(batch, made, former)
    live = replace(former, undo="", pushed=False, keys=batch.count(former.table))
    batch.put_meta(_view_name(made.name, made.fingerprint), live.to_bytes())
    moved(batch)


def moved(batch: Batch) -> None:
    """Have readers look anew at what the store says of itself."""
    batch.put_meta(EPOCH, _numbered(next_number(batch)))


def change(batch: Batch, made: Generation, *, kept: bool) -> None:
    """Write a generation's document anew, in which something has changed that its records do not depend on."""
    batch.put_meta(_kept_name(made) if kept else _view_name(made.name, made.fingerprint), made.to_bytes())


def pushable_sources(metas: Metas) -> dict[str, dict[str, Any]]:
    """What rows pushed to each source must bring, by name; {"row_key": []} for one that cannot be pushed to."""
    return {name.removeprefix("source/"): read_json(raw) for name, raw in metas.metas("source/").items()}


def publish(
    batch: Batch,
    new: Generation,
    services: Mapping[str, Mapping[str, Any]],
    views: Mapping[str, str],
    sources: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Switch a view to a generation, then every service that has thereby become complete; forget what nobody uses.

    services: the registry's, as data. views: its views and their fingerprints. sources: what pushes to them must bring.
    """
    former = generation(batch, new.name, new.fingerprint)
    if former is not None and former.number != new.number:
        past.remember(batch, former, new)
    batch.put_meta(_view_name(new.name, new.fingerprint), new.to_bytes())
    batch.put_meta(EPOCH, _numbered(new.number))
    complete = {(g.name, g.fingerprint) for g in generations(batch)}
    for name, service in services.items():
        if all((i["view"], i["fingerprint"]) in complete for i in service["instances"]):
            document = {"format": GENERATION_FORMAT, "name": name, **service}
            batch.put_meta(f"service/{name}", json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
    for name, source in (sources or {}).items():
        document = {"format": GENERATION_FORMAT, **source}
        batch.put_meta(f"source/{name}", json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
    _forget("service/", batch, services)
    _forget("source/", batch, sources or {})
    _forget_generations(batch, services, views)


def _forget(prefix: str, batch: Batch, kept: Mapping[str, Mapping[str, Any]]) -> None:
    """A service whose definition is gone from the registry is no longer answered, nor such a source pushed to."""
    for name in batch.metas(prefix):
        if name.removeprefix(prefix) not in kept:
            batch.delete_meta(name)


def _forget_generations(batch: Batch, services: Mapping[str, Mapping[str, Any]], views: Mapping[str, str]) -> None:
    """Forget generations that neither the registry nor a service still answered by its old definition names."""
    wanted = set(views.items())
    for service in [*served_services(batch).values(), *services.values()]:
        wanted |= {(i["view"], i["fingerprint"]) for i in service["instances"]}
    for old in generations(batch):
        if (old.name, old.fingerprint) not in wanted:
            trim(batch, old, 1)
            past.forget(batch, old)
            batch.delete_meta(_view_name(old.name, old.fingerprint))
    for name in batch.metas("run/"):
        if name.removeprefix("run/") not in views:
            batch.delete_meta(name)


def sweep_tables(store: OnlineStore) -> int:
    """Drop every table of a view that no document names any more. The caller holds the lock; should it have lost it, a table
    that a run has taken up meanwhile stays. Returns: bytes set free."""
    sizes = store.sizes()
    with store.read() as snapshot:
        named = _named(snapshot)
    freed = 0
    for table in [name for name in sizes if tables.belongs_to_a_view(name) and name not in named]:

        def drop(batch: Batch, table: str = table) -> None:
            if table not in _named(batch):
                batch.drop(table)

        store.write(drop)
        freed += sizes[table]
    return freed


def _named(metas: Metas) -> set[str]:
    """The tables of generations live and kept, and of runs under way, with what lies beside them."""
    named: set[str] = set()
    for raw in metas.metas("view/").values():
        made = read_json(raw)
        named |= {*_with_beside(made["table"]), tables.pushed_to(made["name"], made["number"])}
    for raw in metas.metas("kept/").values():
        kept = read_json(raw)
        named |= {*_with_beside(kept["table"]), kept["undo"]}
    for raw in metas.metas("run/").values():
        named |= _with_beside(read_json(raw)["table"])
    return named


def _with_beside(table: str) -> set[str]:
    return {table, tables.until_index(table), tables.rows_of(table)}


def push_codec(made: Generation) -> PushCodec:
    """How what is kept of pushed rows beside a generation becomes bytes. Raises: ValueError if nothing is."""
    if not made.push:
        raise ValueError(f"nothing is kept of pushes beside {made.name!r}")
    types = [parse_dtype(dtype) for _, dtype in made.columns]
    latest, of_order = len(made.push["latest"]), made.push["row_order"]
    measures = types[latest : latest + len(made.push["measures"])]
    return PushCodec(types[:latest], measures, None if of_order is None else parse_dtype(of_order[1]))
