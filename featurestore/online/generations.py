"""What the online store says about itself: generations of views, and the services they can answer.

Metas, all JSON with `format`:
    epoch                        changes with every write; readers keep what they resolved while it stands
    view/<name>/<fingerprint>    the generation of a view by one definition: watermark, source state, table, columns
    service/<name>               the definition by which a service answers
    source/<name>                what rows pushed to a source must bring, as the last run found it
A service answers by its old definition until every view in it has a generation of the new one; then it switches at once,
in the write that completes it. Definitions no service answers by any more are swept in the same write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from featurestore.errors import StoreFormat
from featurestore.online.store import Batch

GENERATION_FORMAT = 3
"""2: views may hold any aggregate, with a parameter, and entries the known time. 3: records may be in columns, or indexed; a
state may name how much of a push log was read. What older formats wrote reads the same."""
EPOCH = "epoch"


class Metas(Protocol):
    def meta(self, name: str) -> bytes | None: ...

    def metas(self, prefix: str = "") -> dict[str, bytes]: ...


@dataclass(frozen=True)
class Generation:
    """One complete state of a view online.

    watermark: facts known before it are in (microseconds). horizon: how far beyond it pending facts are kept.
    state: the source files read, [{"path", "size", "sha256"}], and how much of its push log, {"push_log", "log",
    "position"}. columns: the types of an entry's values, by name: the view's latest features, then the measures of its
    windows, then the known time if an aggregate orders by it.
    view: the view's own manifest.
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


def next_number(metas: Metas) -> int:
    """A number no generation has had: tables are named by it, so that no name is ever used twice."""
    raw = metas.meta(EPOCH)
    return 1 if raw is None else int(json.loads(raw)["epoch"]) + 1


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
    """Switch a view to a generation, then every service that has thereby become complete; sweep what nobody uses.

    services: the registry's, as data. views: its views and their fingerprints. sources: what pushes to them must bring.
    """
    batch.put_meta(_view_name(new.name, new.fingerprint), new.to_bytes())
    batch.put_meta(EPOCH, json.dumps({"format": GENERATION_FORMAT, "epoch": new.number}).encode())
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
    _sweep(batch, services, views)


def _forget(prefix: str, batch: Batch, kept: Mapping[str, Mapping[str, Any]]) -> None:
    """A service whose definition is gone from the registry is no longer answered, nor such a source pushed to."""
    for name in batch.metas(prefix):
        if name.removeprefix(prefix) not in kept:
            batch.delete_meta(name)


def _sweep(batch: Batch, services: Mapping[str, Mapping[str, Any]], views: Mapping[str, str]) -> None:
    """Drop generations that neither the registry nor a service still answered by its old definition names."""
    wanted = set(views.items())
    for service in [*served_services(batch).values(), *services.values()]:
        wanted |= {(i["view"], i["fingerprint"]) for i in service["instances"]}
    for old in generations(batch):
        if (old.name, old.fingerprint) not in wanted:
            batch.drop(old.table)
            batch.delete_meta(_view_name(old.name, old.fingerprint))
