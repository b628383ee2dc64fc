"""What the online store says of itself, for pages: generations live and kept, and the services that are answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featurestore.online import past
from featurestore.online.generations import EPOCH, Generation, read_json
from featurestore.online.store import Snapshot

LAST_RUNS = 40
"""Of each view, that a history shows."""
MOST_VIEWS = 100
"""Whose histories are read: more would keep look-ups waiting."""


@dataclass(frozen=True)
class Served:
    """A service that is answered. keys: column -> family; request: name -> type; watermarks: view instance -> microseconds."""

    name: str
    fingerprint: str
    keys: Mapping[str, str]
    request: Mapping[str, str]
    watermarks: Mapping[str, int]
    definition: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Live:
    """generations: of each view the live ones, by any definition, and those kept, newest first. past: of each view the newest
    that were live before and are not kept, (number, watermark in microseconds)."""

    generations: Mapping[str, tuple[Generation, ...]]
    kept: Mapping[str, tuple[Generation, ...]]
    services: Mapping[str, Served]
    past: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def newest(self, view: str) -> Generation | None:
        """The live generation of the greatest watermark."""
        return max(self.generations.get(view, ()), key=lambda made: made.watermark, default=None)

    def seen_by(self, may_see: Callable[[str], bool], views: Collection[str]) -> Live:
        """What is left for someone who may see some services, and the views they are made of."""
        return Live(
            {name: made for name, made in self.generations.items() if name in views},
            {name: made for name, made in self.kept.items() if name in views},
            {name: service for name, service in self.services.items() if may_see(name)},
            {name: told for name, told in self.past.items() if name in views},
        )


@dataclass(frozen=True)
class Documents:
    """The store's documents as bytes: read at once, understood later, elsewhere than where look-ups are answered."""

    views: Mapping[str, bytes]
    kept: Mapping[str, bytes]
    services: Mapping[str, bytes]
    past: Mapping[str, Sequence[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Documents:
        views, kept, services = (dict(snapshot.metas(prefix)) for prefix in ("view/", "kept/", "service/"))
        return cls(views, kept, services, _past(snapshot, list(views)))

    def read(self) -> Live:
        """Raises: StoreFormat FS404."""
        live, kept = (_by_view(map(Generation.from_bytes, d.values())) for d in (self.views, self.kept))
        by_definition = {(made.name, made.fingerprint): made for group in live.values() for made in group}
        served = {}
        for name, raw in self.services.items():
            definition = read_json(raw)
            served[definition["name"]] = _served(name.removeprefix("service/"), definition, by_definition)
        return Live(live, kept, served, _told(self.past, live, kept))


def _past(snapshot: Snapshot, views: Sequence[str]) -> dict[str, list[bytes]]:
    """What is remembered of the last runs of some views. Runs of all views are numbered together, so these are about
    LAST_RUNS of each."""
    epoch = snapshot.meta(EPOCH)
    after = 0 if epoch is None else max(json.loads(epoch)["epoch"] - LAST_RUNS * max(len(views), 1), 0)
    found: dict[str, list[bytes]] = {}
    for _, name, fingerprint in (view.split("/") for view in views[:MOST_VIEWS]):  # one name may be live by two definitions
        found.setdefault(name, []).extend(past.kept_of(snapshot, name, fingerprint, after))
    return found


def _told(
    remembered: Mapping[str, Sequence[bytes]], *held: Mapping[str, Sequence[Generation]]
) -> dict[str, tuple[tuple[int, int], ...]]:
    """(number, watermark) of each view's, newest first, but of generations that are there: kept, or live, as one is to which
    the view was turned back."""
    found = {}
    for view, documents in remembered.items():
        known = {made.number for held_by_view in held for made in held_by_view.get(view, ())}
        told = (one for raw in documents if (one := past.number_and_watermark(raw)) is not None and one[0] not in known)
        found[view] = tuple(sorted(told, reverse=True))
    return found


def _by_view(made: Any) -> dict[str, tuple[Generation, ...]]:
    found: dict[str, list[Generation]] = {}
    for one in made:
        found.setdefault(one.name, []).append(one)
    return {name: tuple(sorted(group, key=lambda one: -one.number)) for name, group in found.items()}


def _served(name: str, definition: Mapping[str, Any], made: Mapping[tuple[str, str], Generation]) -> Served:
    keys: dict[str, str] = {}
    watermarks: dict[str, int] = {}
    for instance in definition["instances"]:
        generation = made.get((instance["view"], instance["fingerprint"]))
        if generation is None:
            continue
        watermarks[instance["name"]] = generation.watermark
        families = {key["name"]: key["family"] for key in generation.view["keys"]}
        keys |= {column: families[key] for column, key in instance["keys"] if column not in keys}
    request = {n: t for one in definition.get("on_demand", ()) for n, t in one["request"].items()}
    return Served(name, definition["fingerprint"], keys, request, watermarks, definition)


__all__ = ["Documents", "Live", "Served"]
